//! Where feeds of objects, pods and events put what they see.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::content::{self, Parts};
use super::events::happening;
use super::feed::{Look, Sink};
use super::health::{self, Situation};
use super::kinds::{Kind, View};
use super::pod;
use super::store::Store;
use super::wire::{Labels, Meta, Raw, RawEvent, RawPod};
use crate::kube::facts::{ContainerState, Health, ObjectFacts, PodFacts};
use crate::kube::names::{APPLICATION_LABEL, RELEASE_LABEL};
use crate::kube::object::ObjectKey;
use crate::reason;

/// Objects of a kind in one place.
pub(super) struct ObjectSink {
    store: Arc<Store>,
    kind: Kind,
    namespace: Option<String>,
    view: View,
}

impl ObjectSink {
    pub(super) fn new(store: Arc<Store>, look: &Look) -> Self {
        Self {
            store,
            kind: look.kind.clone(),
            namespace: look.namespace.clone(),
            view: look.view,
        }
    }

    fn key(&self, name: &str) -> ObjectKey {
        key(&self.kind, self.namespace.clone(), name)
    }
}

fn key(kind: &Kind, namespace: Option<String>, name: &str) -> ObjectKey {
    ObjectKey {
        api_version: kind.name.0.clone(),
        kind: kind.name.1.clone(),
        namespace,
        name: name.to_owned(),
    }
}

impl Sink for ObjectSink {
    type Item = Raw<Value, Value, Labels>;

    fn upsert(&mut self, item: Self::Item) -> bool {
        let (metadata, is_whole) = (item.metadata, self.view == View::Whole);
        let label = |name: &str| metadata.labels.get(name).cloned().unwrap_or_default();
        let health = match is_whole {
            true => health::judge(
                &self.kind.name,
                Situation {
                    generation: metadata.generation,
                    spec: &item.spec,
                    status: &item.status,
                },
            ),
            false => Health::Ready,
        };
        let facts = ObjectFacts {
            content: content::parts(&Parts {
                is_whole,
                generation: metadata.generation,
                resource_version: &metadata.resource_version,
                labels: &metadata.labels,
                spec: &item.spec,
            }),
            release: label(RELEASE_LABEL),
            is_controlled: metadata.is_controlled(),
            is_deleting: metadata.deletion_timestamp.is_some(),
            generation: metadata.generation,
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            health,
        };
        let key = self.key(&metadata.name);
        self.store.upsert(key, &label(APPLICATION_LABEL), facts)
    }

    fn remove(&mut self, name: &str) {
        self.store.remove(&self.key(name));
    }

    fn retain(&mut self, listed: &BTreeSet<String>) {
        let namespace = self.namespace.as_deref();
        self.store.retain(&self.kind.name, namespace, listed);
    }
}

/// Pods of a namespace.
pub(super) struct PodSink {
    pub(super) store: Arc<Store>,
    pub(super) namespace: String,
}

impl PodSink {
    fn key(&self, name: &str) -> ObjectKey {
        key(&Kind::pod(), Some(self.namespace.clone()), name)
    }
}

impl Sink for PodSink {
    type Item = RawPod;

    fn upsert(&mut self, item: RawPod) -> bool {
        let key = self.key(&item.metadata.name);
        let application = item.metadata.labels.application.clone();
        let metadata = item.metadata.clone();
        let pod = pod::facts(item);
        // What no controller made was applied as a pod: it is an object, too.
        let bare = (!metadata.is_controlled()).then(|| bare(metadata, &pod));
        self.store.upsert_pod(key, &application, pod, bare)
    }

    fn remove(&mut self, name: &str) {
        self.store.remove(&self.key(name));
    }

    fn retain(&mut self, listed: &BTreeSet<String>) {
        let namespace = Some(self.namespace.as_str());
        self.store.retain(&Kind::pod().name, namespace, listed);
    }
}

/// A pod as an object.
fn bare<L>(metadata: Meta<L>, pod: &PodFacts) -> ObjectFacts {
    let health = match pod.phase.as_str() {
        "Succeeded" => Health::Completed,
        "Failed" => {
            let mut containers = pod.containers.iter();
            let ended = containers.find_map(|container| match &container.state {
                ContainerState::Ended(end) if end.exit_code != 0 => Some(end),
                ContainerState::Ended(_)
                | ContainerState::Waiting { .. }
                | ContainerState::Running { .. } => None,
            });
            Health::Failed {
                reason: reason::OBJECT_FAILED,
                message: ended.map_or_else(|| pod.message.clone(), |end| end.message.clone()),
            }
        }
        _ if pod.is_ready => Health::Ready,
        _ => Health::Progressing {
            message: match pod.unschedulable.is_empty() {
                true => "it is not ready yet".to_owned(),
                false => pod.unschedulable.clone(),
            },
        },
    };
    ObjectFacts {
        // Of a pod nearly nothing can be written; older servers do not count it.
        content: match metadata.generation {
            0 => String::new(),
            generation => format!("generation {generation}"),
        },
        release: pod.release.clone(),
        is_controlled: false,
        is_deleting: pod.is_deleting,
        generation: metadata.generation,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        health,
    }
}

/// Events of a namespace.
pub(super) struct EventSink {
    store: Arc<Store>,
    namespace: String,
    /// What was kept when a list began: what came to be known meanwhile is not gone.
    before: BTreeSet<String>,
}

impl EventSink {
    pub(super) fn new(store: Arc<Store>, namespace: &str) -> Self {
        Self {
            store,
            namespace: namespace.to_owned(),
            before: BTreeSet::new(),
        }
    }
}

impl Sink for EventSink {
    type Item = RawEvent;

    fn begin(&mut self) {
        self.before = self.store.events(&self.namespace);
    }

    fn upsert(&mut self, item: RawEvent) -> bool {
        self.store.happened(happening(item))
    }

    fn remove(&mut self, name: &str) {
        let key = (self.namespace.clone(), name.to_owned());
        self.store.forget_event(&key);
    }

    fn retain(&mut self, listed: &BTreeSet<String>) {
        for name in std::mem::take(&mut self.before).difference(listed) {
            self.remove(name);
        }
    }
}
