//! Every scenario over the fake cluster, each in one of its own. A program without the usual
//! harness, since only here a test can say that it was skipped, and why.

use std::process::ExitCode;

use baetyl_e2e::FakeWorld;
use baetyl_e2e::scenarios::{self, Scenario};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = scenarios::ALL.iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A scenario as a test; one that lacks something is counted as ignored and named after its reason.
fn trial(scenario: &'static Scenario) -> Trial {
    let lacking = scenarios::obstacle(scenario, FakeWorld::missing);
    let is_skipped = lacking.is_some();
    Trial::test(scenario.name, move || run(scenario))
        .with_kind(lacking.unwrap_or_default())
        .with_ignored_flag(is_skipped)
}

fn run(scenario: &Scenario) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let world = FakeWorld::fitting(scenario.needs).await.map_err(told)?;
        let came = (scenario.run)(&world).await;
        came.map_err(|error| format!("{error:#}\n{}", world.story()).into())
    })
}

fn told(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
