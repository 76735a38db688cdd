//! Tables that follow one another, and what they do to calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{NewCall, NewEndpoint, Proxy};
use crate::app::endpoint::{EndpointId, Instance, ServedFunction, Serves};
use crate::app::error::CallError;
use crate::app::outbox::Outbox;
use crate::app::pool::{Limits, Refusal};
use crate::app::registry::{Registration, Registry};
use crate::app::release::Release;
use crate::app::route::{Route, RouteSet, StaleRoutes};

fn proxy() -> Arc<Proxy> {
    Proxy::new(Limits {
        queue: 8,
        waiting_bytes: 1024,
        runtime_wait: Duration::from_secs(1),
        endpoints: 4,
    })
}

fn release() -> Release {
    Release {
        revision: 1,
        label: String::new(),
    }
}

fn route(application: &str, service: &str) -> Route {
    Route {
        application: application.to_owned(),
        service: service.to_owned(),
        active: release(),
        standby: None,
        functions: vec!["window".to_owned()],
        timeout: Duration::from_secs(5),
        queue_limit: None,
    }
}

fn set(proxy: &Proxy, generation: u64, routes: Vec<Route>) -> Result<u64, StaleRoutes> {
    let set = RouteSet::try_new(generation, routes).expect("the table is valid");
    proxy.set_routes(set, |_| Ok(()))
}

fn call<'a>(service: &'a str, function: &'a str) -> NewCall<'a> {
    NewCall {
        service,
        function,
        payload: Bytes::new(),
        metadata: Vec::new(),
        idempotency_key: String::new(),
        invocation_id: "id".to_owned(),
        traceparent: String::new(),
        is_stream: false,
        deadline: None,
    }
}

fn endpoint(service: &str) -> NewEndpoint {
    NewEndpoint {
        instance: Instance {
            id: "runtime".to_owned(),
            incarnation: 1,
            shard: 0,
        },
        service: service.to_owned(),
        serves: Serves::Release(release()),
        functions: vec![ServedFunction {
            name: "window".to_owned(),
            is_idempotent: false,
        }],
        slots: 1,
        outbox: Arc::new(Outbox::unchunked()),
    }
}

fn registration(service: &str, incarnation: u64) -> Registration {
    Registration {
        service: service.to_owned(),
        instance: Instance {
            id: "server".to_owned(),
            incarnation,
            shard: 0,
        },
        functions: Vec::new(),
        address: "http://127.0.0.1:1".to_owned(),
        slots: 1,
        lease: Some(Duration::from_secs(10)),
        timeout: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn when_a_service_is_named_both_ways_then_its_own_name_goes_first() {
    let proxy = proxy();
    // The second service is named as the first one is in full.
    set(&proxy, 1, vec![route("a", "b"), route("c", "a.b")]).expect("taken");
    let _link = proxy.attach("c", endpoint("a.b")).expect("it may attach");

    assert!(proxy.invoke(call("a.b", "")).is_ok());
    let services = proxy.services(None);
    let names: Vec<_> = services
        .iter()
        .map(|each| each.route.service.as_str())
        .collect();
    assert_eq!(names, ["a.b", "b"]);
    assert_eq!(
        services[0].functions[0].active_calls, 0,
        "the call was dropped before it left"
    );
}

#[tokio::test]
async fn when_a_table_cannot_be_stored_then_it_is_not_in_force() {
    #[derive(Debug, PartialEq)]
    struct Full;
    impl From<StaleRoutes> for Full {
        fn from(_: StaleRoutes) -> Self {
            unreachable!("it is not stale")
        }
    }
    let proxy = proxy();
    let table = RouteSet::try_new(1, vec![route("a", "b")]).expect("valid");

    let failed = proxy.set_routes(table, |_| Err(Full));

    assert_eq!(failed, Err(Full));
    assert!(proxy.services(None).is_empty());
    assert_eq!(set(&proxy, 0, Vec::new()), Ok(0));
}

#[tokio::test]
async fn when_a_route_stays_then_its_calls_do_too() {
    let proxy = proxy();
    set(&proxy, 1, vec![route("a", "b")]).expect("taken");
    let link = proxy.attach("a", endpoint("b")).expect("it may attach");
    let _running = proxy.invoke(call("b", "")).expect("taken");

    let longer = Route {
        timeout: Duration::from_secs(9),
        ..route("a", "b")
    };
    set(&proxy, 2, vec![longer, route("a", "c")]).expect("taken");

    let services = proxy.services(Some("a.b"));
    assert_eq!(services[0].functions[0].active_calls, 1);
    assert_eq!(link.epoch(), EndpointId(1));
}

#[tokio::test]
async fn when_another_application_takes_the_name_then_it_is_another_service() {
    let proxy = proxy();
    set(&proxy, 1, vec![route("a", "b")]).expect("taken");
    let _link = proxy.attach("a", endpoint("b")).expect("it may attach");

    set(&proxy, 2, vec![route("other", "b")]).expect("taken");

    assert_eq!(proxy.services(Some("b"))[0].functions[0].ready_endpoints, 0);
    assert_eq!(
        proxy.attach("a", endpoint("b")).err(),
        Some(Refusal::NotRouted)
    );
}

#[tokio::test(start_paused = true)]
async fn when_no_runtime_comes_then_waiting_calls_end() {
    let proxy = proxy();
    set(&proxy, 1, vec![route("a", "b")]).expect("taken");
    let begun = Instant::now();

    let waiting = proxy.invoke(call("b", "window")).expect("it may wait");
    let end = waiting.end().await;

    assert!(matches!(end, Err(CallError::NoRuntime { .. })), "{end:?}");
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_only_runtime_goes_then_waiting_calls_end_soon_after() {
    let proxy = proxy();
    set(&proxy, 1, vec![route("a", "b")]).expect("taken");
    let link = proxy.attach("a", endpoint("b")).expect("it may attach");
    let running = proxy.invoke(call("b", "")).expect("taken");
    let waiting = proxy.invoke(call("b", "")).expect("taken");
    let begun = Instant::now();

    drop(link);
    let (_, end) = tokio::join!(running.end(), waiting.end());

    assert!(matches!(end, Err(CallError::NoRuntime { .. })), "{end:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "long before its deadline"
    );
}

#[tokio::test]
async fn when_a_server_is_registered_then_it_is_renewed_superseded_and_forgotten() {
    let proxy = proxy();
    let registry = Registry::new(proxy.clone());
    let now = Instant::now();
    let register = |incarnation| registry.register(registration("b", incarnation), now);

    let first = register(1).expect("taken");
    let renewed = register(1).expect("renewed");
    let later = register(2).expect("a later start");
    let late = register(1);

    assert_eq!(
        (&first.lease_id, first.epoch),
        (&renewed.lease_id, renewed.epoch)
    );
    assert!(renewed.endpoint.is_none());
    assert!(later.epoch > first.epoch);
    assert_eq!(late.err(), Some(Refusal::Fenced));
    registry.forget(first.endpoint.expect("new"));
    assert_eq!(registry.service_of(&later.lease_id).as_deref(), Some("b"));
    assert_eq!(proxy.services(None).len(), 1);
    registry.forget(later.endpoint.expect("new"));
    assert!(
        proxy.services(None).is_empty(),
        "the route goes with the last server"
    );
}

#[tokio::test]
async fn when_a_lease_is_over_then_the_same_server_is_registered_anew() {
    let registry = Registry::new(proxy());
    let now = Instant::now();
    let first = registry.register(registration("b", 1), now).expect("taken");
    assert!(registry.deregister(&first.lease_id, now));

    let again = registry.register(registration("b", 1), now).expect("taken");

    assert!(again.epoch > first.epoch);
    assert!(again.endpoint.is_some());
    assert!(!registry.deregister("nothing", now));
}

#[tokio::test]
async fn when_core_routes_a_registered_service_then_its_servers_stay() {
    let proxy = proxy();
    let registry = Registry::new(proxy.clone());
    let server = registry
        .register(registration("b", 1), Instant::now())
        .expect("taken");

    set(&proxy, 1, vec![route("a", "b")]).expect("taken");

    let services = proxy.services(Some("a.b"));
    assert_eq!(services[0].functions[0].ready_endpoints, 1);
    registry.forget(server.endpoint.expect("new"));
    assert_eq!(proxy.services(None).len(), 1, "core's route stays");
}
