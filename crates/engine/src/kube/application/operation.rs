//! What runs beside an application's task: all that waits for the cluster or for bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_shadow::Digest;
use tokio::time::{Instant, sleep};

use crate::crash;
use crate::desired::Pin;
use crate::driver::Refusal;
use crate::kube::cluster::{
    Applied, AppliedObject, ApplyFailure, ApplyOptions, Checked, Deleted, Rejection,
};
use crate::kube::context::Context;
use crate::kube::facts::AppFacts;
use crate::kube::health::{Standing, standing};
use crate::kube::object::{Object, ObjectKey};
use crate::kube::record::{Draft, Mark, Role};
use crate::kube::render::{self, Rendered};

/// How an operation ended.
pub(super) enum Outcome {
    /// A pin was rendered and checked.
    Prepared {
        pin: Pin,
        result: Result<Box<Prepared>, Setback>,
    },
    /// Objects of a release were applied, or some of them.
    Applied {
        role: Role,
        done: Done,
        replaced: Vec<ObjectKey>,
        hooks: Vec<ObjectKey>,
        result: Result<(), Setback>,
    },
    /// Objects were applied again.
    Repaired {
        asked: BTreeSet<ObjectKey>,
        done: Done,
        /// Those that were not as they should be.
        changed: BTreeSet<ObjectKey>,
        failures: BTreeMap<ObjectKey, Setback>,
        /// Why nothing could be done at all.
        failure: Option<Setback>,
        is_renewal: bool,
    },
    /// Pods were told to look at their inputs.
    Touched(Result<(), Setback>),
    /// Objects were deleted.
    Deleted {
        purpose: Purpose,
        targets: BTreeMap<ObjectKey, Option<String>>,
        result: Result<Deleted, Setback>,
    },
    /// The record is gone.
    Removed,
}

/// What was applied of a pin.
#[derive(Default)]
pub(super) struct Done {
    pub(super) pin: Option<Pin>,
    pub(super) marks: BTreeMap<ObjectKey, Mark>,
    pub(super) renewals: BTreeMap<String, SystemTime>,
}

/// Why objects are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// No release needs them.
    Prune,
    /// They are pods that hold their workload up.
    Recycle,
    /// They stand in the way of another attempt.
    Clear,
}

/// Something could not be done.
#[derive(Clone, Debug)]
pub(super) struct Setback {
    pub(super) refusal: Refusal,
    /// When the cluster wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            retry_after: None,
        }
    }
}

impl From<Rejection> for Setback {
    fn from(rejection: Rejection) -> Self {
        Self {
            retry_after: rejection.retry_after,
            refusal: rejection.into(),
        }
    }
}

/// A pin that was rendered and checked.
pub(super) struct Prepared {
    pub(super) draft: Draft,
    /// The objects that are not in the cluster as they should be.
    objects: Vec<Outdated>,
    checked: Checked,
    done: Done,
    /// Parts of a chart that are not run.
    hooks: Vec<ObjectKey>,
}

/// An object that is to be applied.
struct Outdated {
    object: Object,
    /// What it is compared by.
    digest: Digest,
    /// An autoscaler takes over from this number of replicas; with the uid of the workload.
    held: Option<(String, i64)>,
}

impl Outdated {
    /// Sees to it that an autoscaler takes over from the number that is there.
    async fn hold(&self, context: &Context) -> Result<(), Rejection> {
        if let Some((uid, replicas)) = &self.held {
            let key = self.object.key();
            context.cluster.hold_replicas(key, uid, *replicas).await?;
        }
        Ok(())
    }

    fn mark(&self, applied: AppliedObject) -> Mark {
        Mark {
            uid: applied.uid,
            resource_version: applied.resource_version,
            content: applied.content,
            digest: self.digest,
            replicas: replicas(&self.object),
        }
    }
}

/// Kinds that an autoscaler scales.
const SCALED: [&str; 2] = ["Deployment", "StatefulSet"];

fn replicas(object: &Object) -> Option<i64> {
    object.body().pointer("/spec/replicas")?.as_i64()
}

/// What an operation starts from.
pub(super) struct Basis {
    pub(super) context: Arc<Context>,
    pub(super) pin: Pin,
    /// Labels of releases whose pods may be there, with the revision that these name.
    pub(super) known: Vec<(String, u64)>,
    pub(super) marks: BTreeMap<ObjectKey, Mark>,
    pub(super) unseen: BTreeMap<ObjectKey, Instant>,
    pub(super) renewals: BTreeMap<String, SystemTime>,
    pub(super) facts: Arc<AppFacts>,
    /// A job that has come to its end is not made again.
    pub(super) is_completed: bool,
    /// With how many instances an autoscaler begins.
    pub(super) first_replicas: Option<u32>,
    pub(super) options: ApplyOptions,
}

impl Basis {
    /// Whether an object must be applied.
    fn is_outdated(&self, rendered: &Rendered, object: &Object) -> bool {
        let key = object.key();
        let mark = self.marks.get(key);
        let is_other = mark.is_none_or(|mark| mark.digest != rendered.digest(object));
        let is_drift = match standing(key, mark, &self.unseen, &self.facts) {
            Standing::Gone => !(self.is_completed && key.kind == "Job"),
            Standing::Changed => true,
            Standing::Current | Standing::Lagging | Standing::Deleting | Standing::Unobserved => {
                false
            }
        };
        let is_aged = rendered.service(key).is_some_and(|service| {
            let at = self.renewals.get(service);
            at.is_none_or(|at| *at <= SystemTime::now())
        });
        is_other || is_drift || is_aged
    }

    /// Renders, with certificates for the objects that are to be applied.
    async fn render(
        &self,
        is_wanted: impl Fn(&Rendered, &Object) -> bool,
    ) -> Result<(Rendered, Vec<Outdated>, BTreeMap<String, SystemTime>), Refusal> {
        let mut source = render::load(&self.context, &self.pin, &self.known).await?;
        let mut rendered = source.render(&self.context).await?;
        let wanted: BTreeSet<ObjectKey> = rendered
            .objects
            .iter()
            .filter(|object| is_wanted(&rendered, object))
            .map(|object| object.key().clone())
            .collect();
        let services = wanted
            .iter()
            .filter_map(|key| rendered.service(key).cloned());
        let services: BTreeSet<String> = services.collect();
        let mut renewals = BTreeMap::new();
        if !services.is_empty() {
            renewals = source.certify(&self.context, &services).await?;
            rendered = source.render(&self.context).await?;
        }
        let objects = std::mem::take(&mut rendered.objects);
        let objects = objects
            .into_iter()
            .filter(|object| wanted.contains(object.key()))
            .map(|object| self.outdated(&rendered, object));
        let objects = objects.collect();
        Ok((rendered, objects, renewals))
    }

    fn outdated(&self, rendered: &Rendered, mut object: Object) -> Outdated {
        let digest = rendered.digest(&object);
        let key = object.key();
        let is_scaled = SCALED.contains(&key.kind.as_str()) && replicas(&object).is_none();
        let seen = self.facts.object(key);
        let before = self.marks.get(key).and_then(|mark| mark.replicas);
        let held = seen.filter(|_| is_scaled).zip(before);
        let held = held.map(|(seen, before)| (seen.uid.clone(), before));
        if is_scaled
            && seen.is_none()
            && let Some(first) = self.first_replicas
        {
            object.edit(|body| body["spec"]["replicas"] = first.into());
        }
        Outdated {
            object,
            digest,
            held,
        }
    }
}

/// Renders a pin and checks it, without changing anything.
pub(super) async fn prepare(basis: Basis) -> Outcome {
    let pin = basis.pin.clone();
    let result = try_prepare(&basis).await.map(Box::new);
    Outcome::Prepared { pin, result }
}

async fn try_prepare(basis: &Basis) -> Result<Prepared, Setback> {
    let _turn = basis.context.turn().await;
    let is_wanted = |rendered: &Rendered, object: &Object| basis.is_outdated(rendered, object);
    let (rendered, objects, renewals) = basis.render(is_wanted).await?;
    let mut checked = Checked::default();
    if !objects.is_empty() {
        let cluster = &basis.context.cluster;
        let bodies: Vec<Object> = objects.iter().map(|one| one.object.clone()).collect();
        let known = &basis.facts.objects;
        checked = cluster.check(&bodies, known, &basis.options).await?;
    }
    Ok(Prepared {
        draft: rendered.draft,
        hooks: rendered.hooks,
        objects,
        checked,
        done: Done {
            pin: Some(basis.pin.clone()),
            marks: BTreeMap::new(),
            renewals,
        },
    })
}

/// Applies what was prepared.
pub(super) async fn apply(
    context: Arc<Context>,
    role: Role,
    prepared: Prepared,
    facts: Arc<AppFacts>,
    options: ApplyOptions,
) -> Outcome {
    let Prepared {
        objects,
        checked,
        mut done,
        hooks,
        ..
    } = prepared;
    crash::point("before_apply");
    let applied = try_apply(&context, &objects, &checked, &facts, &options).await;
    crash::point("after_apply");
    let (applied, result) = match applied {
        Ok(applied) => (applied, Ok(())),
        Err(failure) => (failure.applied, Err(failure.rejection.into())),
    };
    let mut replaced = Vec::new();
    for (key, object) in applied.objects {
        if checked.replace.contains_key(&key) {
            replaced.push(key.clone());
        }
        if let Some(one) = objects.iter().find(|one| *one.object.key() == key) {
            done.marks.insert(key, one.mark(object));
        }
    }
    Outcome::Applied {
        role,
        done,
        replaced,
        hooks,
        result,
    }
}

async fn try_apply(
    context: &Context,
    objects: &[Outdated],
    checked: &Checked,
    facts: &AppFacts,
    options: &ApplyOptions,
) -> Result<Applied, ApplyFailure> {
    if objects.is_empty() {
        return Ok(Applied::default());
    }
    for one in objects {
        one.hold(context).await.map_err(|rejection| ApplyFailure {
            applied: Applied::default(),
            rejection,
        })?;
    }
    let bodies: Vec<Object> = objects.iter().map(|one| one.object.clone()).collect();
    let known = &facts.objects;
    context
        .cluster
        .apply(&bodies, checked, known, options)
        .await
}

/// Applies single objects again: those that drifted, and those with certificates of `services`.
pub(super) async fn repair(
    basis: Basis,
    asked: BTreeSet<ObjectKey>,
    services: BTreeSet<String>,
) -> Outcome {
    let _turn = basis.context.turn().await;
    let is_renewal = !services.is_empty();
    let is_wanted = |rendered: &Rendered, object: &Object| {
        let service = rendered.service(object.key());
        asked.contains(object.key()) || service.is_some_and(|one| services.contains(one))
    };
    let mut done = Done {
        pin: Some(basis.pin.clone()),
        ..Done::default()
    };
    let (mut changed, mut failures) = (BTreeSet::new(), BTreeMap::new());
    let mut failure = None;
    match basis.render(is_wanted).await {
        Err(refusal) => failure = Some(refusal.into()),
        Ok((rendered, objects, renewals)) => {
            done.renewals = renewals;
            for one in &objects {
                let key = one.object.key();
                crash::point("before_apply");
                let repaired = try_repair(&basis, one).await;
                crash::point("after_apply");
                match repaired {
                    Ok(applied) => {
                        let mark = one.mark(applied);
                        // Often somebody wrote what is not ours, and nothing was to be made right.
                        let is_same = basis.facts.object(key).is_some_and(|seen| {
                            seen.uid == mark.uid && seen.content == mark.content
                        });
                        if !is_same {
                            changed.insert(key.clone());
                        }
                        done.marks.insert(key.clone(), mark);
                    }
                    Err(rejection) => {
                        if let Some(service) = rendered.service(key) {
                            done.renewals.remove(service);
                        }
                        failures.insert(key.clone(), rejection.into());
                    }
                }
            }
        }
    }
    Outcome::Repaired {
        asked,
        done,
        changed,
        failures,
        failure,
        is_renewal,
    }
}

async fn try_repair(basis: &Basis, one: &Outdated) -> Result<AppliedObject, Rejection> {
    one.hold(&basis.context).await?;
    let seen = basis.facts.object(one.object.key());
    let uid = seen.map(|seen| seen.uid.as_str());
    let cluster = &basis.context.cluster;
    cluster.repair(&one.object, uid, &basis.options).await
}

/// Tells pods to look at their inputs.
pub(super) async fn touch(
    context: Arc<Context>,
    pods: Vec<(String, String)>,
    inputs: String,
) -> Outcome {
    let told = context.cluster.touch_pods(&pods, &inputs).await;
    Outcome::Touched(told.map_err(Setback::from))
}

/// Deletes objects of an application.
pub(super) async fn delete(
    context: Arc<Context>,
    purpose: Purpose,
    application: String,
    targets: BTreeMap<ObjectKey, Option<String>>,
) -> Outcome {
    let list: Vec<_> = targets.clone().into_iter().collect();
    crash::point("before_prune");
    let deleted = context.cluster.delete(&application, &list).await;
    crash::point("after_prune");
    Outcome::Deleted {
        purpose,
        targets,
        result: deleted.map_err(Setback::from),
    }
}

/// Removes the record.
pub(super) async fn remove(context: Arc<Context>, application: String) -> Outcome {
    let mut failures = 0;
    loop {
        match context.dependencies.store.remove(&application).await {
            Ok(()) => return Outcome::Removed,
            Err(error) => tracing::warn!(
                app.name = application,
                error = baetyl_service_kit::fault::chain(&error),
                "the record of an application was not removed; trying again"
            ),
        }
        sleep(context.pause(failures)).await;
        failures = failures.saturating_add(1);
    }
}
