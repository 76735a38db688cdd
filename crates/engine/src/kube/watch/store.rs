//! What is seen, by application: the levels that the engine reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::events::{EventKey, Happening, Timeline};
use super::kinds::group;
use super::sight::GroupKind;
use crate::kube::facts::{AppFacts, ContainerState, Health, KindName, ObjectFacts, PodFacts};
use crate::kube::object::ObjectKey;

/// Events about objects that were not seen, in case that these are seen a moment later.
const MAX_STRAYS: usize = 64;

/// Everything that is seen.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    applications: watch::Sender<Arc<BTreeSet<String>>>,
    definitions: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    applications: BTreeMap<String, Application>,
    /// Whose an object or a pod is, and its uid.
    owners: HashMap<ObjectKey, (String, String)>,
    /// Whose an object or a pod is, by its uid.
    uids: HashMap<String, String>,
    /// Whose an event is.
    events: HashMap<EventKey, String>,
    strays: VecDeque<Happening>,
}

#[derive(Debug, Default)]
struct Application {
    facts: watch::Sender<Arc<AppFacts>>,
    timeline: Timeline,
}

/// Usage of a container: bytes and thousandths of a processor.
pub(crate) type Usage = (u64, u64);

impl Store {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            applications: watch::Sender::default(),
            definitions: watch::Sender::new(0),
        })
    }

    /// The facts of an application; empty ones as long as nothing of it is seen.
    pub(crate) fn facts(&self, application: &str) -> watch::Receiver<Arc<AppFacts>> {
        let mut state = self.state.lock();
        state.applications.retain(|_, seen| !seen.is_idle());
        let seen = state.applications.entry(application.to_owned());
        seen.or_default().facts.subscribe()
    }

    /// The applications of which something is seen.
    pub(crate) fn applications(&self) -> watch::Receiver<Arc<BTreeSet<String>>> {
        self.applications.subscribe()
    }

    /// Changes when a definition of resources becomes established: kinds may be served now.
    pub(crate) fn definitions(&self) -> watch::Receiver<u64> {
        self.definitions.subscribe()
    }

    /// Takes an object as it is now; one without an application is nobody's.
    pub(crate) fn upsert(&self, key: ObjectKey, application: &str, facts: ObjectFacts) -> bool {
        if application.is_empty() {
            self.remove(&key);
            return false;
        }
        let is_definition = key.kind == "CustomResourceDefinition" && facts.health == Health::Ready;
        let mut state = self.state.lock();
        state.place(&key, application, &facts.uid);
        let has_changed = state.change(application, |seen| {
            if seen.objects.get(&key) == Some(&facts) {
                return None;
            }
            Some(move |seen: &mut AppFacts| {
                seen.objects.insert(key, facts);
            })
        });
        self.publish(&state);
        drop(state);
        if is_definition && has_changed {
            self.definitions.send_modify(|count| *count += 1);
        }
        true
    }

    /// Takes a pod as it is now; `bare` are its facts as an object when no controller made it.
    pub(crate) fn upsert_pod(
        &self,
        key: ObjectKey,
        application: &str,
        mut pod: PodFacts,
        bare: Option<ObjectFacts>,
    ) -> bool {
        if application.is_empty() {
            self.remove(&key);
            return false;
        }
        let mut state = self.state.lock();
        state.place(&key, application, &pod.uid);
        let seen = state.applications.entry(application.to_owned());
        let seen = seen.or_default();
        let id = {
            let facts = seen.facts.borrow();
            let id = pod_id(&facts, &pod.namespace, &key.name);
            if let Some(before) = facts.pods.get(&id).filter(|before| before.uid == pod.uid) {
                keep_usage(&mut pod, before);
            }
            id
        };
        explain(&mut pod, &seen.timeline);
        state.change(application, |seen| {
            if seen.pods.get(&id) == Some(&pod) && seen.objects.get(&key) == bare.as_ref() {
                return None;
            }
            Some(move |seen: &mut AppFacts| {
                seen.pods.insert(id, pod);
                match bare {
                    Some(bare) => seen.objects.insert(key, bare),
                    None => seen.objects.remove(&key),
                };
            })
        });
        self.publish(&state);
        true
    }

    /// Forgets an object or a pod.
    pub(crate) fn remove(&self, key: &ObjectKey) {
        let mut state = self.state.lock();
        state.remove(key);
        self.publish(&state);
    }

    /// Forgets the objects of a kind in a namespace that are not listed.
    pub(crate) fn retain(
        &self,
        kind: &KindName,
        namespace: Option<&str>,
        listed: &BTreeSet<String>,
    ) {
        let mut state = self.state.lock();
        let is_gone = |key: &&ObjectKey| {
            key.api_version == kind.0
                && key.kind == kind.1
                && key.namespace.as_deref() == namespace
                && !listed.contains(&key.name)
        };
        let gone: Vec<_> = state.owners.keys().filter(is_gone).cloned().collect();
        gone.iter().for_each(|key| state.remove(key));
        self.publish(&state);
    }

    /// Forgets all objects of a kind that is no longer looked at.
    pub(crate) fn forget(&self, kind: &GroupKind) {
        let mut state = self.state.lock();
        let is_gone = |key: &&ObjectKey| group(&key.api_version) == kind.0 && key.kind == kind.1;
        let gone: Vec<_> = state.owners.keys().filter(is_gone).cloned().collect();
        gone.iter().for_each(|key| state.remove(key));
        self.publish(&state);
    }

    /// Takes an event; `false` when it is about nothing of ours.
    pub(crate) fn happened(&self, happening: Happening) -> bool {
        self.state.lock().happened(happening)
    }

    /// Forgets an event.
    pub(crate) fn forget_event(&self, key: &EventKey) {
        self.state.lock().forget_event(key);
    }

    /// The names of the events of a namespace that are kept.
    pub(crate) fn events(&self, namespace: &str) -> BTreeSet<String> {
        let state = self.state.lock();
        let kept = state.events.keys().filter(|key| key.0 == namespace);
        kept.map(|key| key.1.clone()).collect()
    }

    /// Says which kinds of an application cannot be seen.
    pub(crate) fn unobserved(&self, application: &str, kinds: BTreeMap<KindName, String>) {
        self.state.lock().change(application, |seen| {
            (seen.unobserved != kinds).then_some(|seen: &mut AppFacts| seen.unobserved = kinds)
        });
    }

    /// The namespaces where pods are.
    pub(crate) fn pod_namespaces(&self) -> BTreeSet<String> {
        let state = self.state.lock();
        let pods = state.owners.keys().filter(|key| is_pod(key));
        pods.filter_map(|key| key.namespace.clone()).collect()
    }

    /// Takes the usage of a pod's containers, by name. Small changes are not told, so that what
    /// does nothing wakes nobody.
    pub(crate) fn used(&self, namespace: &str, pod: &str, usage: &BTreeMap<String, Usage>) {
        let mut state = self.state.lock();
        let key = ObjectKey::namespaced("v1", "Pod", namespace, pod);
        let Some((application, _)) = state.owners.get(&key).cloned() else {
            return;
        };
        state.change(&application, |seen| {
            let id = pod_id(seen, namespace, pod);
            let mut changed = seen.pods.get(&id)?.clone();
            let mut has_changed = false;
            for container in &mut changed.containers {
                let (memory, cpu) = usage.get(&container.name).copied().unwrap_or_default();
                has_changed |= differs(container.memory_bytes, memory, 1 << 20)
                    || differs(container.cpu_millis, cpu, 5);
                (container.memory_bytes, container.cpu_millis) = (memory, cpu);
            }
            has_changed.then_some(move |seen: &mut AppFacts| {
                seen.pods.insert(id, changed);
            })
        });
    }

    fn publish(&self, state: &State) {
        let seen = || {
            state
                .applications
                .iter()
                .filter(|(_, seen)| seen.is_there())
        };
        self.applications.send_if_modified(|names| {
            if names.iter().eq(seen().map(|(name, _)| name)) {
                return false;
            }
            *names = Arc::new(seen().map(|(name, _)| name.clone()).collect());
            true
        });
    }
}

impl State {
    /// Changes the facts of an application when `change` says how.
    fn change<C: FnOnce(&mut AppFacts)>(
        &mut self,
        application: &str,
        change: impl FnOnce(&AppFacts) -> Option<C>,
    ) -> bool {
        let seen = self.applications.entry(application.to_owned());
        seen.or_default().facts.send_if_modified(|facts| {
            let Some(change) = change(facts) else {
                return false;
            };
            change(Arc::make_mut(facts));
            true
        })
    }

    /// Notes whose an object is, and takes what was known of it before.
    fn place(&mut self, key: &ObjectKey, application: &str, uid: &str) {
        if let Some((owner, known)) = self.owners.get(key) {
            if owner == application && known == uid {
                return;
            }
            if owner != application {
                self.remove(key);
            } else {
                let known = known.clone();
                self.uids.remove(&known);
            }
        }
        let owner = (application.to_owned(), uid.to_owned());
        self.owners.insert(key.clone(), owner);
        self.uids.insert(uid.to_owned(), application.to_owned());
        let (known, unknown) = std::mem::take(&mut self.strays)
            .into_iter()
            .partition::<VecDeque<_>, _>(|stray| self.whose(stray).is_some());
        self.strays = unknown;
        for stray in known {
            self.happened(stray);
        }
    }

    fn remove(&mut self, key: &ObjectKey) {
        let Some((application, uid)) = self.owners.remove(key) else {
            return;
        };
        self.uids.remove(&uid);
        self.change(&application, |_| {
            Some(|seen: &mut AppFacts| {
                seen.objects.remove(key);
                if let (true, Some(namespace)) = (is_pod(key), &key.namespace) {
                    let id = pod_id(seen, namespace, &key.name);
                    seen.pods.remove(&id);
                }
            })
        });
        let Some(seen) = self.applications.get_mut(&application) else {
            return;
        };
        if seen.is_there() {
            return;
        }
        // What happened to it is over with it.
        for key in std::mem::take(&mut seen.timeline).keys() {
            self.events.remove(key);
        }
        let clear = |seen: &AppFacts| {
            (!seen.events.is_empty()).then_some(|seen: &mut AppFacts| seen.events.clear())
        };
        self.change(&application, clear);
    }

    /// Whose an event is. Replica sets are not watched, so that theirs are known by name.
    fn whose(&self, happening: &Happening) -> Option<String> {
        if let Some(application) = self.uids.get(&happening.about) {
            return Some(application.clone());
        }
        let (deployment, _) = happening.name.rsplit_once('-')?;
        let namespace = &happening.key.0;
        let key = ObjectKey::namespaced("apps/v1", "Deployment", namespace, deployment);
        let owner = self.owners.get(&key);
        owner
            .filter(|_| happening.kind == "ReplicaSet")
            .map(|(application, _)| application.clone())
    }

    fn happened(&mut self, happening: Happening) -> bool {
        let Some(application) = self.whose(&happening) else {
            if self.strays.len() >= MAX_STRAYS {
                self.strays.pop_front();
            }
            self.strays.push_back(happening);
            return false;
        };
        let (about, is_probe) = (happening.about.clone(), !happening.unhealthy.is_empty());
        self.events
            .insert(happening.key.clone(), application.clone());
        let seen = self.applications.entry(application.clone()).or_default();
        if let Some(dropped) = seen.timeline.add(happening) {
            self.events.remove(&dropped);
        }
        let told = seen.timeline.told();
        let explained = {
            let facts = seen.facts.borrow();
            let pods = facts.pods.iter();
            let mut pods = pods.filter(|(_, pod)| is_probe && pod.uid == about);
            pods.next().map(|(id, pod)| {
                let mut pod = pod.clone();
                explain(&mut pod, &seen.timeline);
                (id.clone(), pod)
            })
        };
        self.change(&application, |seen| {
            let is_same = |(id, pod): &(String, PodFacts)| seen.pods.get(id) == Some(pod);
            if seen.events == told && explained.as_ref().is_none_or(is_same) {
                return None;
            }
            Some(|seen: &mut AppFacts| {
                seen.events = told;
                seen.pods.extend(explained);
            })
        });
        true
    }

    fn forget_event(&mut self, key: &EventKey) {
        self.strays.retain(|stray| stray.key != *key);
        let Some(application) = self.events.remove(key) else {
            return;
        };
        let Some(seen) = self.applications.get_mut(&application) else {
            return;
        };
        seen.timeline.remove(key);
        let told = seen.timeline.told();
        self.change(&application, |seen| {
            (seen.events != told).then_some(|seen: &mut AppFacts| seen.events = told)
        });
    }
}

impl Application {
    /// Whether something of it is seen.
    fn is_there(&self) -> bool {
        let facts = self.facts.borrow();
        !facts.objects.is_empty() || !facts.pods.is_empty()
    }

    /// Whether nothing of it is seen and nobody asks.
    fn is_idle(&self) -> bool {
        self.facts.receiver_count() == 0 && **self.facts.borrow() == AppFacts::default()
    }
}

fn is_pod(key: &ObjectKey) -> bool {
    key.kind == "Pod" && key.api_version == "v1"
}

/// Under which name the facts have a pod: its own, or with its namespace when a pod in another
/// namespace has the name already, as when a stateful set moves.
fn pod_id(facts: &AppFacts, namespace: &str, name: &str) -> String {
    let with_namespace = format!("{namespace}/{name}");
    let holder = facts.pods.get(name);
    let is_free = holder.is_none_or(|pod| pod.namespace == namespace);
    match is_free && !facts.pods.contains_key(&with_namespace) {
        true => name.to_owned(),
        false => with_namespace,
    }
}

/// Usage is sampled apart, and outlives what else changes.
fn keep_usage(pod: &mut PodFacts, before: &PodFacts) {
    for container in &mut pod.containers {
        let mut same = before.containers.iter();
        if let Some(same) = same.find(|other| other.name == container.name) {
            container.memory_bytes = same.memory_bytes;
            container.cpu_millis = same.cpu_millis;
        }
    }
}

/// Says what the probes of containers that run and are not ready said last.
fn explain(pod: &mut PodFacts, timeline: &Timeline) {
    for container in &mut pod.containers {
        let message = match &container.state {
            ContainerState::Running { since } if !container.is_ready => {
                timeline.probe_message(&pod.uid, &container.name, *since)
            }
            ContainerState::Running { .. }
            | ContainerState::Waiting { .. }
            | ContainerState::Ended(_) => None,
        };
        container.probe_message = message.unwrap_or_default().to_owned();
    }
}

/// Whether a sample tells something new: more than a sixteenth, and more than noise.
fn differs(before: u64, now: u64, noise: u64) -> bool {
    let distance = before.abs_diff(now);
    (before == 0) != (now == 0) || (distance > noise && distance > before / 16)
}

#[cfg(test)]
mod tests;
