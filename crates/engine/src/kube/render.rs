//! From a pin to the objects of the cluster: reads bodies, issues certificates, and renders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use baetyl_model::Application;
use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use tokio::time::timeout;

use super::context::Context;
use super::material::{Input, Material};
use super::object::{Object, ObjectKey};
use super::record::Draft;
use super::settings::KubeSettings;
use super::{manifest, names, source};
use crate::dependency::ServiceCredentials;
use crate::desired::Pin;
use crate::driver::Refusal;
use crate::inputs::Inputs;
use crate::reason;

/// How long a certificate may take.
const ISSUE_BOUND: Duration = Duration::from_secs(30);

/// A certificate is never asked for more often, whatever its lifetime.
const LEAST_LIFETIME: Duration = Duration::from_secs(1);

/// What a pin was rendered to.
pub(super) struct Rendered {
    pub(super) draft: Draft,
    pub(super) objects: Vec<Object>,
    /// Parts of a chart that are not run.
    pub(super) hooks: Vec<ObjectKey>,
    /// The service of each Secret that holds a certificate.
    certificates: BTreeMap<ObjectKey, String>,
}

impl Rendered {
    /// Returns the service whose certificate an object holds.
    pub(super) fn service(&self, key: &ObjectKey) -> Option<&String> {
        self.certificates.get(key)
    }

    /// Returns what an object is compared by. A certificate is another one each time it is issued,
    /// and what it is counts by its age.
    pub(super) fn digest(&self, object: &Object) -> Digest {
        if !self.certificates.contains_key(object.key()) {
            return object.digest();
        }
        let mut stripped = object.clone();
        stripped.edit(|body| {
            if let Some(fields) = body.as_object_mut() {
                fields.remove("data");
            }
        });
        stripped.digest()
    }
}

/// Everything that a pin is rendered from, certificates left out.
pub(super) struct Source {
    material: Material,
    pin: Pin,
    rendering: String,
    inputs: String,
    services: Vec<String>,
}

/// Reads what a pin is rendered from. `known` are the releases whose pods may be there, with the
/// revision that these name.
///
/// # Errors
/// [`Refusal`]: a body is not there or cannot be read.
pub(super) async fn load(
    context: &Context,
    pin: &Pin,
    known: &[(String, u64)],
) -> Result<Source, Refusal> {
    let bodies = context.dependencies.bodies.clone();
    let Some(body) = bodies.body(&pin.digest).await? else {
        let message = "the body of the application is not on this node";
        return Err(Refusal::passing(reason::BODY_MISSING, message));
    };
    let application = Application::decode(&body).map_err(|error| {
        let message = format!("the application {error}");
        Refusal::lasting(reason::INVALID_APPLICATION, message)
    })?;
    let application = application.into_message();
    let reader = Inputs::new(pin.inputs.clone(), bodies);
    let mut inputs = BTreeMap::new();
    for (key, digest) in &pin.inputs {
        let content = reader.content(key).await?;
        let input = Input {
            digest: *digest,
            files: content.files,
            binary: content.binary,
        };
        inputs.insert(key.clone(), input);
    }
    let release = manifest::release_hash(&application, pin, &context.settings)?;
    let begun = known.iter().find(|(label, _)| *label == release);
    Ok(Source {
        rendering: context.rendering.clone(),
        inputs: manifest::inputs_hash(&application, pin),
        services: services(&application),
        pin: pin.clone(),
        material: Material {
            revision: begun.map_or(pin.revision, |(_, revision)| *revision),
            release,
            application,
            inputs,
            credentials: BTreeMap::new(),
        },
    })
}

/// The services that have a certificate.
fn services(application: &pb::Application) -> Vec<String> {
    let all = application
        .init_services
        .iter()
        .chain(&application.services);
    all.map(|service| service.name.clone()).collect()
}

impl Source {
    /// Issues certificates for services; returns when each must be renewed. The others get texts
    /// that are none, and are not to be applied.
    ///
    /// # Errors
    /// [`Refusal`], passing.
    pub(super) async fn certify(
        &mut self,
        context: &Context,
        services: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, SystemTime>, Refusal> {
        let mut renewals = BTreeMap::new();
        for service in services {
            let credentials = issue(context, &self.material.application.name, service).await?;
            renewals.insert(service.clone(), renewal(&credentials));
            self.material
                .credentials
                .insert(service.clone(), credentials);
        }
        Ok(renewals)
    }

    /// Renders.
    ///
    /// # Errors
    /// [`Refusal`]: the application asks for something impossible, or its source cannot be read.
    pub(super) async fn render(&mut self, context: &Context) -> Result<Rendered, Refusal> {
        for service in &self.services {
            let credentials = &mut self.material.credentials;
            credentials.entry(service.clone()).or_insert_with(none);
        }
        let (objects, hooks) = match self.material.application.r#type() {
            pb::ApplicationType::Manifest | pb::ApplicationType::Helm => {
                self.sourced(context).await?
            }
            pb::ApplicationType::Container
            | pb::ApplicationType::Function
            | pb::ApplicationType::Process
            | pb::ApplicationType::Unspecified => {
                let made = self.beside(context, manifest::manifest).await?;
                (made, Vec::new())
            }
        };
        let application = &self.material.application.name;
        let secrets: BTreeMap<String, &String> = self
            .services
            .iter()
            .map(|service| (names::credentials(application, service), service))
            .collect();
        let certificates = objects
            .iter()
            .map(Object::key)
            .filter(|key| key.kind == "Secret")
            .filter_map(|key| Some((key.clone(), (*secrets.get(&key.name)?).clone())))
            .collect();
        let draft = Draft {
            pin: self.pin.clone(),
            label: self.material.release.clone(),
            revision: self.material.revision,
            objects: objects.iter().map(|object| object.key().clone()).collect(),
            rendering: self.rendering.clone(),
            inputs: self.inputs.clone(),
        };
        Ok(Rendered {
            draft,
            objects,
            hooks,
            certificates,
        })
    }

    /// Reads raw objects or renders a chart, and puts on what marks objects as ours.
    async fn sourced(&self, context: &Context) -> Result<(Vec<Object>, Vec<ObjectKey>), Refusal> {
        let cluster = &context.cluster;
        let sourced = source::objects(cluster, &self.material, &context.settings).await?;
        let scopes = cluster.scopes(&sourced.objects).await?;
        let dressed = self
            .beside(context, move |material, settings| {
                let scope = |api_version: &str, kind: &str| scopes.get(api_version, kind);
                manifest::dress(sourced.objects, material, settings, &scope)
            })
            .await?;
        Ok((dressed, sourced.hooks))
    }

    /// Works on a thread where that holds nobody up.
    async fn beside<T: Send + 'static>(
        &self,
        context: &Context,
        work: impl FnOnce(&Material, &KubeSettings) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (material, settings) = (self.material.clone(), context.settings.clone());
        let done = tokio::task::spawn_blocking(move || work(&material, &settings)).await;
        done.unwrap_or_else(|error| {
            let message = format!("rendering did not end: {error}");
            Err(Refusal::lasting(reason::INVALID_APPLICATION, message))
        })
    }
}

/// What stands for a certificate that is not needed.
fn none() -> ServiceCredentials {
    ServiceCredentials {
        chain_pem: String::new(),
        key_pem: String::new(),
        ca_pem: String::new(),
        not_after: SystemTime::UNIX_EPOCH,
    }
}

async fn issue(
    context: &Context,
    application: &str,
    service: &str,
) -> Result<ServiceCredentials, Refusal> {
    let issuing = context
        .dependencies
        .certificates
        .issue(application, service);
    let failure = match timeout(ISSUE_BOUND, issuing).await {
        Ok(Ok(credentials)) => return Ok(credentials),
        Ok(Err(error)) => baetyl_service_kit::fault::chain(&error),
        Err(_) => "it took too long".to_owned(),
    };
    Err(Refusal::passing(
        reason::CERTIFICATE_UNAVAILABLE,
        format!("no certificate for service {service}: {failure}"),
    ))
}

/// When two thirds of the lifetime are over.
fn renewal(credentials: &ServiceCredentials) -> SystemTime {
    let now = SystemTime::now();
    let lifetime = credentials.not_after.duration_since(now);
    now + (lifetime.unwrap_or_default() * 2 / 3).max(LEAST_LIFETIME)
}
