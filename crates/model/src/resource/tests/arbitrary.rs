//! What the property tests draw: documents that are often right and sometimes wrong.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::super::{Message, Resource};

/// Mostly names, sometimes not.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-c][a-c0-9]{1,3}", 1 => "[A-Z.-]{0,2}"]
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z]{1,3}", "[a-z]{0,3}", 0..3)
}

fn durations() -> impl Strategy<Value = Option<prost_types::Duration>> {
    let duration = (-1_i64..700, -5_i32..1_500_000_000);
    option::of(duration.prop_map(|(seconds, nanos)| prost_types::Duration { seconds, nanos }))
}

fn probes() -> impl Strategy<Value = Option<pb::Probe>> {
    let command = vec("[a-z]{0,2}", 0..3);
    let check = option::of(prop_oneof![
        command.prop_map(|command| pb::probe::Check::Exec(pb::ExecAction { command })),
        ("[a-z/]{0,3}", "[0-9a]{0,5}").prop_map(|(path, port)| {
            pb::probe::Check::HttpGet(pb::HttpGetAction {
                path,
                port,
                ..Default::default()
            })
        }),
    ]);
    option::of(
        (check, -1_i32..3, -1_i32..3).prop_map(|(check, period, successes)| pb::Probe {
            check,
            period_seconds: period,
            success_threshold: successes,
            ..Default::default()
        }),
    )
}

fn variables() -> impl Strategy<Value = pb::EnvVar> {
    let source = prop_oneof![
        (names(), "[a-z]{0,2}").prop_map(|(name, key)| {
            pb::env_var_source::Source::SecretKeyRef(pb::KeyRef { name, key })
        }),
        (names(), "[a-z]{0,2}").prop_map(|(name, key)| {
            pb::env_var_source::Source::ConfigKeyRef(pb::KeyRef { name, key })
        }),
    ];
    let value_from = option::of(option::of(source));
    ("[A-C_1]{1,2}", "[a-z\\x00]{0,2}", value_from).prop_map(|(name, value, source)| pb::EnvVar {
        name,
        value: if source.is_some() {
            String::new()
        } else {
            value
        },
        value_from: source.map(|source| pb::EnvVarSource { source }),
    })
}

fn volumes() -> impl Strategy<Value = pb::Volume> {
    let source = option::weighted(
        0.9,
        prop_oneof![
            names().prop_map(|name| pb::volume::Source::Config(pb::ResourceRef { name })),
            names().prop_map(|name| pb::volume::Source::Secret(pb::ResourceRef { name })),
            Just(pb::volume::Source::EmptyDir(pb::EmptyDir::default())),
            "/[a-z./]{0,4}".prop_map(|path| pb::volume::Source::HostPath(pb::HostPath {
                path,
                ..Default::default()
            })),
        ],
    );
    ("[a-c]", source, 0_i32..3).prop_map(|(name, source, on_change)| pb::Volume {
        name,
        source,
        on_change,
    })
}

fn services() -> impl Strategy<Value = pb::Service> {
    let program = option::weighted(
        0.9,
        (option::of(names()), vec("[a-z./]{1,3}", 1..3)).prop_map(|(configuration, entry)| {
            pb::Program {
                configuration: configuration.unwrap_or_default(),
                entry,
            }
        }),
    );
    let mounts = vec(
        ("[a-c]", "/[a-c/]{1,3}").prop_map(|(name, mount_path)| pb::VolumeMount {
            name,
            mount_path,
            ..Default::default()
        }),
        0..2,
    );
    let limits = btree_map(
        prop_oneof![Just("cpu".to_owned()), Just("memory".to_owned())],
        "[1-9][mk]?",
        0..2,
    );
    (
        (names(), program, vec(variables(), 0..2), mounts),
        (probes(), durations(), limits, 0_i32..4),
    )
        .prop_map(
            |((name, program, env, volume_mounts), (probe, grace, limits, policy))| pb::Service {
                name,
                program,
                env,
                volume_mounts,
                readiness_probe: probe,
                stop_grace_period: grace,
                resources: Some(pb::Resources {
                    limits,
                    requests: BTreeMap::new(),
                }),
                restart_policy: policy,
                ..Default::default()
            },
        )
}

fn applications() -> impl Strategy<Value = pb::Application> {
    (
        (names(), texts(), option::of(0_u32..3), 0_i32..3),
        (
            vec(services(), 1..3),
            vec(volumes(), 0..3),
            durations(),
            "(a = b|c|)",
        ),
    )
        .prop_map(
            |((name, labels, replicas, workload), (services, volumes, soak, selector))| {
                pb::Application {
                    name,
                    labels,
                    r#type: pb::ApplicationType::Process.into(),
                    replicas,
                    workload,
                    services,
                    volumes,
                    selector,
                    update: soak.map(|soak| pb::UpdateStrategy {
                        soak: Some(soak),
                        ..Default::default()
                    }),
                    ..Default::default()
                }
            },
        )
}

fn containers() -> impl Strategy<Value = pb::Application> {
    let service = (
        names(),
        0_u32..3,
        0_u32..3,
        0_i32..4,
        "(cpu|nvidia.com/gpu)",
        "[0-2]m?",
    );
    let service = service.prop_map(
        |(name, number, service_port, restart_policy, resource, amount)| pb::Service {
            name,
            image: "image".to_owned(),
            restart_policy,
            ports: vec![pb::Port {
                name: "http".to_owned(),
                container_port: number,
                service_port,
                ..Default::default()
            }],
            resources: Some(pb::Resources {
                limits: [(resource, amount)].into(),
                requests: BTreeMap::new(),
            }),
            ..Default::default()
        },
    );
    let cron = option::of("([0-9*/,-]{1,3} ){4}[0-6*]|@[a-z]{1,6}");
    let size = option::of("[0-2]Gi|");
    (
        (names(), option::of(0_u32..3), 0_i32..6, vec(service, 1..3)),
        (cron, size, option::of("[0-9]{1,3}%?"), vec(names(), 0..2)),
        ("(Exists|Equal|)", "[a/]{0,2}"),
    )
        .prop_map(
            |(
                (name, replicas, workload, services),
                (cron, size, budget, registries),
                (operator, key),
            )| pb::Application {
                name,
                r#type: pb::ApplicationType::Container.into(),
                replicas,
                workload,
                services,
                registries,
                cron: cron.map(|schedule| pb::CronPolicy {
                    schedule,
                    ..Default::default()
                }),
                disruption_budget: budget.map(|min_available| pb::DisruptionBudget {
                    min_available,
                    ..Default::default()
                }),
                volumes: size
                    .map(|size| pb::Volume {
                        name: "data".to_owned(),
                        source: Some(pb::volume::Source::Persistent(pb::PersistentFolder {
                            size,
                            ..Default::default()
                        })),
                        ..Default::default()
                    })
                    .into_iter()
                    .collect(),
                tolerations: vec![pb::Toleration {
                    key,
                    operator,
                    ..Default::default()
                }],
                ..Default::default()
            },
        )
}

/// Any message, right or wrong.
pub(super) fn messages() -> impl Strategy<Value = Message> {
    let bytes = || btree_map("[a-c.]{0,3}", vec(any::<u8>(), 0..4), 0..3);
    let to_bytes = |map: BTreeMap<String, Vec<u8>>| {
        map.into_iter()
            .map(|(key, value)| (key, value.into()))
            .collect()
    };
    prop_oneof![
        1 => (names(), texts()).prop_map(|(name, labels)| {
            Message::Namespace(pb::Namespace { name, labels, ..Default::default() })
        }),
        1 => (names(), texts(), 0_i32..4, durations()).prop_map(|(name, labels, mode, interval)| {
            Message::Node(pb::Node {
                name,
                labels,
                node_mode: mode,
                core: interval.map(|interval| pb::CoreConfig {
                    report_interval: Some(interval),
                    ..Default::default()
                }),
                ..Default::default()
            })
        }),
        3 => applications().prop_map(Message::Application),
        3 => containers().prop_map(Message::Application),
        1 => (names(), texts(), "[a-z]{0,2}", "[a-z]{0,2}").prop_map(|(name, labels, pem, key)| {
            Message::Certificate(pb::Certificate {
                name,
                labels,
                certificate_pem: pem,
                private_key_pem: key,
                ..Default::default()
            })
        }),
        1 => (names(), "[a-z.:/0-9]{0,6}", "[a-z:]{0,2}").prop_map(|(name, address, text)| {
            Message::Registry(pb::Registry {
                name,
                address,
                username: text.clone(),
                password: text,
                ..Default::default()
            })
        }),
        1 => (names(), texts(), bytes()).prop_map(move |(name, data, binary)| {
            Message::Configuration(pb::Configuration {
                name,
                data,
                binary_data: to_bytes(binary),
                ..Default::default()
            })
        }),
        1 => (names(), texts(), bytes()).prop_map(move |(name, text, data)| {
            Message::Secret(pb::Secret {
                name,
                string_data: text,
                data: to_bytes(data),
                ..Default::default()
            })
        }),
    ]
}

/// Messages that turned out to be right.
pub(super) fn resources() -> impl Strategy<Value = Resource> {
    messages().prop_filter_map("not valid", |message| {
        Resource::try_new(message)
            .ok()
            .map(Resource::for_new_revision)
    })
}
