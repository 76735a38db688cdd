//! Builds material from documents as people write them, and reads the rendered objects.

use std::collections::BTreeMap;
use std::time::SystemTime;

use baetyl_model::{Application, Certificate, Configuration, Registry, Secret};
use baetyl_proto::cloud::v1::document::Resource;
use baetyl_proto::document::parse_documents;
use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use serde_json::Value;

use crate::dependency::ServiceCredentials;
use crate::desired::{InputKey, Pin};
use crate::driver::Refusal;
use crate::inputs::Files;
use crate::kube::manifest::{manifest, release_hash};
use crate::kube::material::{Input, Material};
use crate::kube::object::Object;
use crate::kube::settings::{FunctionSettings, KubeSettings};

pub(super) fn settings() -> KubeSettings {
    let mut settings = KubeSettings::new("0c8d1b4e-5f6a-4b7c-8d9e-0a1b2c3d4e5f", "edge-1");
    settings.allowed_namespaces.push("factory".to_owned());
    settings.functions = Some(FunctionSettings {
        runtime_image: "baetyl/baetyl:1".to_owned(),
        attach_address: "baetyl-function.baetyl-edge-system.svc:9012".to_owned(),
    });
    settings
}

/// An application with its inputs, pinned; the contract's own rules have been kept.
#[derive(Clone)]
pub(super) struct Fixture {
    pub(super) material: Material,
    pub(super) pin: Pin,
}

impl Fixture {
    /// Reads documents: inputs and one application.
    pub(super) fn read(text: &str) -> Self {
        let mut inputs = BTreeMap::new();
        let mut application = None;
        for parsed in parse_documents("case.yaml", text).expect("documents") {
            match parsed.document.resource.expect("a resource") {
                Resource::Application(message) => {
                    application =
                        Some(Application::try_new(message).expect("right").into_message());
                }
                other => {
                    let (key, input) = input(other);
                    inputs.insert(key, input);
                }
            }
        }
        Self::new(application.expect("an application"), inputs)
    }

    pub(super) fn new(application: pb::Application, inputs: BTreeMap<InputKey, Input>) -> Self {
        let services = application
            .init_services
            .iter()
            .chain(&application.services);
        let credentials = services.map(|service| {
            let of_service = ServiceCredentials {
                chain_pem: format!("CHAIN OF {}", service.name),
                key_pem: format!("KEY OF {}", service.name),
                ca_pem: "AUTHORITIES".to_owned(),
                not_after: SystemTime::UNIX_EPOCH,
            };
            (service.name.clone(), of_service)
        });
        let material = Material {
            revision: 3,
            release: String::new(),
            credentials: credentials.collect(),
            application,
            inputs,
        };
        let pin = Pin {
            uid: "uid".to_owned(),
            revision: 3,
            digest: Digest::of(b"body"),
            template_digest: Digest::of(b"template"),
            inputs: BTreeMap::new(),
            retry: 0,
        };
        let mut fixture = Self { material, pin };
        fixture.pin_inputs();
        fixture
    }

    /// Changes a value of an input, as an apply in the cloud does.
    pub(super) fn change(&mut self, key: &InputKey, name: &str, value: &'static str) {
        let input = self
            .material
            .inputs
            .get_mut(key)
            .expect("an input of the case");
        input.files.insert(name.to_owned(), value.into());
        input.digest = digest(&input.files);
        self.pin_inputs();
    }

    fn pin_inputs(&mut self) {
        let inputs = self.material.inputs.iter();
        self.pin.inputs = inputs
            .map(|(key, input)| (key.clone(), input.digest))
            .collect();
    }

    pub(super) fn release(&self) -> Result<String, Refusal> {
        release_hash(&self.material.application, &self.pin, &settings())
    }

    /// Renders it as the engine does: with its release.
    pub(super) fn render(&self) -> Result<Vec<Object>, Refusal> {
        let mut material = self.material.clone();
        material.release = self.release()?;
        manifest(&material, &settings())
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        self.render().expect("it can be rendered")
    }

    pub(super) fn refusal(&self) -> Refusal {
        self.render().expect_err("it cannot be rendered")
    }
}

/// The template of the pods among objects.
pub(super) fn template(objects: &[Object]) -> Value {
    let kinds = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];
    let mut workloads = objects
        .iter()
        .filter(|object| kinds.contains(&object.key().kind.as_str()));
    let (Some(workload), None) = (workloads.next(), workloads.next()) else {
        panic!("there is one workload, not {objects:?}");
    };
    let spec = &workload.body()["spec"];
    let spec = spec.pointer("/jobTemplate/spec").unwrap_or(spec);
    spec["template"].clone()
}

/// Objects as a file of YAML documents.
pub(super) fn yaml(objects: &[Object]) -> String {
    let documents = objects
        .iter()
        .map(|object| baetyl_proto::json::to_yaml(object.body()).expect("keys are text"));
    documents.collect::<Vec<_>>().join("---\n")
}

fn input(resource: Resource) -> (InputKey, Input) {
    let mut binary = Vec::new();
    let (key, files) = match resource {
        Resource::Configuration(message) => {
            let message = Configuration::try_new(message)
                .expect("right")
                .into_message();
            binary.extend(message.binary_data.keys().cloned());
            let text = message.data.into_iter();
            let text = text.map(|(key, value)| (key, value.into()));
            let files = text.chain(message.binary_data).collect();
            (InputKey::configuration(message.name), files)
        }
        Resource::Secret(message) => {
            let message = Secret::try_new(message).expect("right").into_message();
            (InputKey::secret(message.name), message.data)
        }
        Resource::Certificate(message) => {
            let message = Certificate::try_new(message).expect("right").into_message();
            let files = files([
                ("tls.crt", message.certificate_pem),
                ("tls.key", message.private_key_pem),
                ("ca.crt", message.ca_pem),
            ]);
            (InputKey::certificate(message.name), files)
        }
        Resource::Registry(message) => {
            let message = Registry::try_new(message).expect("right").into_message();
            let files = files([
                ("address", message.address),
                ("username", message.username),
                ("password", message.password),
            ]);
            (InputKey::registry(message.name), files)
        }
        other => panic!("{other:?} is no input"),
    };
    let digest = digest(&files);
    let input = Input {
        digest,
        files,
        binary,
    };
    (key, input)
}

fn files<const N: usize>(fields: [(&str, String); N]) -> Files {
    let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
    fields
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect()
}

/// Not that of a stored body, but as telling.
fn digest(files: &Files) -> Digest {
    Digest::of_pieces(
        files
            .iter()
            .flat_map(|(key, value)| [key.as_bytes(), value]),
    )
}
