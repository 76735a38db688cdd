//! Waits for one object by a watch: a definition until it is established, a deleted one until it
//! is gone.

use std::pin::pin;
use std::time::Duration;

use baetyl_service_kit::backoff::{Backoff, Bounds};
use futures::StreamExt;
use hyper::Request;
use hyper::header::ACCEPT;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::wire::null_is_default;
use super::put::rejected;
use super::rejection::{ObjectViolation, Rejection};
use super::request::{Call, METADATA, Seen, SeenMetadata, Trouble, encoded, parse};
use super::{Cluster, Target};
use crate::reason;

/// How long either may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long until it is looked again after a watch ended.
const BACKOFF: Bounds = Bounds {
    initial: Duration::from_millis(200),
    cap: Duration::from_secs(2),
    healthy_after: Duration::from_secs(60),
};

/// A definition, as far as its state goes.
#[derive(Clone, Debug, Default, Deserialize)]
struct Definition {
    #[serde(default)]
    metadata: SeenMetadata,
    #[serde(default)]
    status: DefinitionStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct DefinitionStatus {
    #[serde(default, deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
    #[serde(default)]
    message: String,
}

impl Definition {
    /// Whether it is established, or why it will not be; `None` while that is open.
    fn verdict(&self) -> Option<Result<(), String>> {
        let find = |name: &str, status: &str| {
            let mut conditions = self.status.conditions.iter();
            conditions.find(|condition| condition.r#type == name && condition.status == status)
        };
        if let Some(condition) = find("NamesAccepted", "False") {
            return Some(Err(condition.message.clone()));
        }
        find("Established", "True").map(|_| Ok(()))
    }
}

impl Cluster {
    /// Waits until the kinds of a definition are served; `answer` is what applying it said.
    pub(super) async fn established(
        &self,
        target: &Target<'_>,
        answer: &[u8],
    ) -> Result<(), Rejection> {
        let key = target.key();
        let until = Instant::now() + DEADLINE;
        let failed = |trouble: Trouble| rejected("wait for", key, &trouble);
        let mut backoff = Backoff::new(BACKOFF);
        let mut definition: Definition = parse(answer).map_err(failed)?;
        loop {
            let verdict = match definition.verdict() {
                Some(verdict) => Some(verdict),
                None => {
                    let version = &definition.metadata.resource_version;
                    let look = |event: WatchEvent<Definition>| match event {
                        WatchEvent::Added(now) | WatchEvent::Modified(now) => now.verdict(),
                        _ => None,
                    };
                    self.follow(target, version, "application/json", until, look)
                        .await
                }
            };
            match verdict {
                Some(Ok(())) => return Ok(()),
                Some(Err(why)) => {
                    let field = "spec.names";
                    let violation = ObjectViolation::new(key, field, reason::INVALID_OBJECT, why);
                    return Err(Rejection::of(vec![violation]));
                }
                None if Instant::now() >= until => {
                    let message = "it was not established in time".to_owned();
                    return Err(failed(Trouble::Unanswered(message)));
                }
                None => {}
            }
            tokio::time::sleep(backoff.next_delay(std::time::Instant::now())).await;
            let call = Call::json(target.path());
            definition = self.requests.fetch(call).await.map_err(failed)?;
        }
    }

    /// Waits until the object with this uid is gone.
    pub(super) async fn gone(&self, target: &Target<'_>, uid: &str) -> Result<(), Rejection> {
        let key = target.key();
        let until = Instant::now() + DEADLINE;
        let failed = |trouble: Trouble| rejected("wait for the end of", key, &trouble);
        let mut backoff = Backoff::new(BACKOFF);
        loop {
            let seen = self.look(key, &target.path()).await.map_err(failed)?;
            let seen = match seen.map_err(|violation| Rejection::of(vec![violation]))? {
                None => return Ok(()),
                Some(seen) => seen,
            };
            if seen.metadata.uid != uid {
                let message = "another object has its name now".to_owned();
                return Err(failed(Trouble::Changed(message)));
            }
            let version = &seen.metadata.resource_version;
            let look = |event: WatchEvent<Seen>| match event {
                WatchEvent::Deleted(_) => Some(()),
                _ => None,
            };
            if self
                .follow(target, version, METADATA, until, look)
                .await
                .is_some()
            {
                return Ok(());
            }
            if Instant::now() >= until {
                let message = "it is still being deleted".to_owned();
                return Err(failed(Trouble::Unanswered(message)));
            }
            tokio::time::sleep(backoff.next_delay(std::time::Instant::now())).await;
        }
    }

    /// Follows one object from a version on. `None` when the watch ended without an answer, for
    /// whatever cause, or the time is over: then it is looked again.
    async fn follow<T, R>(
        &self,
        target: &Target<'_>,
        version: &str,
        accept: &'static str,
        until: Instant,
        mut look: impl FnMut(WatchEvent<T>) -> Option<R>,
    ) -> Option<R>
    where
        T: Clone + DeserializeOwned,
    {
        let key = target.key();
        let left = until.saturating_duration_since(Instant::now());
        let path = format!(
            "{}?watch=true&fieldSelector={}&resourceVersion={}&timeoutSeconds={}",
            target.resource.collection(key.namespace.as_deref()),
            encoded(&format!("metadata.name={}", key.name)),
            encoded(version),
            left.as_secs().max(1),
        );
        let request = Request::get(path).header(ACCEPT, accept).body(Vec::new());
        let request = request.ok()?;
        let followed = async {
            let events = self
                .requests
                .client()
                .request_events::<T>(request)
                .await
                .ok()?;
            let mut events = pin!(events);
            while let Some(Ok(event)) = events.next().await {
                if let Some(answer) = look(event) {
                    return Some(answer);
                }
            }
            None
        };
        tokio::time::timeout_at(until, followed).await.ok()?
    }
}

#[cfg(test)]
mod tests;
