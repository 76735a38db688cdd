//! Deletes one object, exactly this one: to make it anew, or for good.

use std::time::Instant;

use baetyl_service_kit::backoff::Backoff;
use serde_json::json;

use super::super::object::ObjectKey;
use super::check::Replacement;
use super::put::{MAX_RACES, RACE_BACKOFF, rejected};
use super::reading::{Reading, read};
use super::rejection::Rejection;
use super::request::{Call, Seen, Trouble};
use super::{Cluster, Target};

/// What goes with a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    /// Nothing: what belongs to it goes on.
    Orphan,
    /// All that belongs to it, after it.
    Background,
}

/// What became of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Erased {
    /// It is not there.
    Gone,
    /// It goes when its finalizers, or its pods, have ended.
    Ending,
    /// Another object has its name.
    Other,
}

impl Cluster {
    /// Deletes the object that must be made anew, and waits until it is gone.
    pub(super) async fn remove(
        &self,
        target: &Target<'_>,
        replacement: &Replacement,
    ) -> Result<(), Rejection> {
        let key = target.key();
        let propagation = if replacement.keeps_pods {
            Propagation::Orphan
        } else {
            Propagation::Background
        };
        let erased = self
            .erase(key, &target.path(), &replacement.uid, propagation)
            .await?;
        match erased {
            Erased::Gone => Ok(()),
            Erased::Ending => self.gone(target, &replacement.uid).await,
            Erased::Other => {
                let changed = Trouble::Changed("another object has its name now".to_owned());
                Err(rejected("replace", key, &changed))
            }
        }
    }

    /// Deletes the object with this uid.
    pub(super) async fn erase(
        &self,
        key: &ObjectKey,
        path: &str,
        uid: &str,
        propagation: Propagation,
    ) -> Result<Erased, Rejection> {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": match propagation {
                Propagation::Orphan => "Orphan",
                Propagation::Background => "Background",
            },
        });
        let mut backoff = Backoff::new(RACE_BACKOFF);
        loop {
            let call = Call::delete(path.to_owned(), &options);
            let refused = match self.requests.fetch::<Seen>(call).await {
                // The answer is the object as long as something of it is left.
                Ok(seen) if seen.kind == "Status" || seen.metadata.uid.is_empty() => {
                    return Ok(Erased::Gone);
                }
                Ok(seen) if seen.metadata.deletion_timestamp.is_some() => {
                    return Ok(Erased::Ending);
                }
                Ok(_) => return Ok(Erased::Gone),
                Err(Trouble::Refused(refused)) => refused,
                Err(trouble) => return Err(rejected("delete", key, &trouble)),
            };
            match read(key, &refused.status) {
                Reading::NotFound | Reading::NotServed | Reading::NamespaceMissing => {
                    return Ok(Erased::Gone);
                }
                Reading::Changed => return Ok(Erased::Other),
                Reading::Invalid(violations) => return Err(Rejection::of(violations)),
                Reading::Modified if backoff.attempt() < MAX_RACES => {
                    tokio::time::sleep(backoff.next_delay(Instant::now())).await;
                }
                _ => return Err(rejected("delete", key, &Trouble::Refused(refused))),
            }
        }
    }
}
