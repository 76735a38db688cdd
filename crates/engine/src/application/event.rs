//! Takes in what happened to instances and operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_process::InstanceId;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::Application;
use super::monitor::{self, Event, News};
use super::operation::Outcome;
use crate::driver::{Observation, Refusal, Termination};
use crate::observed::{Doom, Health, Phase, Prepared};
use crate::reason;
use crate::record::{End, Role};
use crate::spec::RestartPolicy;

impl Application {
    pub(super) fn take_event(&mut self, event: Event) {
        let Event { id, news } = event;
        match news {
            News::Ready { is_ready, message } => {
                if let Some(health) = self.health(&id) {
                    health.is_ready = is_ready;
                    health.was_ready |= is_ready;
                    health.probe_message = message;
                }
            }
            News::Doomed(doom) => self.doom(&id, doom),
            News::Observed(observation) => self.take_observation(&id, observation),
        }
    }

    fn health(&mut self, id: &InstanceId) -> Option<&mut Health> {
        if let Some(seen) = self.observed.instances.get_mut(id)
            && let Phase::Running(health) = &mut seen.phase
        {
            return Some(health);
        }
        self.suspended.get_mut(id)
    }

    fn doom(&mut self, id: &InstanceId, doom: Doom) {
        let name = self.record.application.clone();
        if let Some(health) = self.health(id)
            && health.doomed.is_none()
        {
            tracing::warn!(
                app.name = name,
                instance.id = id.as_str(),
                reason = doom.reason,
                detail = doom.message,
                "instance must be stopped"
            );
            health.doomed = Some(doom);
        }
    }

    /// What the monitor of an instance saw.
    fn take_observation(&mut self, id: &InstanceId, observation: Observation) {
        let is_serving = self
            .record
            .slot_of(id)
            .is_some_and(|(role, _)| role == Role::Serving);
        let is_taken_as_ready = is_serving || self.is_silent(id);
        let Some(seen) = self.observed.instances.get_mut(id) else {
            return;
        };
        // Whoever stops it hears of its end, too, and knows why.
        if matches!(seen.phase, Phase::Stopping | Phase::Discarding) {
            return;
        }
        match observation {
            Observation::Running { pid, started_at } => {
                // One that was never seen running is ready only if nothing could tell otherwise.
                let health = self.suspended.remove(id).unwrap_or(Health {
                    pid,
                    started_at,
                    is_ready: is_taken_as_ready,
                    was_ready: is_taken_as_ready,
                    probe_message: String::new(),
                    doomed: None,
                });
                seen.phase = Phase::Running(health);
            }
            Observation::Unknown { detail } => {
                let unknown = Phase::Unknown { detail };
                if let Phase::Running(health) = std::mem::replace(&mut seen.phase, unknown) {
                    self.suspended.insert(id.clone(), health);
                }
            }
            Observation::Ended(termination) => self.finish(id, termination, None),
            // A candidate is not judged for what happened to its shim: its deadline bounds that.
            Observation::Vanished if !is_serving => {
                seen.phase = Phase::Vanished;
                self.unwatch(id);
            }
            Observation::Vanished => self.finish(id, lost("nobody knows how it ended"), None),
            Observation::Broken => {
                if is_serving {
                    self.doom(id, lost_doom());
                    return;
                }
                seen.phase = Phase::Broken;
            }
        }
    }

    /// An instance has ended, `after` it was found to be doomed or by itself.
    fn finish(&mut self, id: &InstanceId, termination: Termination, after: Option<&Doom>) {
        self.suspended.remove(id);
        self.unwatch(id);
        let mut termination = termination;
        if let Some(doom) = after {
            doom.reason.clone_into(&mut termination.reason);
            termination.message.clone_from(&doom.message);
        }
        tracing::info!(
            app.name = self.record.application,
            instance.id = id.as_str(),
            reason = termination.reason,
            detail = termination.message,
            "instance ended"
        );
        self.note_end(id, termination.clone());
        let failures = self.record.slot_of(id).map_or(1, |(_, slot)| slot.failures);
        let delay = self.context.config.restart.delay(failures);
        if let Some(seen) = self.observed.instances.get_mut(id) {
            seen.phase = Phase::Ended {
                termination,
                retry_at: Instant::now() + delay,
            };
        }
    }

    /// Judges an end for the record.
    pub(super) fn note_end(&mut self, id: &InstanceId, termination: Termination) {
        let Some((_, slot)) = self.record.slot_of(id) else {
            return;
        };
        let before = slot.failures;
        let policy = self
            .service_of(id)
            .map_or(RestartPolicy::Always, |service| service.restart);
        let is_completed =
            policy.is_completed_by(termination.exit_code) && termination.reason == reason::EXITED;
        let healthy_after = self.context.config.restart.healthy_after;
        let seen = self.observed.instances.get(id);
        let since = seen.and_then(|seen| seen.since);
        let was_healthy = since.is_some_and(|since| since.elapsed() >= healthy_after);
        let failures = match (is_completed, was_healthy) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => before.saturating_add(1),
        };
        let end = End {
            termination,
            is_completed,
            failures,
        };
        self.record.note_end(id, &end);
        self.is_dirty = true;
    }

    pub(super) fn take_outcome(&mut self, outcome: Result<Outcome, JoinError>) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // Its instance or files stay in a phase that only it would have left.
                tracing::error!(
                    app.name = self.record.application,
                    error = %error,
                    "operation of an application died"
                );
                return;
            }
        };
        match outcome {
            Outcome::Prepared {
                number,
                pin,
                result,
            } => {
                let prepared = match result {
                    Ok(renewals) => {
                        self.renewals.extend(renewals);
                        self.told = None;
                        Prepared::Done(pin)
                    }
                    Err(refusal) => {
                        // It is tried again and again; once is enough to tell.
                        if self.told.as_ref() != Some(&refusal) {
                            self.warn(&refusal, "files were not prepared");
                            self.told = Some(refusal.clone());
                        }
                        Prepared::Refused {
                            pin,
                            refusal,
                            retry_at: Instant::now() + self.context.config.retry_period,
                        }
                    }
                };
                self.observed.files.insert(number, prepared);
            }
            Outcome::Started { id, result } => self.take_start(&id, result),
            Outcome::Stopped {
                id,
                doom,
                observation,
            } => self.take_stop(&id, doom, observation),
            Outcome::Discarded(id) => {
                self.observed.instances.remove(&id);
            }
            Outcome::Removed => self.is_removed = true,
        }
    }

    fn take_start(&mut self, id: &InstanceId, result: Result<Observation, Refusal>) {
        let observation = match result {
            Ok(observation) => observation,
            Err(refusal) => {
                self.warn(&refusal, "instance was not started");
                self.refuse(id, refusal);
                return;
            }
        };
        match observation {
            Observation::Running { pid, started_at } => {
                tracing::info!(
                    app.name = self.record.application,
                    instance.id = id.as_str(),
                    pid,
                    "instance started"
                );
                let is_ready = self.is_silent(id);
                if let Some(seen) = self.observed.instances.get_mut(id) {
                    seen.since = Some(Instant::now());
                    seen.phase = Phase::Running(Health {
                        pid,
                        started_at,
                        is_ready,
                        was_ready: is_ready,
                        probe_message: String::new(),
                        doomed: None,
                    });
                }
                self.watch(id, is_ready);
            }
            Observation::Ended(termination) => self.finish(id, termination, None),
            Observation::Vanished => self.finish(id, lost("nobody knows how it ended"), None),
            Observation::Broken | Observation::Unknown { .. } => {
                // The monitor will tell what is the matter.
                self.take_observation(id, observation);
                let is_ready = self.is_silent(id);
                self.watch(id, is_ready);
            }
        }
    }

    /// Whether nothing tells that an instance is ready.
    fn is_silent(&self, id: &InstanceId) -> bool {
        self.service_of(id).is_some_and(|service| {
            service.probes.startup.is_none() && service.probes.readiness.is_none()
        })
    }

    /// An instance that could not be started counts as a failure of its slot.
    pub(super) fn refuse(&mut self, id: &InstanceId, refusal: Refusal) {
        let termination = Termination {
            exit_code: 127,
            signal: 0,
            reason: refusal.reason.to_owned(),
            message: refusal.message.clone(),
            finished_at: Self::now(),
        };
        self.note_end(id, termination);
        let failures = self.record.slot_of(id).map_or(1, |(_, slot)| slot.failures);
        let delay = self.context.config.restart.delay(failures);
        if let Some(seen) = self.observed.instances.get_mut(id) {
            seen.phase = Phase::Refused {
                refusal,
                retry_at: Instant::now() + delay,
            };
        }
    }

    fn take_stop(&mut self, id: &InstanceId, doom: Option<Doom>, observation: Observation) {
        self.suspended.remove(id);
        self.unwatch(id);
        if let Some(doom) = doom {
            let termination = match observation {
                Observation::Ended(termination) => termination,
                Observation::Running { .. }
                | Observation::Vanished
                | Observation::Broken
                | Observation::Unknown { .. } => lost(&doom.message),
            };
            self.finish(id, termination, Some(&doom));
            return;
        }
        if let Some(seen) = self.observed.instances.get_mut(id) {
            tracing::info!(
                app.name = self.record.application,
                instance.id = id.as_str(),
                "instance stopped"
            );
            seen.phase = Phase::Vanished;
        }
        // It was stopped because others need its place, or because everything stops. That is no
        // failure, neither now nor for the next engine.
        self.is_dirty |= self.record.vacate(id);
    }

    /// Applies memory limits where the driver cannot, and shows what changed visibly.
    pub(super) fn take_samples(&mut self, samples: &Arc<BTreeMap<InstanceId, u64>>) {
        let is_limited_elsewhere = self.context.dependencies.driver.support().memory_limits;
        let mut over = Vec::new();
        for (id, seen) in &mut self.observed.instances {
            let Some(bytes) = samples.get(id).copied() else {
                continue;
            };
            if is_visible(seen.memory_bytes, bytes) {
                seen.memory_bytes = bytes;
            }
            if !is_limited_elsewhere {
                over.push((id.clone(), bytes));
            }
        }
        for (id, bytes) in over {
            let limit = self
                .service_of(&id)
                .and_then(|service| service.limits.memory_bytes);
            if let Some(limit) = limit.filter(|limit| bytes > *limit) {
                self.doom(
                    &id,
                    Doom {
                        reason: reason::OUT_OF_MEMORY,
                        message: format!("used {bytes} bytes of memory, {limit} is the limit"),
                        is_gentle: false,
                    },
                );
            }
        }
    }

    /// Starts to watch an instance.
    pub(super) fn watch(&mut self, id: &InstanceId, is_ready: bool) {
        let ports = self.record.slot_of(id).map(|(_, slot)| slot.ports.clone());
        let is_unknown = self
            .observed
            .instances
            .get(id)
            .is_some_and(|seen| matches!(seen.phase, Phase::Unknown { .. }));
        let target = monitor::Target {
            is_unknown,
            id: id.clone(),
            service: self.service_of(id),
            ports: ports.unwrap_or_default(),
            is_ready,
            retry_period: self.context.config.retry_period,
        };
        let driver = self.context.dependencies.driver.clone();
        let watching = monitor::watch(target, driver, self.sender.clone());
        let handle = self.monitors.spawn(watching);
        if let Some(old) = self.watched.insert(id.clone(), handle) {
            old.abort();
        }
    }

    pub(super) fn unwatch(&mut self, id: &InstanceId) {
        if let Some(handle) = self.watched.remove(id) {
            handle.abort();
        }
    }

    fn warn(&self, refusal: &Refusal, what: &'static str) {
        tracing::warn!(
            app.name = self.record.application,
            reason = refusal.reason,
            detail = refusal.message,
            what,
            "application was refused"
        );
    }
}

/// Whether a new sample differs so much that people want to see it.
fn is_visible(shown: u64, sampled: u64) -> bool {
    const LEAST: u64 = 1 << 20;
    let difference = shown.abs_diff(sampled);
    shown == 0 || (difference > LEAST && difference > shown / 8)
}

fn lost(message: &str) -> Termination {
    Termination {
        exit_code: 137,
        signal: 9,
        reason: reason::LOST.to_owned(),
        message: message.to_owned(),
        finished_at: Application::now(),
    }
}

fn lost_doom() -> Doom {
    Doom {
        reason: reason::LOST,
        message: "its supervising process was killed".to_owned(),
        is_gentle: true,
    }
}
