//! Applies one object, for real or as a dry run, with the rule for fields that others manage.

use std::time::{Duration, Instant};

use baetyl_service_kit::backoff::{Backoff, Bounds};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::names::FIELD_MANAGER;
use super::super::object::ObjectKey;
use super::conflict::FieldConflict;
use super::reading::{Reading, read};
use super::reclaim::doubled;
use super::rejection::{ObjectViolation, Rejection};
use super::request::{Call, METADATA, Refused, Seen, Trouble, parse};
use super::{Cluster, Target};
use crate::reason;

/// How often a write that lost a race is sent again.
pub(super) const MAX_RACES: u32 = 3;

/// Between these attempts.
pub(super) const RACE_BACKOFF: Bounds = Bounds {
    initial: Duration::from_millis(50),
    cap: Duration::from_secs(1),
    healthy_after: Duration::from_secs(60),
};

/// How one object is applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    /// What must be there for it to be applied.
    pub(super) footing: &'a Footing,
    /// Whether nothing is to change.
    pub(super) is_dry: bool,
    /// Whether fields that others manage are taken over from the beginning.
    pub(super) is_forced: bool,
}

/// What became of one object.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was applied, or could be.
    Done(Done),
    /// It can only be replaced.
    Immutable(Vec<ObjectViolation>),
    /// It, or what surrounds it, is at fault.
    Invalid(Vec<ObjectViolation>),
    /// Its namespace, its kind, or a program that must be asked about it is not there.
    Unjudged(ObjectViolation),
}

/// An object that was applied.
#[derive(Debug)]
pub(super) struct Done {
    /// What it is now.
    pub(super) seen: Seen,
    /// The whole answer.
    pub(super) answer: Bytes,
    /// Whether edits by hand were in the way.
    pub(super) is_forced: bool,
}

/// Whose an object is that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// It is ours, with this uid.
    Ours(String),
    /// There is none.
    Absent,
}

impl Cluster {
    /// Applies an object, or tries to.
    pub(super) async fn put(
        &self,
        target: &Target<'_>,
        manner: Manner<'_>,
    ) -> Result<Outcome, Trouble> {
        let key = target.key();
        let body = body(target.object.body(), manner.footing);
        let mut is_forced = manner.is_forced;
        let mut may_reclaim = !manner.is_dry;
        let mut backoff = Backoff::new(RACE_BACKOFF);
        loop {
            let path = path(target, manner.is_dry, is_forced);
            let refused = match self.requests.send(Call::apply(path, body.clone())).await {
                Ok(answer) => {
                    let seen = parse(&answer)?;
                    return Ok(Outcome::Done(Done {
                        seen,
                        answer,
                        is_forced,
                    }));
                }
                Err(Trouble::Refused(refused)) => refused,
                Err(trouble) => return Err(trouble),
            };
            let reading = read(key, &refused.status);
            if *manner.footing == Footing::Absent && reading.is_of_existing() {
                return Err(Trouble::Changed(refused.status.message));
            }
            match reading {
                Reading::Conflict(conflicts) => match undeclared(key, conflicts) {
                    Ok(()) if !is_forced => is_forced = true,
                    // Forced, there are no conflicts.
                    Ok(()) => return Err(Trouble::Refused(refused)),
                    Err(violations) => return Ok(Outcome::Invalid(violations)),
                },
                Reading::Immutable(violations) => return Ok(Outcome::Immutable(violations)),
                Reading::Invalid(_)
                    if may_reclaim && self.reclaims(target, manner, &refused).await? =>
                {
                    (may_reclaim, is_forced) = (false, true);
                }
                Reading::Invalid(violations) => return Ok(Outcome::Invalid(violations)),
                Reading::Modified if backoff.attempt() < MAX_RACES => {
                    tokio::time::sleep(backoff.next_delay(Instant::now())).await;
                }
                Reading::Modified | Reading::Busy => return Err(Trouble::Refused(refused)),
                Reading::Changed | Reading::NotFound => {
                    return Err(Trouble::Changed(refused.status.message));
                }
                Reading::NamespaceMissing => {
                    let namespace = key.namespace.as_deref().unwrap_or_default();
                    let message = format!("namespace {namespace} does not exist, or is ending");
                    let field = "metadata.namespace";
                    let reason = reason::NAMESPACE_NOT_FOUND;
                    let violation = ObjectViolation::new(key, field, reason, message);
                    return Ok(Outcome::Unjudged(violation));
                }
                Reading::NotServed => {
                    self.discovery.forget(&key.api_version);
                    return Ok(Outcome::Unjudged(super::unknown_kind(key)));
                }
                Reading::Unjudged => {
                    let message = refused.status.message.as_str();
                    let reason = reason::CLUSTER_UNAVAILABLE;
                    let violation = ObjectViolation::new(key, "", reason, message);
                    return Ok(Outcome::Unjudged(violation));
                }
            }
        }
    }

    /// Makes way for an object of ours that is refused for what others left in its lists. Returns
    /// whether anything was in the way.
    async fn reclaims(
        &self,
        target: &Target<'_>,
        manner: Manner<'_>,
        refused: &Refused,
    ) -> Result<bool, Trouble> {
        let lists = doubled(&refused.status);
        match manner.footing {
            Footing::Ours(uid) if !lists.is_empty() => self.reclaim(target, uid, &lists).await,
            _ => Ok(false),
        }
    }

    /// Looks whose an object is.
    ///
    /// # Errors
    /// The violation when it is somebody else's, or the permission to look is missing.
    pub(super) async fn footing(
        &self,
        target: &Target<'_>,
    ) -> Result<Result<Footing, ObjectViolation>, Trouble> {
        let key = target.key();
        let seen = match self.look(key, &target.path()).await? {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(Ok(Footing::Absent)),
            Err(violation) => return Ok(Err(violation)),
        };
        let labels = &target.object.body()["metadata"]["labels"];
        let application = labels[super::super::names::APPLICATION_LABEL].as_str();
        Ok(match self.stranger(&seen, application) {
            None => Ok(Footing::Ours(seen.metadata.uid)),
            Some(whose) => {
                let message = format!("it exists already and belongs to {whose}");
                let violation = ObjectViolation::new(key, "", reason::OBJECT_NOT_OURS, message);
                Err(violation)
            }
        })
    }

    /// Says to whom an object belongs that is not this application's; `None` when it is.
    pub(super) fn stranger(&self, seen: &Seen, application: Option<&str>) -> Option<String> {
        let (owner, of) = (seen.metadata.owner(), seen.metadata.application());
        if owner.is_empty() {
            return Some("somebody else".to_owned());
        }
        if owner != self.settings.owner {
            return Some(format!("another node, {owner}"));
        }
        (Some(of) != application).then(|| format!("application {of}"))
    }

    /// Reads the metadata of an object; `None` when it is not there.
    pub(super) async fn look(
        &self,
        key: &ObjectKey,
        path: &str,
    ) -> Result<Result<Option<Seen>, ObjectViolation>, Trouble> {
        match self.requests.fetch(Call::get(path, METADATA)).await {
            Ok(seen) => Ok(Ok(Some(seen))),
            Err(trouble) if trouble.is_not_found() => Ok(Ok(None)),
            Err(Trouble::Refused(refused)) => match read(key, &refused.status) {
                Reading::Invalid(mut violations) => match violations.pop() {
                    Some(violation) => Ok(Err(violation)),
                    None => Err(Trouble::Refused(refused)),
                },
                _ => Err(Trouble::Refused(refused)),
            },
            Err(trouble) => Err(trouble),
        }
    }
}

/// Passes when all that is in the way was edited by hand; else says what is declared by whom.
fn undeclared(key: &ObjectKey, conflicts: Vec<FieldConflict>) -> Result<(), Vec<ObjectViolation>> {
    let declared: Vec<_> = conflicts
        .into_iter()
        .filter(|conflict| conflict.is_declared)
        .map(|conflict| {
            let message = format!(
                "{} declares this field with another value",
                conflict.manager
            );
            ObjectViolation::new(key, conflict.field, reason::FIELD_CONFLICT, message)
        })
        .collect();
    if declared.is_empty() {
        return Ok(());
    }
    Err(declared)
}

fn path(target: &Target<'_>, is_dry: bool, is_forced: bool) -> String {
    let dry = if is_dry { "&dryRun=All" } else { "" };
    let force = if is_forced { "&force=true" } else { "" };
    let object = target.path();
    format!("{object}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict{dry}{force}")
}

/// A version that no object has: the first of a cluster is that of its empty store.
const NO_VERSION: &str = "1";

/// The object as it is sent, so that nothing else is touched: with the uid that it must have, or with
/// a version. An object that is there is refused for the version, and one that is not is made.
fn body(object: &Value, footing: &Footing) -> Bytes {
    let (field, value) = match footing {
        Footing::Ours(uid) => ("uid", uid.as_str()),
        Footing::Absent => ("resourceVersion", NO_VERSION),
    };
    let mut object = object.clone();
    object["metadata"][field] = json!(value);
    object.to_string().into()
}

/// What one object's request came to, as what the whole call came to.
pub(super) fn rejected(doing: &str, key: &ObjectKey, trouble: &Trouble) -> Rejection {
    Rejection::of_trouble(&format!("{doing} {key}"), trouble)
}
