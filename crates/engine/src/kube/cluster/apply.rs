//! Applies a set of objects in order, waits where others need what was applied, and says exactly
//! what was done when it fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;

use super::super::object::{Object, ObjectKey};
use super::super::watch::content;
use super::check::{Checked, sorted};
use super::discovery::is_definition;
use super::order::{Wave, wave};
use super::put::{Done, Footing, Manner, Outcome, rejected};
use super::rejection::{ObjectViolation, Rejection};
use super::{ApplyOptions, Cluster, Known, Target, abreast, seen};

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The objects, as they were right after that.
    pub objects: BTreeMap<ObjectKey, AppliedObject>,
}

/// An object right after it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedObject {
    /// Differs after delete and create.
    pub uid: String,
    /// Changes with every write.
    pub resource_version: String,
    /// Changes with every write of the spec; 0 for kinds that have none.
    pub generation: i64,
    /// Differs when somebody wrote something else than the status; see
    /// [`content`](crate::kube::watch::content).
    pub content: String,
    /// Whether this differs from what was known of it before.
    pub changed: bool,
}

/// A set was not applied, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rejection}")]
pub struct ApplyFailure {
    /// What was applied before it failed.
    pub applied: Applied,
    /// Why it failed.
    #[source]
    pub rejection: Rejection,
}

/// What the parts of one call share.
pub(super) struct Situation<'a> {
    pub(super) checked: Checked,
    pub(super) known: &'a Known,
    pub(super) options: &'a ApplyOptions,
}

impl Cluster {
    /// Applies a set in the order namespaces, definitions, access, settings, storage, services,
    /// workloads, autoscalers, budgets, custom objects. Definitions are waited for until they are
    /// established; what was deferred is then checked before the rest is applied. `checked` is what
    /// [`Cluster::check`] found for the same objects, and is good for one call.
    ///
    /// # Errors
    /// [`ApplyFailure`] with what was applied; the same call, after another check, goes on from
    /// there.
    ///
    /// # Cancel safety
    /// When dropped, any part may have been applied; see the errors.
    pub async fn apply(
        &self,
        objects: &[Object],
        checked: &Checked,
        known: &Known,
        options: &ApplyOptions,
    ) -> Result<Applied, ApplyFailure> {
        let mut applied = Applied::default();
        let outcome = self
            .apply_into(&mut applied, objects, checked, known, options)
            .await;
        match outcome {
            Ok(()) => Ok(applied),
            Err(rejection) => Err(ApplyFailure { applied, rejection }),
        }
    }

    async fn apply_into(
        &self,
        applied: &mut Applied,
        objects: &[Object],
        checked: &Checked,
        known: &Known,
        options: &ApplyOptions,
    ) -> Result<(), Rejection> {
        let (targets, violations) = self.targets(objects).await?;
        Rejection::check(sorted(violations))?;
        let mut situation = Situation {
            checked: checked.clone(),
            known,
            options,
        };
        let mut waves: BTreeMap<Wave, Vec<&Target<'_>>> = BTreeMap::new();
        for target in &targets {
            waves.entry(wave(target.key())).or_default().push(target);
        }
        let mut has_deferred = !situation.checked.deferred.is_empty();
        for (wave, targets) in waves.iter() {
            if has_deferred && *wave > Wave::Definitions {
                self.check_deferred(&mut situation, &waves).await?;
                has_deferred = false;
            }
            self.apply_wave(applied, targets, &situation).await?;
        }
        Ok(())
    }

    /// Applies what may be applied together. After a failure nothing more is begun, but what is
    /// under way is waited for, so that it is known.
    async fn apply_wave(
        &self,
        applied: &mut Applied,
        targets: &[&Target<'_>],
        situation: &Situation<'_>,
    ) -> Result<(), Rejection> {
        let has_failed = &AtomicBool::new(false);
        let begun = targets.iter().map(|target| async move {
            if has_failed.load(Ordering::Relaxed) {
                return None;
            }
            Some((*target, self.apply_one(target, situation).await))
        });
        let mut outcomes = abreast(begun);
        let (mut violations, mut failure) = (Vec::new(), None);
        while let Some(outcome) = outcomes.next().await {
            let Some((target, outcome)) = outcome else {
                continue;
            };
            match outcome {
                Ok(object) => {
                    applied.objects.insert(target.key().clone(), object);
                }
                Err(rejection) if rejection.violations.is_empty() => {
                    has_failed.store(true, Ordering::Relaxed);
                    failure.get_or_insert(rejection);
                }
                Err(rejection) => {
                    has_failed.store(true, Ordering::Relaxed);
                    violations.extend(rejection.violations);
                }
            }
        }
        Rejection::check(sorted(violations))?;
        failure.map_or(Ok(()), Err)
    }

    async fn apply_one(
        &self,
        target: &Target<'_>,
        situation: &Situation<'_>,
    ) -> Result<AppliedObject, Rejection> {
        let key = target.key();
        let mut footing = self.stand(target, situation).await?;
        if let Some(replacement) = situation.checked.replace.get(key) {
            self.remove(target, replacement).await?;
            footing = Footing::Absent;
        }
        let is_forced = situation.options.force_conflicts || situation.checked.forced.contains(key);
        let done = match self.attempt(target, &footing, is_forced).await? {
            Ok(done) => done,
            // Nobody checked it, or it changed since.
            Err(violations) => {
                let replacement = self.replacement(target, &footing, violations).await;
                let replacement =
                    replacement.map_err(|trouble| rejected("replace", key, &trouble))?;
                self.remove(target, &replacement.map_err(Rejection::of)?)
                    .await?;
                let again = self.attempt(target, &Footing::Absent, is_forced).await?;
                again.map_err(Rejection::of)?
            }
        };
        if is_definition(key) {
            self.established(target, &done.answer).await?;
        }
        let before = seen(situation.known, key).map(|facts| facts.resource_version.as_str());
        Ok(AppliedObject::new(done, before))
    }

    /// Applies one object; the inner error are fields that cannot change in place.
    pub(super) async fn attempt(
        &self,
        target: &Target<'_>,
        footing: &Footing,
        is_forced: bool,
    ) -> Result<Result<Done, Vec<ObjectViolation>>, Rejection> {
        let manner = Manner {
            footing,
            is_dry: false,
            is_forced,
        };
        let outcome = self.put(target, manner).await;
        match outcome.map_err(|trouble| rejected("apply", target.key(), &trouble))? {
            Outcome::Done(done) => Ok(Ok(done)),
            Outcome::Immutable(violations) => Ok(Err(violations)),
            Outcome::Invalid(violations) => Err(Rejection::of(violations)),
            Outcome::Unjudged(violation) => Err(Rejection::of(vec![violation])),
        }
    }

    /// Finds out whose the object is, from what is known or by looking.
    pub(super) async fn stand(
        &self,
        target: &Target<'_>,
        situation: &Situation<'_>,
    ) -> Result<Footing, Rejection> {
        if let Some(facts) = seen(situation.known, target.key()) {
            return Ok(Footing::Ours(facts.uid.clone()));
        }
        if let Some(footing) = situation.checked.footings.get(target.key()) {
            return Ok(footing.clone());
        }
        let footing = self.footing(target).await;
        let footing = footing.map_err(|trouble| rejected("look at", target.key(), &trouble))?;
        footing.map_err(|violation| Rejection::of(vec![violation]))
    }
}

impl AppliedObject {
    /// `before` is the version that was known.
    pub(super) fn new(done: Done, before: Option<&str>) -> Self {
        let metadata = done.seen.metadata;
        // It was parsed once already, for its metadata.
        let answer = serde_json::from_slice(&done.answer).unwrap_or_default();
        Self {
            content: content(&answer),
            changed: before != Some(metadata.resource_version.as_str()),
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
        }
    }
}
