//! Every scenario over the fake cluster, each in one of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says why it was skipped"
)]

use baetyl_e2e::FakeWorld;

use baetyl_e2e::scenarios;

/// One test per scenario.
macro_rules! tests {
    ($($module:ident $name:ident [$($need:ident),*];)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run(stringify!($name)).await;
        })*
    };
}

baetyl_e2e::each_scenario!(tests);

async fn run(name: &str) {
    let scenario = scenarios::find(name).unwrap();
    let world = FakeWorld::fitting(scenario.needs).await.unwrap();
    if let Some(why) = scenarios::obstacle(scenario, &world) {
        println!("skipped {name}: {why}");
        return;
    }
    if let Err(error) = (scenario.run)(&world).await {
        panic!("{error:#}\n{}", world.story());
    }
}
