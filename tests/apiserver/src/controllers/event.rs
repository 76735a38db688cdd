//! Events as components of a cluster write them: one object, counted when it happens again.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::view::{hash, name, namespace, now, text, uid};
use crate::{Deletion, Store};

/// Events that are kept; a cluster forgets them after an hour.
const MAX_EVENTS: usize = 1000;

/// Writes events of one cluster.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// How often each happened, by namespace and name.
    seen: BTreeMap<(String, String), u64>,
    order: VecDeque<(String, String)>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happened<'a> {
    /// Who says so: `kubelet`.
    pub(super) component: &'a str,
    pub(super) is_warning: bool,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
    /// The part of the object that it happened to: `spec.containers{main}`; empty for the whole.
    pub(super) part: &'a str,
}

impl Recorder {
    /// Writes that something happened to an object.
    pub(super) fn record(&mut self, store: &Store, object: &Value, happened: Happened<'_>) {
        let space = match namespace(object) {
            "" => "default",
            space => space,
        };
        let identity = json!([
            uid(object),
            happened.part,
            happened.reason,
            happened.message
        ]);
        let key = (
            space.to_owned(),
            format!("{}.{}", name(object), hash(&identity)),
        );
        let count = self.seen.entry(key.clone()).or_insert(0);
        *count += 1;
        let count = *count;
        if count > 1 {
            let edited = store.edit("events", &key.0, &key.1, |event| {
                event["count"] = count.into();
                event["lastTimestamp"] = now().into();
            });
            if edited.is_ok() {
                return;
            }
        }
        let written = store.create("events", &key.0, event(object, &key, happened, count));
        // The namespace may be on its way out; an event is no reason to fail then.
        if written.is_err() {
            self.seen.remove(&key);
            return;
        }
        self.order.push_back(key);
        while self.order.len() > MAX_EVENTS {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            let _ = store.delete("events", &oldest.0, &oldest.1, Deletion::default());
            self.seen.remove(&oldest);
        }
    }
}

fn event(object: &Value, key: &(String, String), happened: Happened<'_>, count: u64) -> Value {
    let now = now();
    let mut event = json!({
        "metadata": { "name": key.1, "namespace": key.0 },
        "involvedObject": {
            "apiVersion": text(object, "/apiVersion"),
            "kind": text(object, "/kind"),
            "name": name(object),
            "namespace": namespace(object),
            "uid": uid(object),
            "resourceVersion": text(object, "/metadata/resourceVersion"),
        },
        "type": if happened.is_warning { "Warning" } else { "Normal" },
        "reason": happened.reason,
        "message": happened.message,
        "source": { "component": happened.component },
        "reportingComponent": happened.component,
        "reportingInstance": "",
        "count": count,
        "firstTimestamp": now,
        "lastTimestamp": now,
    });
    if !happened.part.is_empty() {
        event["involvedObject"]["fieldPath"] = happened.part.into();
    }
    event
}
