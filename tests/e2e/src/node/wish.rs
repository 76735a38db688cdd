//! The documents of a node, as the cloud keeps them: checked, numbered, pinned by digest.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use baetyl_engine::DesiredSet;
use baetyl_engine::memory::MemoryBodies;
use baetyl_model::{Application, Message, Resource};
use baetyl_proto::resource::v1 as pb;
use baetyl_proto::sync::v1::{DesiredApplication, InputRef};
use baetyl_shadow::{Digest, Epoch, Fence, Generation};

use crate::application::App;

/// Everything that is said to a node.
#[derive(Clone, Default)]
pub struct Documents {
    wanted: BTreeMap<String, App>,
    /// Revision and encoded body of each application that was ever wanted.
    revisions: BTreeMap<String, (u64, Digest)>,
    inputs: BTreeMap<String, Digest>,
    set: Vec<DesiredApplication>,
    generation: u64,
}

/// An input of applications.
#[derive(Clone, Debug)]
pub struct Input(Message);

impl Input {
    /// A configuration of text.
    #[must_use]
    pub fn configuration(name: &str, values: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self(Message::Configuration(pb::Configuration {
            name: name.to_owned(),
            data: values.iter().map(own).collect(),
            ..pb::Configuration::default()
        }))
    }

    /// A configuration of bytes.
    #[must_use]
    pub fn binary(name: &str, key: &str, bytes: Vec<u8>) -> Self {
        Self(Message::Configuration(pb::Configuration {
            name: name.to_owned(),
            binary_data: [(key.to_owned(), bytes.into())].into(),
            ..pb::Configuration::default()
        }))
    }

    /// A secret of text.
    #[must_use]
    pub fn secret(name: &str, values: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self(Message::Secret(pb::Secret {
            name: name.to_owned(),
            string_data: values.iter().map(own).collect(),
            ..pb::Secret::default()
        }))
    }

    /// A certificate with its key.
    #[must_use]
    pub fn certificate(certificate: pb::Certificate) -> Self {
        Self(Message::Certificate(certificate))
    }

    /// Credentials of a registry.
    #[must_use]
    pub fn registry(name: &str, address: &str, username: &str, password: &str) -> Self {
        Self(Message::Registry(pb::Registry {
            name: name.to_owned(),
            address: address.to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            ..pb::Registry::default()
        }))
    }
}

impl Documents {
    pub(super) fn input(&mut self, input: Input, bodies: &MemoryBodies) -> Result<()> {
        let kind = input.0.kind();
        let name = input.0.name().to_owned();
        let resource = Resource::try_new(input.0)
            .map_err(|violations| anyhow!("{} {name}: {violations:?}", kind.word()))?;
        let digest = bodies.put(resource.encode());
        self.inputs
            .insert(format!("{}/{name}", kind.word()), digest);
        Ok(())
    }

    pub(super) fn applications(&mut self, apps: &[App], bodies: &MemoryBodies) -> Result<()> {
        let mut set = Vec::new();
        for app in apps {
            set.push(self.pinned(app, bodies)?);
        }
        let named = apps.iter().map(|app| (app.name().to_owned(), app.clone()));
        self.wanted = named.collect();
        if set != self.set || self.generation == 0 {
            self.set = set;
            self.generation += 1;
        }
        Ok(())
    }

    fn pinned(&mut self, app: &App, bodies: &MemoryBodies) -> Result<DesiredApplication> {
        let name = app.name().to_owned();
        let application = Application::try_new(app.message.clone())
            .map_err(|violations| anyhow!("application {name}: {violations:?}"))?;
        let digest = bodies.put(application.encode());
        let (revision, known) = self.revisions.entry(name.clone()).or_insert((0, digest));
        if *known != digest || *revision == 0 {
            *revision += 1;
            *known = digest;
        }
        let revision = *revision;
        let mut inputs = Vec::new();
        for input in application.inputs() {
            let key = format!("{}/{}", input.kind.word(), input.name);
            let digest = self.inputs.get(&key);
            let digest = digest.with_context(|| format!("{name} uses {key}, which is not said"))?;
            inputs.push(InputRef {
                kind: input.kind.word().to_owned(),
                name: input.name.to_string(),
                revision: 1,
                digest: digest.to_string(),
            });
        }
        Ok(DesiredApplication {
            uid: format!("uid-{name}"),
            revision,
            digest: digest.to_string(),
            template_digest: application.template_digest().to_string(),
            inputs,
            retry: app.retry,
            features: application
                .features()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            name,
        })
    }

    pub(super) fn desired(&self) -> Option<DesiredSet> {
        Some(DesiredSet {
            fence: self.fence()?,
            applications: self.set.clone(),
        })
    }

    /// Names the newest wish; `None` before the first one.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        (self.generation > 0).then(|| Fence {
            epoch: Epoch::default(),
            generation: Generation::new(self.generation),
        })
    }

    /// The applications that are wanted.
    pub fn wanted(&self) -> impl Iterator<Item = &App> {
        self.wanted.values()
    }

    /// The newest revision of an application; 0 when it was never wanted.
    #[must_use]
    pub fn revision(&self, application: &str) -> u64 {
        self.revisions
            .get(application)
            .map_or(0, |(revision, _)| *revision)
    }

    /// Digest of each input that an application uses, by `kind/name`.
    #[must_use]
    pub fn digests(&self, application: &str) -> BTreeMap<String, String> {
        let found = self.set.iter().find(|item| item.name == application);
        let inputs = found.into_iter().flat_map(|item| &item.inputs);
        inputs
            .map(|input| {
                let key = format!("{}/{}", input.kind, input.name);
                (key, input.digest.clone())
            })
            .collect()
    }
}
