//! What the node reports: four sections of entries, each a level that others follow.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_proto::resource::v1::{ApplicationStatus, MachineStatus};
use baetyl_proto::sync::v1::CoreReport;
use baetyl_shadow::{Digest, PropertySet, Section};
use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;

use crate::value;

/// The sections of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SectionName {
    Core,
    Machines,
    Applications,
    Properties,
}

impl SectionName {
    pub(crate) const ALL: [Self; 4] = [
        Self::Core,
        Self::Machines,
        Self::Applications,
        Self::Properties,
    ];

    /// Returns the word for it in frames.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Machines => "machines",
            Self::Applications => "applications",
            Self::Properties => "properties",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }
}

/// One section: the encoded entries, and their digests.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Entries {
    pub(crate) values: BTreeMap<String, Bytes>,
    pub(crate) section: Section,
}

impl Entries {
    /// Takes encoded entries. One whose key no section can hold is left out.
    fn new(values: BTreeMap<String, Bytes>) -> Self {
        let mut entries = Self::default();
        for (key, value) in values {
            match entries.section.insert(&key, Digest::of(&value)) {
                Ok(()) => drop(entries.values.insert(key, value)),
                Err(error) => {
                    let reason = error.reason();
                    tracing::warn!(key, reason, "entry cannot be reported");
                }
            }
        }
        entries
    }
}

/// All sections at one moment; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sections {
    entries: BTreeMap<SectionName, Arc<Entries>>,
}

impl Sections {
    pub(crate) fn get(&self, name: SectionName) -> Arc<Entries> {
        self.entries.get(&name).cloned().unwrap_or_default()
    }

    /// The digest of each section, by its word.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        SectionName::ALL
            .into_iter()
            .map(|name| {
                let digest = self.get(name).section.digest();
                (name.word().to_owned(), digest.to_string())
            })
            .collect()
    }
}

/// Where the parts of core put what they report. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reported {
    sections: watch::Sender<Sections>,
}

impl Reported {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Sections> {
        self.sections.subscribe()
    }

    pub(crate) fn set_core(&self, report: &CoreReport) {
        let value = Bytes::from(report.encode_to_vec());
        self.set(SectionName::Core, [("core".to_owned(), value)].into());
    }

    pub(crate) fn set_machines(&self, machines: &[MachineStatus]) {
        let encoded = machines.iter().map(|machine| {
            let value = Bytes::from(machine.encode_to_vec());
            (machine.hostname.clone(), value)
        });
        self.set(SectionName::Machines, encoded.collect());
    }

    pub(crate) fn set_applications(&self, applications: &BTreeMap<String, Arc<ApplicationStatus>>) {
        let encoded = applications
            .iter()
            .map(|(name, status)| (name.clone(), Bytes::from(status.encode_to_vec())));
        self.set(SectionName::Applications, encoded.collect());
    }

    pub(crate) fn set_properties(&self, properties: &PropertySet) {
        let encoded = properties.iter().map(|(key, property)| {
            let json = serde_json::Value::from(&property.value);
            let value = value::from_json(&json).encode_to_vec();
            (key.to_string(), Bytes::from(value))
        });
        self.set(SectionName::Properties, encoded.collect());
    }

    fn set(&self, name: SectionName, values: BTreeMap<String, Bytes>) {
        let entries = Arc::new(Entries::new(values));
        self.sections.send_if_modified(|sections| {
            if sections.get(name).section == entries.section {
                return false;
            }
            sections.entries.insert(name, entries);
            true
        });
    }
}
