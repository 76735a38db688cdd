//! Builders of applications that read as sentences.

use baetyl_proto::resource::v1 as pb;
use prost_types::Duration;

/// An application of one service.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) message: pb::Application,
    pub(crate) retry: u64,
    pub(crate) more_features: Vec<String>,
}

pub(crate) fn app(name: &str) -> App {
    App {
        message: pb::Application {
            name: name.into(),
            r#type: pb::ApplicationType::Process.into(),
            services: vec![pb::Service {
                name: "web".into(),
                // This, the deadline, and the time of a probe end a hang and decide nothing.
                stop_grace_period: Some(Duration {
                    seconds: 120,
                    nanos: 0,
                }),
                ..pb::Service::default()
            }],
            update: Some(pb::UpdateStrategy {
                deadline: Some(Duration {
                    seconds: 600,
                    nanos: 0,
                }),
                ..pb::UpdateStrategy::default()
            }),
            ..pb::Application::default()
        },
        retry: 0,
        more_features: Vec::new(),
    }
}

impl App {
    fn service(&mut self) -> &mut pb::Service {
        &mut self.message.services[0]
    }

    /// Runs a program of the node.
    pub(crate) fn running(mut self, entry: Vec<String>) -> Self {
        self.service().program = Some(pb::Program {
            configuration: String::new(),
            entry,
        });
        self
    }

    /// Runs a program out of a configuration.
    pub(crate) fn running_from(mut self, configuration: &str, entry: &[&str]) -> Self {
        self.service().program = Some(pb::Program {
            configuration: configuration.into(),
            entry: entry.iter().map(ToString::to_string).collect(),
        });
        self
    }

    /// Differs from other versions of the application in nothing but this.
    pub(crate) fn version(mut self, version: &str) -> Self {
        self.service().env.push(pb::EnvVar {
            name: "VERSION".into(),
            value: version.into(),
            value_from: None,
        });
        self
    }

    /// Says something that changes nothing that runs.
    pub(crate) fn described(mut self, description: &str) -> Self {
        self.message.description = description.into();
        self
    }

    pub(crate) fn env_from(mut self, name: &str, configuration: &str, key: &str) -> Self {
        let source = pb::env_var_source::Source::ConfigKeyRef(pb::KeyRef {
            name: configuration.into(),
            key: key.into(),
        });
        self.service().env.push(pb::EnvVar {
            name: name.into(),
            value: String::new(),
            value_from: Some(pb::EnvVarSource {
                source: Some(source),
            }),
        });
        self
    }

    fn mounting(mut self, name: &str, path: &str, source: pb::volume::Source) -> Self {
        self.message.volumes.push(pb::Volume {
            name: name.into(),
            source: Some(source),
            on_change: 0,
        });
        self.service().volume_mounts.push(pb::VolumeMount {
            name: name.into(),
            mount_path: path.into(),
            ..Default::default()
        });
        self
    }

    pub(crate) fn with_files(self, configuration: &str, path: &str) -> Self {
        let source = pb::volume::Source::Config(pb::ResourceRef {
            name: configuration.into(),
        });
        self.mounting("files", path, source)
    }

    pub(crate) fn with_secret(self, secret: &str, path: &str) -> Self {
        let source = pb::volume::Source::Secret(pb::ResourceRef {
            name: secret.into(),
        });
        self.mounting("secret", path, source)
    }

    pub(crate) fn with_data(self, path: &str) -> Self {
        let source = pb::volume::Source::Persistent(pb::PersistentFolder::default());
        self.mounting("data", path, source)
    }

    pub(crate) fn with_port(mut self, host_port: u16) -> Self {
        self.service().ports.push(pb::Port {
            name: "http".into(),
            host_port: host_port.into(),
            ..pb::Port::default()
        });
        self
    }

    pub(crate) fn with_memory(mut self, limit: &str) -> Self {
        let limits = [("memory".to_owned(), limit.to_owned())].into();
        self.service().resources = Some(pb::Resources {
            limits,
            ..pb::Resources::default()
        });
        self
    }

    pub(crate) fn ready_by(mut self, check: pb::probe::Check) -> Self {
        self.service().readiness_probe = Some(probe(check));
        self
    }

    pub(crate) fn alive_by(mut self, check: pb::probe::Check) -> Self {
        self.service().liveness_probe = Some(probe(check));
        self
    }

    pub(crate) fn within(mut self, seconds: i64) -> Self {
        let update = self.message.update.get_or_insert_default();
        update.deadline = Some(Duration { seconds, nanos: 0 });
        self
    }

    pub(crate) fn copies(mut self, replicas: u32) -> Self {
        self.message.replicas = Some(replicas);
        self
    }

    pub(crate) fn run_once(mut self) -> Self {
        self.message.set_workload(pb::Workload::Job);
        self
    }

    pub(crate) fn never_again(mut self) -> Self {
        self.service().set_restart_policy(pb::RestartPolicy::Never);
        self
    }

    pub(crate) fn labelled(mut self, label: &str) -> Self {
        self.message.labels.insert("label".into(), label.into());
        self
    }

    pub(crate) fn retried(mut self, retry: u64) -> Self {
        self.retry = retry;
        self
    }

    pub(crate) fn needing(mut self, feature: &str) -> Self {
        self.more_features.push(feature.into());
        self
    }

    /// A function application with its code in a configuration.
    pub(crate) fn serving_function(mut self, code: &str) -> Self {
        self.message.set_type(pb::ApplicationType::Function);
        let service = self.service();
        service.name = "sensors".into();
        service.runtime = "python3".into();
        service.code = Some(pb::Code {
            configuration: code.into(),
        });
        service.functions = vec![pb::FunctionSpec {
            name: "window".into(),
            handler: "window.handler".into(),
        }];
        self
    }
}

fn probe(check: pb::probe::Check) -> pb::Probe {
    pb::Probe {
        check: Some(check),
        period_seconds: 1,
        timeout_seconds: 120,
        failure_threshold: 1,
        ..pb::Probe::default()
    }
}

/// A command of a probe.
pub(crate) fn command(words: &[&str]) -> pb::probe::Check {
    pb::probe::Check::Exec(pb::ExecAction {
        command: words.iter().map(ToString::to_string).collect(),
    })
}

/// Succeeds while the instance is told to be ready.
pub(crate) fn ready() -> pb::probe::Check {
    command(&["test", "-e", "ready"])
}

/// Succeeds until the instance is told to hang.
pub(crate) fn alive() -> pb::probe::Check {
    command(&["test", "!", "-e", "hang"])
}
