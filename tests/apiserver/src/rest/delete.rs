//! Deleting: preconditions, finalizers, what becomes of dependents, and the grace of pods.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::namespaces::NAMESPACES;
use super::read::ListQuery;
use super::settle::{FOREGROUND, ORPHAN};
use super::{Target, WriteOptions};
use crate::kinds::{Generation, Kind};
use crate::object::{
    Key, add_finalizer, finalizers, is_deleting, meta_text, metadata, remove_finalizer, seconds,
    text,
};
use crate::refusal::Refusal;
use crate::state::{ObjectId, State};
use crate::store::Propagation;

/// The grace of pods that say nothing.
const POD_GRACE: i64 = 30;

/// How something is deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) propagation: Option<Propagation>,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

/// What a deletion led to.
#[derive(Clone, Debug)]
pub(crate) enum Deleted {
    /// The object is gone; its last state.
    Gone(Arc<Value>),
    /// Something holds it.
    Pending(Arc<Value>),
}

impl DeleteOptions {
    pub(super) fn background() -> Self {
        Self {
            propagation: Some(Propagation::Background),
            ..Self::default()
        }
    }

    pub(super) fn foreground() -> Self {
        Self {
            propagation: Some(Propagation::Foreground),
            ..Self::default()
        }
    }

    /// Reads the body of a request; an empty one asks for nothing.
    pub(crate) fn read(body: &Value) -> Result<Self, Refusal> {
        let propagation = match body["propagationPolicy"].as_str() {
            None if body["orphanDependents"] == true => Some(Propagation::Orphan),
            None if body["orphanDependents"] == false => Some(Propagation::Background),
            None => None,
            Some(word) => Some(Propagation::parse(word).ok_or_else(|| {
                Refusal::bad_request(format!("invalid propagationPolicy {word:?}"))
            })?),
        };
        let condition = |field: &str| {
            let found = body["preconditions"][field].as_str();
            found.map(str::to_owned)
        };
        Ok(Self {
            propagation,
            grace_seconds: body["gracePeriodSeconds"].as_i64(),
            uid: condition("uid"),
            resource_version: condition("resourceVersion"),
        })
    }

    fn check(&self, kind: &Kind, object: &Value) -> Result<(), Refusal> {
        let name = meta_text(object, "name");
        let uid = meta_text(object, "uid");
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            let detail = format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"
            );
            return Err(Refusal::conflict(kind.about(), name, &detail));
        }
        let version = meta_text(object, "resourceVersion");
        let wanted = self.resource_version.as_deref();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != version) {
            let detail = format!(
                "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion \
                 in object meta: {version}"
            );
            return Err(Refusal::conflict(kind.about(), name, &detail));
        }
        Ok(())
    }

    /// What becomes of dependents.
    fn policy(&self, kind: &Kind, object: &Value) -> Propagation {
        if let Some(propagation) = self.propagation {
            return propagation;
        }
        if finalizers(object).any(|finalizer| finalizer == ORPHAN) {
            return Propagation::Orphan;
        }
        if finalizers(object).any(|finalizer| finalizer == FOREGROUND) {
            return Propagation::Foreground;
        }
        // The first version of jobs kept their pods, and so do all.
        match &*kind.resource {
            "jobs.batch" => Propagation::Orphan,
            _ => Propagation::Background,
        }
    }
}

impl State {
    /// Deletes one object.
    ///
    /// # Errors
    /// The refusal of the server.
    pub(crate) fn delete(
        &mut self,
        target: &Target,
        options: &DeleteOptions,
        is_dry_run: bool,
    ) -> Result<Deleted, Refusal> {
        let id = target.id();
        let live = self
            .object(&id)
            .cloned()
            .ok_or_else(|| target.not_found())?;
        options.check(&target.kind, &live)?;
        if &*id.resource == NAMESPACES && is_deleting(&live) {
            return Err(Refusal::conflict(
                target.kind.about(),
                &target.name,
                "The system is ensuring all content is removed from this namespace.  Upon \
                 completion, this namespace will automatically be purged by the system.",
            ));
        }
        if is_dry_run {
            return Ok(Deleted::Gone(live));
        }
        self.delete_object(&target.kind, &id, options);
        let pending = self.object(&id).cloned();
        self.settle();
        Ok(match pending {
            Some(pending) => Deleted::Pending(pending),
            None => Deleted::Gone(live),
        })
    }

    /// Deletes every object that a list would show; returns them.
    ///
    /// # Errors
    /// The refusal of the list.
    pub(crate) fn delete_collection(
        &mut self,
        target: &Target,
        query: &ListQuery,
        options: &DeleteOptions,
        write: &WriteOptions,
    ) -> Result<Vec<Arc<Value>>, Refusal> {
        let list = self.list(target, query)?;
        if !write.is_dry_run {
            for object in &list.items {
                let id = ObjectId {
                    resource: Arc::clone(&target.kind.resource),
                    key: Key::of(object),
                };
                self.delete_object(&target.kind, &id, options);
            }
            self.settle();
        }
        Ok(list.items)
    }

    /// Deletes, or marks as being deleted. What follows is left as chores.
    pub(super) fn delete_object(&mut self, kind: &Kind, id: &ObjectId, options: &DeleteOptions) {
        let Some(live) = self.object(id).cloned() else {
            return;
        };
        if &*id.resource == NAMESPACES {
            self.end_namespace(id, &seconds(SystemTime::now()));
            return;
        }
        let grace = self.grace(kind, &live, options);
        let mut object = Value::clone(&live);
        set_finalizers(&mut object, options.policy(kind, &live));
        let is_held = finalizers(&object).next().is_some();
        if !is_held && grace == 0 {
            self.remove(id);
            return;
        }
        let was_deleting = is_deleting(&live);
        let old_grace = live["metadata"]["deletionGracePeriodSeconds"].as_i64();
        let is_shorter = old_grace.is_some_and(|old| grace < old);
        if was_deleting && !is_shorter && finalizers(&live).eq(finalizers(&object)) {
            return;
        }
        if !was_deleting || is_shorter {
            let at = SystemTime::now() + Duration::from_secs(grace.unsigned_abs());
            let metadata = metadata(&mut object);
            metadata.insert("deletionTimestamp".to_owned(), json!(seconds(at)));
            metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
            if kind.generation != Generation::Never && !was_deleting {
                let generation = metadata.get("generation").and_then(Value::as_i64);
                let next = generation.unwrap_or(0) + 1;
                metadata.insert("generation".to_owned(), json!(next));
            }
        }
        self.write(kind, object);
    }

    /// How long the kubelet has: only pods that run somewhere get time.
    fn grace(&self, kind: &Kind, object: &Value, options: &DeleteOptions) -> i64 {
        let is_running = !text(object, "/spec/nodeName").is_empty()
            && !["Succeeded", "Failed"].contains(&text(object, "/status/phase"));
        if &*kind.resource != "pods" || !is_running || !self.options.kubelet {
            return 0;
        }
        let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
        let wanted = options.grace_seconds.or(own).unwrap_or(POD_GRACE).max(0);
        // A deletion under way is only ever shortened.
        match object["metadata"]["deletionGracePeriodSeconds"].as_i64() {
            Some(pending) if options.grace_seconds.is_none() => pending,
            Some(pending) => pending.min(wanted),
            None => wanted,
        }
    }
}

fn set_finalizers(object: &mut Value, policy: Propagation) {
    let (own, other) = match policy {
        Propagation::Orphan => (Some(ORPHAN), [FOREGROUND, ""]),
        Propagation::Foreground => (Some(FOREGROUND), [ORPHAN, ""]),
        Propagation::Background => (None, [ORPHAN, FOREGROUND]),
    };
    for name in other.into_iter().filter(|name| !name.is_empty()) {
        remove_finalizer(object, name);
    }
    if let Some(own) = own {
        add_finalizer(object, own);
    }
}
