//! Events of the cluster that are about objects of ours, few of each application.

use std::collections::BTreeMap;
use std::time::SystemTime;

use baetyl_proto::resource::v1::ApplicationEvent;

use super::pod::MAX_MESSAGE;
use super::wire::{RawEvent, shortened, time};

/// The most events that are told of an application.
pub(crate) const MAX_EVENTS: usize = 20;

/// The most that are kept of an application: equal ones are told as one.
const MAX_KEPT: usize = 3 * MAX_EVENTS;

/// Names an event: namespace and name.
pub(crate) type EventKey = (String, String);

/// An event in compact form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Happening {
    pub(crate) key: EventKey,
    /// Uid of the object that it is about.
    pub(crate) about: String,
    /// Kind of that object.
    pub(crate) kind: String,
    /// Name of that object.
    pub(crate) name: String,
    /// The container whose probe failed; empty for other events.
    pub(crate) unhealthy: String,
    at: SystemTime,
    told: ApplicationEvent,
}

/// Reads an event.
pub(crate) fn happening(raw: RawEvent) -> Happening {
    let series = raw.series.unwrap_or_default();
    // Newer events say only when they happened first, and their series when last.
    let at = [
        series.last_observed_time.as_ref(),
        raw.last_timestamp.as_ref(),
        raw.event_time.as_ref(),
        raw.first_timestamp.as_ref(),
        raw.metadata.creation_timestamp.as_ref(),
    ];
    let at = at.into_iter().find_map(time);
    let at = at.unwrap_or(SystemTime::UNIX_EPOCH);
    let container = raw.involved_object.field_path.split_once('{');
    let container = container.and_then(|(_, rest)| rest.strip_suffix('}'));
    let unhealthy = match (raw.reason.as_str(), container) {
        ("Unhealthy", Some(container)) => container.to_owned(),
        _ => String::new(),
    };
    let count = raw.count.unwrap_or(series.count).max(1);
    let told = ApplicationEvent {
        time: Some(at.into()),
        is_warning: raw.kind == "Warning",
        object: format!("{}/{}", raw.involved_object.kind, raw.involved_object.name),
        reason: raw.reason,
        message: shortened(raw.message, MAX_MESSAGE),
        count: u32::try_from(count).unwrap_or(u32::MAX),
    };
    let namespace = match raw.metadata.namespace {
        Some(namespace) => namespace,
        None => raw.involved_object.namespace,
    };
    Happening {
        key: (namespace, raw.metadata.name),
        about: raw.involved_object.uid,
        kind: raw.involved_object.kind,
        name: raw.involved_object.name,
        unhealthy,
        at,
        told,
    }
}

/// The newest events of one application.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    kept: BTreeMap<EventKey, Happening>,
}

impl Timeline {
    /// Adds an event or replaces it, and returns the oldest when there are too many.
    pub(crate) fn add(&mut self, happening: Happening) -> Option<EventKey> {
        self.kept.insert(happening.key.clone(), happening);
        if self.kept.len() <= MAX_KEPT {
            return None;
        }
        let oldest = self.kept.values().min_by_key(|kept| kept.at)?.key.clone();
        self.kept.remove(&oldest);
        Some(oldest)
    }

    pub(crate) fn remove(&mut self, key: &EventKey) {
        self.kept.remove(key);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &EventKey> {
        self.kept.keys()
    }

    /// What is told: equal ones as one, the newest, oldest first.
    pub(crate) fn told(&self) -> Vec<ApplicationEvent> {
        let mut merged: BTreeMap<(&str, &str, &str), (SystemTime, ApplicationEvent)> =
            BTreeMap::new();
        for kept in self.kept.values() {
            let told = &kept.told;
            let same = (&*told.object, &*told.reason, &*told.message);
            let Some((at, known)) = merged.get_mut(&same) else {
                merged.insert(same, (kept.at, told.clone()));
                continue;
            };
            known.count = known.count.saturating_add(told.count);
            if kept.at > *at {
                *at = kept.at;
                known.time = told.time;
            }
        }
        let mut all: Vec<_> = merged.into_values().collect();
        all.sort_by_key(|(at, _)| *at);
        let surplus = all.len().saturating_sub(MAX_EVENTS);
        all.drain(..surplus);
        all.into_iter().map(|(_, told)| told).collect()
    }

    /// What the probe of a container said last, after it was started.
    pub(crate) fn probe_message(
        &self,
        pod: &str,
        container: &str,
        started: Option<SystemTime>,
    ) -> Option<&str> {
        let about = |kept: &&Happening| {
            kept.about == pod
                && kept.unhealthy == container
                && started.is_none_or(|started| kept.at >= started)
        };
        let last = self.kept.values().filter(about).max_by_key(|kept| kept.at);
        last.map(|kept| kept.told.message.as_str())
    }
}

#[cfg(test)]
mod tests;
