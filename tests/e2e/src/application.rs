//! Builders of applications that read as sentences.

use baetyl_proto::resource::v1 as pb;
use prost_types::Duration;

use crate::behaviour::{Behaviour, HANGS, READY};

/// Name of the first service.
pub const MAIN: &str = "main";

/// An application as somebody writes it.
#[derive(Clone, Debug)]
pub struct App {
    /// The document.
    pub message: pb::Application,
    /// Raised when someone retries a failed revision.
    pub retry: u64,
}

impl App {
    /// An application of one container that serves.
    #[must_use]
    pub fn container(name: &str, image: &str) -> Self {
        let service = pb::Service {
            name: MAIN.to_owned(),
            image: image.to_owned(),
            stop_grace_period: Some(seconds(5)),
            ..pb::Service::default()
        };
        let app = Self {
            message: pb::Application {
                name: name.to_owned(),
                r#type: pb::ApplicationType::Container.into(),
                services: vec![service],
                ..pb::Application::default()
            },
            retry: 0,
        };
        app.behaves(Behaviour::Serve)
    }

    /// An application of one service in Python with the application's name and the function
    /// `answer`, which is `answer.handler` in a configuration.
    #[must_use]
    pub fn function(name: &str, configuration: &str) -> Self {
        let service = pb::Service {
            name: name.to_owned(),
            runtime: "python3".to_owned(),
            functions: vec![pb::FunctionSpec {
                name: "answer".to_owned(),
                handler: "answer.handler".to_owned(),
            }],
            code: Some(pb::Code {
                configuration: configuration.to_owned(),
            }),
            concurrency: 2,
            ..pb::Service::default()
        };
        Self {
            message: pb::Application {
                name: name.to_owned(),
                r#type: pb::ApplicationType::Function.into(),
                services: vec![service],
                ..pb::Application::default()
            },
            retry: 0,
        }
    }

    /// An application of raw objects, which stand in a configuration.
    #[must_use]
    pub fn manifest(name: &str, configuration: &str) -> Self {
        Self {
            message: pb::Application {
                name: name.to_owned(),
                r#type: pb::ApplicationType::Manifest.into(),
                manifest: Some(pb::ManifestSource {
                    configuration: configuration.to_owned(),
                    keys: Vec::new(),
                }),
                ..pb::Application::default()
            },
            retry: 0,
        }
    }

    /// An application of a chart, which stands in a configuration.
    #[must_use]
    pub fn helm(name: &str, configuration: &str, key: &str) -> Self {
        Self {
            message: pb::Application {
                name: name.to_owned(),
                r#type: pb::ApplicationType::Helm.into(),
                helm: Some(pb::HelmChart {
                    configuration: configuration.to_owned(),
                    key: key.to_owned(),
                    ..pb::HelmChart::default()
                }),
                ..pb::Application::default()
            },
            retry: 0,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.message.name
    }

    /// Changed in some other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut pb::Application)) -> Self {
        change(&mut self.message);
        self
    }

    /// With its service changed in some other way.
    #[must_use]
    pub fn service(self, change: impl FnOnce(&mut pb::Service)) -> Self {
        self.with(|message| change(&mut message.services[0]))
    }

    /// Its container does this.
    #[must_use]
    pub fn behaves(self, behaviour: Behaviour) -> Self {
        self.service(|service| service.command = behaviour.command())
    }

    /// With another image.
    #[must_use]
    pub fn image(self, image: &str) -> Self {
        self.service(|service| image.clone_into(&mut service.image))
    }

    /// Differs from other versions of it in nothing but this.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        self.variable("VERSION", version)
    }

    /// With a variable.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.service(|service| {
            service.env.retain(|variable| variable.name != name);
            service.env.push(pb::EnvVar {
                name: name.to_owned(),
                value: value.to_owned(),
                value_from: None,
            });
        })
    }

    /// With a variable out of a configuration.
    #[must_use]
    pub fn variable_of(self, name: &str, configuration: &str, key: &str) -> Self {
        self.variable_from(
            name,
            pb::env_var_source::Source::ConfigKeyRef(reference(configuration, key)),
        )
    }

    /// With a variable out of a secret.
    #[must_use]
    pub fn variable_of_secret(self, name: &str, secret: &str, key: &str) -> Self {
        self.variable_from(
            name,
            pb::env_var_source::Source::SecretKeyRef(reference(secret, key)),
        )
    }

    fn variable_from(self, name: &str, source: pb::env_var_source::Source) -> Self {
        self.service(|service| {
            service.env.push(pb::EnvVar {
                name: name.to_owned(),
                value: String::new(),
                value_from: Some(pb::EnvVarSource {
                    source: Some(source),
                }),
            });
        })
    }

    /// With a volume at a path.
    #[must_use]
    pub fn mounts(self, name: &str, path: &str, source: pb::volume::Source) -> Self {
        self.with(|message| {
            message.volumes.push(pb::Volume {
                name: name.to_owned(),
                source: Some(source),
                on_change: 0,
            });
            message.services[0].volume_mounts.push(pb::VolumeMount {
                name: name.to_owned(),
                mount_path: path.to_owned(),
                ..pb::VolumeMount::default()
            });
        })
    }

    /// With the files of a configuration at a path; a change of it reloads.
    #[must_use]
    pub fn files(self, configuration: &str, path: &str) -> Self {
        let source = pb::volume::Source::Config(named(configuration));
        self.mounts(&format!("files-{configuration}"), path, source)
    }

    /// With the files of a secret at a path; a change of it reloads.
    #[must_use]
    pub fn secret_files(self, secret: &str, path: &str) -> Self {
        let source = pb::volume::Source::Secret(named(secret));
        self.mounts(&format!("secret-{secret}"), path, source)
    }

    /// A change of the volume that was added last restarts.
    #[must_use]
    pub fn restarting(self) -> Self {
        self.with(|message| {
            if let Some(volume) = message.volumes.last_mut() {
                volume.set_on_change(pb::OnChange::Restart);
            }
        })
    }

    /// With a folder that outlives its instances.
    #[must_use]
    pub fn data(self, path: &str, class: &str) -> Self {
        let source = pb::volume::Source::Persistent(pb::PersistentFolder {
            size: "8Mi".to_owned(),
            storage_class: class.to_owned(),
            ..pb::PersistentFolder::default()
        });
        self.mounts("data", path, source)
    }

    /// With a folder of each instance's own that holds no more than so much.
    #[must_use]
    pub fn scratch(self, path: &str, limit: &str) -> Self {
        let source = pb::volume::Source::EmptyDir(pb::EmptyDir {
            size_limit: limit.to_owned(),
            ..pb::EmptyDir::default()
        });
        self.mounts("scratch", path, source)
    }

    /// Ready while it says so.
    #[must_use]
    pub fn ready_by_file(self) -> Self {
        self.service(|service| service.readiness_probe = Some(probe(&["test", "-e", READY])))
    }

    /// Started anew when it says that it hangs.
    #[must_use]
    pub fn alive_by_file(self) -> Self {
        self.service(|service| service.liveness_probe = Some(probe(&["test", "!", "-e", HANGS])))
    }

    /// With a port of the cluster.
    #[must_use]
    pub fn port(self, name: &str, port: u32) -> Self {
        self.service(|service| {
            service.ports.push(pb::Port {
                name: name.to_owned(),
                container_port: port,
                ..pb::Port::default()
            });
        })
    }

    /// Kept in another way.
    #[must_use]
    pub fn workload(self, workload: pb::Workload) -> Self {
        self.with(|message| message.set_workload(workload))
    }

    /// So many copies.
    #[must_use]
    pub fn copies(self, replicas: u32) -> Self {
        self.with(|message| message.replicas = Some(replicas))
    }

    /// Ready and soaked within so long.
    #[must_use]
    pub fn within(self, deadline: std::time::Duration) -> Self {
        self.with(|message| {
            let update = message.update.get_or_insert_default();
            update.deadline = Some(seconds(i64::try_from(deadline.as_secs()).unwrap_or(60)));
        })
    }

    /// Ready for so many seconds before it counts.
    #[must_use]
    pub fn soaks(self, time: i64) -> Self {
        self.with(|message| {
            message.update.get_or_insert_default().soak = Some(seconds(time));
        })
    }

    /// Stays as it is when a revision fails.
    #[must_use]
    pub fn without_rollback(self) -> Self {
        self.with(|message| message.update.get_or_insert_default().rollback = Some(false))
    }

    /// In another namespace of the cluster.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        self.with(|message| namespace.clone_into(&mut message.kube_namespace))
    }

    /// With a limit of a resource for its container.
    #[must_use]
    pub fn limit(self, resource: &str, quantity: &str) -> Self {
        self.service(|service| {
            let resources = service.resources.get_or_insert_default();
            resources
                .limits
                .insert(resource.to_owned(), quantity.to_owned());
        })
    }

    /// Tried once more after it failed.
    #[must_use]
    pub fn retried(mut self) -> Self {
        self.retry += 1;
        self
    }
}

/// So many seconds.
#[must_use]
pub fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

/// A resource by name.
#[must_use]
pub fn named(name: &str) -> pb::ResourceRef {
    pb::ResourceRef {
        name: name.to_owned(),
    }
}

fn reference(name: &str, key: &str) -> pb::KeyRef {
    pb::KeyRef {
        name: name.to_owned(),
        key: key.to_owned(),
    }
}

/// A command that is asked each second.
#[must_use]
pub fn probe(command: &[&str]) -> pb::Probe {
    pb::Probe {
        check: Some(pb::probe::Check::Exec(pb::ExecAction {
            command: command.iter().map(|&word| word.to_owned()).collect(),
        })),
        period_seconds: 1,
        timeout_seconds: 5,
        failure_threshold: 2,
        ..pb::Probe::default()
    }
}
