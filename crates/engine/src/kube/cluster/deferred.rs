//! Checks, while a set is being applied, what could not be checked before.

use std::collections::BTreeMap;
use std::time::Duration;

use baetyl_service_kit::backoff::{Backoff, Bounds};
use futures::StreamExt;
use tokio::time::Instant;

use super::apply::Situation;
use super::check::{Checked, Verdict, sorted};
use super::order::Wave;
use super::put::rejected;
use super::rejection::Rejection;
use super::{Cluster, Target, abreast};
use crate::reason;

/// How long an established kind may take to be served everywhere.
const SERVED_DEADLINE: Duration = Duration::from_secs(15);

/// Between the attempts.
const SERVED_BACKOFF: Bounds = Bounds {
    initial: Duration::from_millis(100),
    cap: Duration::from_secs(1),
    healthy_after: Duration::from_secs(60),
};

impl Cluster {
    /// Checks what could not be checked before its definition and namespace were there.
    pub(super) async fn check_deferred(
        &self,
        situation: &mut Situation<'_>,
        waves: &BTreeMap<Wave, Vec<&Target<'_>>>,
    ) -> Result<(), Rejection> {
        let shared = &*situation;
        let deferred = waves.values().flatten().copied();
        let deferred = deferred.filter(|target| shared.checked.deferred.contains(target.key()));
        let checks =
            deferred.map(|target| async move { (target, self.check_served(target, shared).await) });
        let mut verdicts = abreast(checks);
        let (mut violations, mut found) = (Vec::new(), Checked::default());
        while let Some((target, verdict)) = verdicts.next().await {
            let key = target.key();
            match verdict? {
                // What must be asked does not answer; applying it will tell.
                Verdict::Deferred | Verdict::Fine { is_forced: false } => {}
                Verdict::Fine { is_forced: true } => {
                    found.forced.insert(key.clone());
                }
                Verdict::Replace(replacement) => {
                    found.replace.insert(key.clone(), replacement);
                }
                Verdict::Unjudged(violation) => violations.push(violation),
                Verdict::Invalid(more) => violations.extend(more),
            }
        }
        drop(verdicts);
        situation.checked.forced.append(&mut found.forced);
        situation.checked.replace.append(&mut found.replace);
        Rejection::check(sorted(violations))
    }

    async fn check_served(
        &self,
        target: &Target<'_>,
        situation: &Situation<'_>,
    ) -> Result<Verdict, Rejection> {
        let footing = self.stand(target, situation).await?;
        let until = Instant::now() + SERVED_DEADLINE;
        let mut backoff = Backoff::new(SERVED_BACKOFF);
        loop {
            let verdict = self.rehearse(target, &footing, situation.options).await;
            let verdict = verdict.map_err(|trouble| rejected("check", target.key(), &trouble))?;
            let Verdict::Unjudged(violation) = verdict else {
                return Ok(verdict);
            };
            if violation.reason == reason::CLUSTER_UNAVAILABLE {
                return Ok(Verdict::Deferred);
            }
            let is_early = violation.reason == reason::KIND_NOT_FOUND && target.is_own_kind;
            if !is_early || Instant::now() >= until {
                return Ok(Verdict::Unjudged(violation));
            }
            // Each of several API servers learns of the definition in its own time.
            let now = std::time::Instant::now();
            tokio::time::sleep(backoff.next_delay(now)).await;
        }
    }
}
