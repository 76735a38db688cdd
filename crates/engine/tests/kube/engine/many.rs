//! Many applications at once.

use baetyl_apiserver::{Fault, Filter, When};

use super::rig::{Bench, app, label};

/// More than have turns and places at one time.
const MANY: usize = 40;

#[tokio::test]
async fn given_an_application_whose_requests_hang_when_many_come_then_all_others_are_applied() {
    let mut bench = Bench::start().await;
    let slow = Filter {
        name: Some("app-0".to_owned()),
        ..Filter::default()
    };
    bench.server.faults().add(slow, When::Always, Fault::Hang);
    let names: Vec<String> = (0..MANY).map(|number| format!("app-{number}")).collect();

    bench.desire(names.iter().map(|name| app(name)));

    for name in &names[1..] {
        bench.applied(name, "").await;
    }
    assert_eq!(label(&bench.store(), "app-0"), None);
}
