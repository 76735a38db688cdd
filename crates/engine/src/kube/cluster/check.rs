//! Checks a set of objects against the cluster without changing anything.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use serde_json::Value;

use super::super::object::{Object, ObjectKey};
use super::order::{Replacing, replacing};
use super::put::{Footing, Manner, Outcome, rejected};
use super::rejection::{ObjectViolation, Rejection};
use super::request::{Call, Trouble};
use super::{ApplyOptions, Cluster, Known, Target, abreast, seen};
use crate::reason;

/// What a check found. The default one knows nothing: everything is then looked at while it is
/// applied, which is right for what was applied before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Objects that must be replaced, since a field of them cannot change in place.
    pub replace: BTreeMap<ObjectKey, Replacement>,
    /// Objects that can be checked only when others of the set are there; done while applying,
    /// before anything but namespaces and definitions.
    pub deferred: BTreeSet<ObjectKey>,
    /// Objects with edits by hand that are in the way.
    pub(super) forced: BTreeSet<ObjectKey>,
    /// Whose the objects are that the watches did not show.
    pub(super) footings: BTreeMap<ObjectKey, Footing>,
}

/// How an object is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The one that is deleted.
    pub uid: String,
    /// Whether its pods go on, and the new one takes them over.
    pub keeps_pods: bool,
}

/// What was found about one object.
pub(super) struct Finding {
    pub(super) footing: Footing,
    pub(super) verdict: Verdict,
}

pub(super) enum Verdict {
    /// It can be applied.
    Fine { is_forced: bool },
    /// It can only be replaced.
    Replace(Replacement),
    /// Something must be there first: what, as the violation that it would otherwise be.
    Unjudged(ObjectViolation),
    /// Its kind is defined in the same set.
    Deferred,
    /// It is at fault.
    Invalid(Vec<ObjectViolation>),
}

impl Cluster {
    /// Checks everything that can be known before anything changes: kinds, owners, schemas and
    /// rules of the cluster, permissions, fields that others manage, and fields that cannot change.
    ///
    /// # Errors
    /// [`Rejection`] with every violation of every object, or a passing one when the cluster could
    /// not be asked.
    ///
    /// # Cancel safety
    /// Nothing is changed at any time.
    pub async fn check(
        &self,
        objects: &[Object],
        known: &Known,
        options: &ApplyOptions,
    ) -> Result<Checked, Rejection> {
        let (targets, mut violations) = self.targets(objects).await?;
        let mut findings = abreast(targets.iter().map(|target| async move {
            let finding = self.examine(target, known, options).await;
            (target, finding)
        }));
        let mut checked = Checked::default();
        let mut failure = None;
        while let Some((target, finding)) = findings.next().await {
            let key = target.key();
            let finding = match finding {
                Ok(finding) => finding,
                Err(trouble) => {
                    failure = Some(rejected("check", key, &trouble));
                    break;
                }
            };
            if seen(known, key).is_none() {
                checked.footings.insert(key.clone(), finding.footing);
            }
            match finding.verdict {
                Verdict::Fine { is_forced: false } => {}
                Verdict::Fine { is_forced: true } => {
                    checked.forced.insert(key.clone());
                }
                Verdict::Replace(replacement) => {
                    checked.replace.insert(key.clone(), replacement);
                }
                Verdict::Deferred => {
                    checked.deferred.insert(key.clone());
                }
                Verdict::Unjudged(violation) => {
                    if may_wait(target, &violation) {
                        checked.deferred.insert(key.clone());
                    } else {
                        violations.push(violation);
                    }
                }
                Verdict::Invalid(found) => violations.extend(found),
            }
        }
        // What is certainly wrong needs no answer to the rest.
        let found = Rejection::check(sorted(violations));
        match (found, failure) {
            (Err(found), None) => Err(found),
            (Err(found), Some(_)) if found.is_final => Err(found),
            (_, Some(failure)) => Err(failure),
            (Ok(()), None) => Ok(checked),
        }
    }

    async fn examine(
        &self,
        target: &Target<'_>,
        known: &Known,
        options: &ApplyOptions,
    ) -> Result<Finding, Trouble> {
        let footing = match seen(known, target.key()) {
            Some(facts) => Footing::Ours(facts.uid.clone()),
            None => match self.footing(target).await? {
                Ok(footing) => footing,
                Err(violation) => {
                    return Ok(Finding {
                        footing: Footing::Absent,
                        verdict: Verdict::Invalid(vec![violation]),
                    });
                }
            },
        };
        // Its definition may be about to change.
        if target.is_own_kind {
            let verdict = Verdict::Deferred;
            return Ok(Finding { footing, verdict });
        }
        let verdict = self.rehearse(target, &footing, options).await?;
        Ok(Finding { footing, verdict })
    }

    /// Tries an object without changing anything.
    pub(super) async fn rehearse(
        &self,
        target: &Target<'_>,
        footing: &Footing,
        options: &ApplyOptions,
    ) -> Result<Verdict, Trouble> {
        let manner = Manner {
            footing,
            is_dry: true,
            is_forced: options.force_conflicts,
        };
        Ok(match self.put(target, manner).await? {
            Outcome::Done(done) => Verdict::Fine {
                is_forced: done.is_forced,
            },
            Outcome::Invalid(violations) => Verdict::Invalid(violations),
            Outcome::Unjudged(violation) => Verdict::Unjudged(violation),
            Outcome::Immutable(violations) => {
                match self.replacement(target, footing, violations).await? {
                    Ok(replacement) => Verdict::Replace(replacement),
                    Err(violations) => Verdict::Invalid(violations),
                }
            }
        })
    }

    /// Decides how an object is replaced, if it can be.
    pub(super) async fn replacement(
        &self,
        target: &Target<'_>,
        footing: &Footing,
        violations: Vec<ObjectViolation>,
    ) -> Result<Result<Replacement, Vec<ObjectViolation>>, Trouble> {
        let key = target.key();
        let (Footing::Ours(uid), Some(how)) = (footing, replacing(key)) else {
            return Ok(Err(violations));
        };
        let uid = uid.clone();
        if how == Replacing::Anew {
            let keeps_pods = false;
            return Ok(Ok(Replacement { uid, keeps_pods }));
        }
        let live: Value = self.requests.fetch(Call::json(target.path())).await?;
        let labels = &live["spec"]["template"]["metadata"]["labels"];
        if selects(&target.object.body()["spec"]["selector"], labels) {
            let keeps_pods = true;
            return Ok(Ok(Replacement { uid, keeps_pods }));
        }
        // Left behind, the pods would belong to nobody; taken along, nothing would serve.
        let message = format!(
            "cannot change to labels that the running pods do not have; give the {} another name, \
             then the old one serves until the new one does",
            key.kind
        );
        let violation =
            ObjectViolation::new(key, "spec.selector", reason::IMMUTABLE_FIELD, message);
        Ok(Err(vec![violation]))
    }
}

/// Whether what an object needs may come with the set, or is asked for again when it is applied.
fn may_wait(target: &Target<'_>, violation: &ObjectViolation) -> bool {
    match violation.reason {
        reason::NAMESPACE_NOT_FOUND => target.is_own_namespace,
        reason::KIND_NOT_FOUND => target.is_own_kind,
        _ => true,
    }
}

/// By object, in the order of their keys.
pub(super) fn sorted(mut violations: Vec<ObjectViolation>) -> Vec<ObjectViolation> {
    violations.sort_by(|a, b| (&a.object, &a.field).cmp(&(&b.object, &b.field)));
    violations
}

/// Whether a label selector matches labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let exact = selector["matchLabels"].as_object().into_iter().flatten();
    let mut exact = exact.map(|(label, value)| &labels[label] == value);
    let rules = selector["matchExpressions"].as_array();
    let mut rules = rules.into_iter().flatten().map(|rule| {
        let Some(label) = rule["key"].as_str() else {
            return false;
        };
        let value = &labels[label];
        let is_listed = || {
            let values = rule["values"].as_array();
            values.is_some_and(|values| values.contains(value))
        };
        match rule["operator"].as_str() {
            Some("In") => is_listed(),
            Some("NotIn") => !is_listed(),
            Some("Exists") => !value.is_null(),
            Some("DoesNotExist") => value.is_null(),
            _ => false,
        }
    });
    exact.all(|matches| matches) && rules.all(|matches| matches)
}

#[cfg(test)]
mod tests;
