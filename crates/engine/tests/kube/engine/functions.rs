//! Where calls of functions go while what answers them changes.

use baetyl_proto::function::v1::Route;
use baetyl_proto::resource::v1 as pb;

use super::rig::{Bench, Conduct};
use crate::observe::rig::BOUND;

/// An application of one function.
fn sensors(timeout: i64) -> pb::Application {
    pb::Application {
        name: "sensors".into(),
        r#type: pb::ApplicationType::Function.into(),
        services: vec![pb::Service {
            name: "window".into(),
            runtime: "python3".into(),
            functions: vec![pb::FunctionSpec {
                name: "mean".into(),
                handler: "window.handler".into(),
            }],
            code: Some(pb::Code {
                configuration: "code".into(),
            }),
            timeout: Some(prost_types::Duration {
                seconds: timeout,
                nanos: 0,
            }),
            ..pb::Service::default()
        }],
        ..pb::Application::default()
    }
}

impl Bench {
    fn code(&mut self, text: &str) {
        self.configure("code", "window.py", text);
    }

    /// Waits until the only route is so.
    async fn route(&self, what: &str, level: impl Fn(&Route) -> bool) -> Route {
        let mut routes = self.engine().routes();
        let reached = routes.wait_for(|routes| {
            let routes = routes.as_ref();
            routes.is_some_and(|routes| matches!(&routes[..], [route] if level(route)))
        });
        let Ok(reached) = tokio::time::timeout(BOUND, reached).await else {
            panic!(
                "never: {what}; it is {:#?}",
                self.engine().routes().borrow()
            );
        };
        reached.unwrap().as_ref().unwrap()[0].clone()
    }
}

/// The releases that get calls and that wait, each with its revision.
fn releases(route: &Route) -> [(u64, &str); 2] {
    [
        (route.active_revision, &route.active_release),
        (route.standby_revision, &route.standby_release),
    ]
}

#[tokio::test]
async fn when_functions_are_served_then_calls_are_routed_to_the_revision_that_serves() {
    let mut bench = Bench::start().await;
    bench.code("def handler(event, context): pass");
    bench.desire([sensors(5)]);
    let first = bench.rolled("sensors", "").await;
    bench.healthy("sensors", 1).await;

    bench.desire([sensors(6)]);
    let second = bench.applied("sensors", &first).await;
    bench.play("sensors", Conduct::Waits("ContainerCreating"));
    let route = bench
        .route("2 waits", |route| route.standby_revision == 2)
        .await;
    assert_eq!(route.service, "window");
    assert_eq!(route.functions, ["mean"]);
    assert_eq!(
        releases(&route),
        [(1, first.as_str()), (2, second.as_str())]
    );

    bench.play("sensors", Conduct::Ready);
    bench.healthy("sensors", 2).await;
    let route = bench
        .route("2 serves alone", |route| {
            route.active_revision == 2 && route.standby_revision == 0
        })
        .await;
    assert_eq!(releases(&route), [(2, second.as_str()), (0, "")]);
}

#[tokio::test]
async fn when_only_the_code_changes_then_its_release_waits_under_the_same_revision() {
    let mut bench = Bench::start().await;
    bench.code("def handler(event, context): return 1");
    bench.desire([sensors(5)]);
    let old = bench.rolled("sensors", "").await;
    bench.healthy("sensors", 1).await;

    bench.code("def handler(event, context): return 2");
    bench.desire([sensors(5)]);
    let new = bench.applied("sensors", &old).await;
    bench.play("sensors", Conduct::Waits("ContainerCreating"));
    let route = bench
        .route("the new code waits", |route| {
            !route.standby_release.is_empty()
        })
        .await;
    assert_eq!(releases(&route), [(1, old.as_str()), (1, new.as_str())]);

    bench.play("sensors", Conduct::Waits("ImagePullBackOff"));
    bench
        .state("sensors", pb::ApplicationState::RolledBack)
        .await;
    let route = bench
        .route("the old code serves alone", |route| {
            route.standby_revision == 0
        })
        .await;
    assert_eq!(releases(&route), [(1, old.as_str()), (0, "")]);
}
