//! Tests of the module `spec`.

use prost::Message as _;

use super::*;

fn application(kind: pb::ApplicationType) -> pb::Application {
    pb::Application {
        name: "watcher".into(),
        r#type: kind.into(),
        workload: pb::Workload::Deployment.into(),
        services: vec![pb::Service {
            name: "main".into(),
            image: "busybox:1".into(),
            ..pb::Service::default()
        }],
        ..pb::Application::default()
    }
}

fn parse(given: &pb::Application) -> Result<KubeSpec, Refusal> {
    KubeSpec::parse(&given.encode_to_vec())
}

#[test]
fn when_it_runs_as_processes_then_it_is_refused() {
    let refusal = parse(&application(pb::ApplicationType::Process)).unwrap_err();

    assert_eq!(refusal.reason, reason::UNSUPPORTED_TYPE);
    assert!(refusal.is_final);
}

#[test]
fn when_ports_are_fixed_then_they_are_claimed() {
    let mut given = application(pb::ApplicationType::Container);
    given.services[0].ports = vec![
        pb::Port {
            name: "http".into(),
            container_port: 80,
            host_port: 8080,
            node_port: 30080,
            ..pb::Port::default()
        },
        pb::Port {
            name: "dns".into(),
            container_port: 53,
            protocol: "udp".into(),
            ..pb::Port::default()
        },
    ];

    let http = Claim::Port(Protocol::Tcp, 8080);
    let node = Claim::NodePort(30080);
    assert_eq!(
        parse(&given).unwrap().claims,
        [http.clone(), node.clone()].into()
    );
    given.host_network = true;
    let dns = Claim::Port(Protocol::Udp, 53);
    assert_eq!(parse(&given).unwrap().claims, [http, node, dns].into());
}

#[test]
fn when_it_has_functions_then_their_services_are_claimed() {
    let mut given = application(pb::ApplicationType::Function);
    given.services[0].functions = vec![pb::FunctionSpec {
        name: "window".into(),
        handler: "window.handler".into(),
    }];

    let spec = parse(&given).unwrap();

    assert_eq!(spec.claims, [Claim::Service("main".into())].into());
    assert_eq!(spec.functions[0].functions, ["window"]);
    assert_eq!(spec.functions[0].timeout, Duration::from_secs(60));
}

#[test]
fn when_it_brings_its_own_objects_then_its_pods_say_no_release() {
    for (kind, says) in [
        (pb::ApplicationType::Container, true),
        (pb::ApplicationType::Function, true),
        (pb::ApplicationType::Manifest, false),
        (pb::ApplicationType::Helm, false),
    ] {
        let spec = parse(&application(kind)).unwrap();
        assert_eq!(spec.labels_pods(), says, "{kind:?}");
    }
}
