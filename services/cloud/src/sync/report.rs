//! Sections of reported state: what is stored, and its digests.
//!
//! An entry is stored under `uid/section/key` as eight bytes of time (milliseconds since 1970,
//! big end first) and the entry's own bytes; digests are over the latter only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use baetyl_model::{Digest, NamespaceName, Uid};
use baetyl_proto::resource::v1::{ApplicationStatus, MachineStatus};
use baetyl_proto::sync::v1 as wire;
use baetyl_shadow::{PropertyKey, Section, SectionDelta};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost_types::value::Kind as ValueKind;

use crate::records;
use crate::store::{Record, RecordKey, Store, StoreError, Table, Write};

/// The sections that a node reports.
pub(crate) const SECTIONS: [&str; 4] = [CORE, MACHINES, APPLICATIONS, PROPERTIES];
/// What core says of itself.
pub(crate) const CORE: &str = "core";
/// The machines of the node.
pub(crate) const MACHINES: &str = "machines";
/// The applications on the node.
pub(crate) const APPLICATIONS: &str = "applications";
/// What the node says of itself.
pub(crate) const PROPERTIES: &str = "properties";

/// The largest entry.
const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// Every stored entry of a node, or of one of its sections.
pub(crate) fn prefix(namespace: &NamespaceName, uid: &Uid, section: &str) -> RecordKey {
    let key = match section {
        "" => format!("{uid}/"),
        section => format!("{uid}/{section}/"),
    };
    records::key(namespace.as_str(), Table::Report, key)
}

/// One stored entry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) time: SystemTime,
    pub(crate) value: Bytes,
}

impl Entry {
    fn read(record: &Record) -> Option<Self> {
        let (_, rest) = record.key.split_once('/')?;
        let (section, key) = rest.split_once('/')?;
        let millis = record.value.first_chunk::<8>()?;
        Some(Self {
            section: section.to_owned(),
            key: key.to_owned(),
            time: UNIX_EPOCH + Duration::from_millis(u64::from_be_bytes(*millis)),
            value: record.value.slice(8..),
        })
    }
}

/// Reads the entries of a node; of one section when it is named.
pub(crate) async fn entries(
    store: &dyn Store,
    namespace: &NamespaceName,
    uid: &Uid,
    section: &str,
) -> Result<Vec<Entry>, StoreError> {
    let records = records::all(store, &prefix(namespace, uid, section)).await?;
    Ok(records.iter().filter_map(Entry::read).collect())
}

/// What a report changes.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// To be committed before the report is acknowledged.
    pub(crate) writes: Vec<Write>,
    /// Entries that changed, came or went.
    pub(crate) changed: BTreeSet<String>,
    /// Whether the section is not what the node has: it is asked for whole.
    pub(crate) is_out_of_step: bool,
}

/// A report breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ReportError(String);

/// The digests of what is stored of a node.
#[derive(Debug)]
pub(crate) struct Sections {
    namespace: NamespaceName,
    uid: Uid,
    sections: BTreeMap<&'static str, Section>,
}

impl Sections {
    /// Reads what is stored.
    pub(crate) async fn load(
        store: &dyn Store,
        namespace: &NamespaceName,
        uid: &Uid,
    ) -> Result<Self, StoreError> {
        let mut sections: BTreeMap<&'static str, Section> = BTreeMap::new();
        for entry in entries(store, namespace, uid, "").await? {
            let Some(name) = known(&entry.section) else {
                continue;
            };
            let section = sections.entry(name).or_default();
            section
                .insert(&entry.key, Digest::of(&entry.value))
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        }
        Ok(Self {
            namespace: namespace.clone(),
            uid: uid.clone(),
            sections,
        })
    }

    /// The sections that differ from what the node has; one that it does not name is empty there.
    pub(crate) fn missing(&self, theirs: &BTreeMap<String, String>) -> Vec<String> {
        let differs = |name: &&str| {
            let ours = self.sections.get(*name);
            match theirs.get(*name) {
                Some(digest) => *digest != digest_of(ours),
                None => ours.is_some_and(|section| !section.is_empty()),
            }
        };
        SECTIONS
            .into_iter()
            .filter(differs)
            .map(str::to_owned)
            .collect()
    }

    /// Takes a report; `None` for a section that is not known here.
    ///
    /// # Errors
    /// An entry is malformed or too large, there are too many, or a whole section has not the
    /// digest that it says.
    pub(crate) fn apply(
        &mut self,
        report: &wire::Report,
        now: SystemTime,
    ) -> Result<Option<Applied>, ReportError> {
        let Some(name) = known(&report.section) else {
            return Ok(None);
        };
        let mut values = BTreeMap::new();
        let mut delta = SectionDelta::default();
        let section = self.sections.entry(name).or_default();
        for entry in &report.entries {
            check(name, entry)?;
            let digest = Digest::of(&entry.value);
            if section.get(&entry.key) != Some(&digest) {
                delta.changed.insert(entry.key.clone(), digest);
                values.insert(entry.key.as_str(), &entry.value);
            }
        }
        let kept: BTreeSet<&str> = report
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        let removed = report.removed_keys.iter().map(String::as_str);
        let removed: BTreeSet<&str> = if report.full {
            section
                .iter()
                .map(|(key, _)| key)
                .filter(|key| !kept.contains(key))
                .collect()
        } else {
            removed.filter(|key| section.get(key).is_some()).collect()
        };
        delta.removed = removed.into_iter().map(str::to_owned).collect();
        section
            .apply(&delta)
            .map_err(|error| ReportError(error.to_string()))?;
        let is_out_of_step = section.digest().to_string() != report.section_digest;
        if is_out_of_step && report.full {
            return Err(ReportError(format!(
                "the section {name} was sent whole and has another digest"
            )));
        }
        let mut applied = Applied {
            is_out_of_step,
            ..Applied::default()
        };
        let prefix = prefix(&self.namespace, &self.uid, name);
        let record = |key: &str| RecordKey {
            key: format!("{}{key}", prefix.key),
            ..prefix.clone()
        };
        for (key, value) in values {
            applied
                .writes
                .push(Write::PutRecord(record(key), stamped(value, now)));
        }
        for key in &delta.removed {
            applied.writes.push(Write::DeleteRecord(record(key)));
        }
        applied.changed.extend(delta.changed.into_keys());
        applied.changed.extend(delta.removed);
        Ok(Some(applied))
    }
}

fn known(section: &str) -> Option<&'static str> {
    SECTIONS.into_iter().find(|known| *known == section)
}

fn digest_of(section: Option<&Section>) -> String {
    section
        .map_or_else(|| Section::new().digest(), Section::digest)
        .to_string()
}

fn stamped(value: &Bytes, now: SystemTime) -> Bytes {
    let millis = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let mut bytes = BytesMut::with_capacity(8 + value.len());
    bytes.put_u64(u64::try_from(millis).unwrap_or(u64::MAX));
    bytes.put_slice(value);
    bytes.freeze()
}

fn check(section: &str, entry: &wire::ReportEntry) -> Result<(), ReportError> {
    if entry.value.len() > MAX_ENTRY_BYTES {
        return Err(ReportError(format!(
            "an entry of {section} is larger than {MAX_ENTRY_BYTES} bytes"
        )));
    }
    let bytes = entry.value.clone();
    let is_readable = match section {
        CORE => entry.key == CORE && wire::CoreReport::decode(bytes).is_ok(),
        MACHINES => MachineStatus::decode(bytes).is_ok(),
        APPLICATIONS => ApplicationStatus::decode(bytes).is_ok_and(|one| one.name == entry.key),
        _ => entry.key.parse::<PropertyKey>().is_ok() && is_scalar(bytes),
    };
    if is_readable {
        return Ok(());
    }
    let key: String = entry.key.chars().take(64).collect();
    Err(ReportError(format!(
        "the entry {key:?} of {section} cannot be read"
    )))
}

fn is_scalar(bytes: Bytes) -> bool {
    let value = prost_types::Value::decode(bytes)
        .ok()
        .and_then(|value| value.kind);
    matches!(
        value,
        Some(ValueKind::BoolValue(_) | ValueKind::NumberValue(_) | ValueKind::StringValue(_))
    )
}
