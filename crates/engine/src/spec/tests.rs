//! Tests of the module `spec`.

use baetyl_proto::resource::v1 as pb;
use prost::Message as _;

use super::*;
use crate::reason;

fn application() -> pb::Application {
    pb::Application {
        name: "watcher".into(),
        r#type: pb::ApplicationType::Process.into(),
        services: vec![pb::Service {
            name: "watcher".into(),
            program: Some(pb::Program {
                configuration: "code".into(),
                entry: vec!["python3".into(), "watcher.py".into()],
            }),
            ..pb::Service::default()
        }],
        ..pb::Application::default()
    }
}

fn parse(application: &pb::Application) -> Result<AppSpec, crate::driver::Refusal> {
    AppSpec::parse(&application.encode_to_vec())
}

fn volume(name: &str, source: pb::volume::Source) -> pb::Volume {
    pb::Volume {
        name: name.into(),
        source: Some(source),
        ..pb::Volume::default()
    }
}

fn mount(name: &str, path: &str) -> pb::VolumeMount {
    pb::VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        ..Default::default()
    }
}

#[test]
fn when_little_is_said_then_defaults_are_filled() {
    let spec = parse(&application()).unwrap();

    assert_eq!(spec.replicas, 1);
    assert_eq!(spec.update.deadline, Duration::from_secs(60));
    assert!(spec.update.rollback);
    assert_eq!(spec.services[0].grace, Duration::from_secs(10));
    assert_eq!(spec.services[0].restart, RestartPolicy::Always);
    assert!(spec.has_silent_service());
    assert!(!spec.excludes(&spec));
}

#[test]
fn when_an_input_is_read_in_two_ways_then_it_restarts() {
    let mut given = application();
    let config = pb::ResourceRef {
        name: "thresholds".into(),
    };
    let source = pb::volume::Source::Config(config);
    given.volumes = vec![volume("limits", source)];
    assert_eq!(
        parse(&given).unwrap().reloaded,
        [InputKey::configuration("thresholds")].into()
    );

    given.services[0].env = vec![pb::EnvVar {
        name: "LIMIT".into(),
        value_from: Some(pb::EnvVarSource {
            source: Some(pb::env_var_source::Source::ConfigKeyRef(pb::KeyRef {
                name: "thresholds".into(),
                key: "limit".into(),
            })),
        }),
        ..pb::EnvVar::default()
    }];
    assert!(parse(&given).unwrap().reloaded.is_empty());
}

#[test]
fn when_a_path_would_lead_out_of_the_root_then_it_is_refused() {
    for path in ["/../etc", "etc", "/", "/a/../../b", "/a\0b"] {
        let mut given = application();
        given.volumes = vec![volume(
            "data",
            pb::volume::Source::EmptyDir(pb::EmptyDir::default()),
        )];
        given.services[0].volume_mounts = vec![mount("data", path)];

        let refusal = parse(&given).unwrap_err();

        assert_eq!(refusal.reason, reason::INVALID_APPLICATION, "{path:?}");
        assert!(refusal.is_final);
    }
}

#[test]
fn when_a_name_is_no_folder_name_then_it_is_refused() {
    for name in ["..", "a/b", "", "/x"] {
        let mut given = application();
        given.volumes = vec![volume(
            name,
            pb::volume::Source::EmptyDir(pb::EmptyDir::default()),
        )];
        assert!(parse(&given).is_err(), "volume {name:?}");

        let mut given = application();
        given.services[0].name = name.into();
        assert!(parse(&given).is_err(), "service {name:?}");
    }
}

#[test]
fn when_one_mount_lies_inside_another_then_it_is_refused() {
    let mut given = application();
    let empty = || pb::volume::Source::EmptyDir(pb::EmptyDir::default());
    given.volumes = vec![volume("one", empty()), volume("two", empty())];
    given.services[0].volume_mounts = vec![mount("one", "/etc"), mount("two", "/etc/two")];

    assert_eq!(
        parse(&given).unwrap_err().reason,
        reason::INVALID_APPLICATION
    );
}

#[test]
fn when_the_type_is_for_another_engine_then_it_says_so() {
    let mut given = application();
    given.r#type = pb::ApplicationType::Container.into();

    let refusal = parse(&given).unwrap_err();

    assert_eq!(refusal.reason, reason::UNSUPPORTED_TYPE);
    assert!(refusal.message.contains("container"));
}

#[test]
fn when_it_is_a_function_then_it_claims_its_route_and_is_ready_by_its_file() {
    let mut given = application();
    given.r#type = pb::ApplicationType::Function.into();
    given.services[0].program = None;
    given.services[0].runtime = "python3".into();
    given.services[0].code = Some(pb::Code {
        configuration: "code".into(),
    });
    given.services[0].functions = vec![pb::FunctionSpec {
        name: "window".into(),
        handler: "window.handler".into(),
    }];

    let spec = parse(&given).unwrap();

    assert!(!spec.excludes(&spec));
    assert_eq!(spec.claims(), [Claim::Service("watcher".into())].into());
    let probe = spec.services[0].probes.readiness.as_ref().unwrap();
    assert_eq!(probe.check, Check::ReadyFile);
}

#[test]
fn when_a_job_would_always_restart_then_it_restarts_on_failure_only() {
    let mut given = application();
    given.workload = pb::Workload::Job.into();

    let spec = parse(&given).unwrap();

    assert!(spec.is_job);
    assert_eq!(spec.services[0].restart, RestartPolicy::OnFailure);
}

#[test]
fn when_a_fixed_port_has_several_copies_then_it_is_refused() {
    let mut given = application();
    given.replicas = Some(2);
    given.services[0].ports = vec![pb::Port {
        name: "http".into(),
        host_port: 8080,
        ..pb::Port::default()
    }];

    assert_eq!(
        parse(&given).unwrap_err().reason,
        reason::INVALID_APPLICATION
    );
}

#[test]
fn when_limits_are_given_then_they_are_numbers() {
    let mut given = application();
    let limits = [("memory", "64Mi"), ("cpu", "200m")];
    given.services[0].resources = Some(pb::Resources {
        limits: limits
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        ..pb::Resources::default()
    });

    let limits = parse(&given).unwrap().services[0].limits;

    assert_eq!(limits.memory_bytes, Some(64 << 20));
    assert_eq!(limits.cpu_millis, Some(200));
}

#[test]
fn when_bytes_are_no_application_then_they_are_refused() {
    assert!(AppSpec::parse(b"\xff\xff").unwrap_err().is_final);
    assert!(AppSpec::parse(b"").unwrap_err().is_final);
}
