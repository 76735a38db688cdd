//! Takes over what an earlier engine left running.

use std::time::SystemTime;

use tokio::time::Instant;

use super::Application;
use crate::driver::{Found, Observation};
use crate::observed::{Health, Phase, Seen};
use crate::record::Role;
use crate::spec::ServiceSpec;

/// Grace of what nothing more is known about.
pub(crate) const DEFAULT_GRACE: std::time::Duration = std::time::Duration::from_secs(10);

impl Application {
    /// Notes what was found; before anything is known about services.
    pub(super) fn observe_found(&mut self, found: Vec<Found>) {
        let now = Instant::now();
        for Found { id, observation } in found {
            let role = self.record.slot_of(&id).map(|(role, _)| role);
            let phase = match observation {
                Observation::Running { pid, started_at } => {
                    // What served is taken to serve until a probe says otherwise, so that a
                    // restart of the engine changes no status.
                    let was_ready = role == Some(Role::Serving);
                    Phase::Running(Health {
                        pid,
                        started_at,
                        is_ready: was_ready,
                        was_ready,
                        probe_message: String::new(),
                        doomed: None,
                    })
                }
                Observation::Ended(termination) => Phase::Ended {
                    termination,
                    retry_at: now,
                },
                Observation::Vanished => Phase::Vanished,
                Observation::Broken => Phase::Broken,
                Observation::Unknown { detail } => Phase::Unknown { detail },
            };
            let mut seen = Seen::new(phase, DEFAULT_GRACE);
            if let Phase::Running(health) = &seen.phase {
                let age = SystemTime::now().duration_since(health.started_at);
                seen.since = now.checked_sub(age.unwrap_or_default()).or(Some(now));
            }
            self.observed.instances.insert(id, seen);
        }
    }

    /// Judges what was found, and watches what runs.
    pub(super) fn adopt(&mut self) {
        let ids: Vec<_> = self.observed.instances.keys().cloned().collect();
        for id in ids {
            let service = self.service_of(&id);
            let Some(seen) = self.observed.instances.get_mut(&id) else {
                continue;
            };
            if let Some(service) = &service {
                seen.grace = service.grace;
            }
            match seen.phase.clone() {
                Phase::Running(health) => {
                    tracing::info!(
                        app.name = self.record.application,
                        instance.id = id.as_str(),
                        pid = health.pid,
                        "instance adopted"
                    );
                    self.watch(&id, health.was_ready);
                }
                Phase::Unknown { .. } => {
                    let role = self.record.slot_of(&id).map(|(role, _)| role);
                    self.watch(&id, role == Some(Role::Serving));
                }
                Phase::Ended { termination, .. } => self.note_found_end(&id, termination),
                Phase::Launching
                | Phase::Stopping
                | Phase::Refused { .. }
                | Phase::Discarding
                | Phase::Vanished
                | Phase::Broken => {}
            }
        }
        self.give_ports();
    }

    /// An end that the earlier engine saw already counts once only.
    fn note_found_end(
        &mut self,
        id: &baetyl_process::InstanceId,
        termination: crate::driver::Termination,
    ) {
        let Some((_, slot)) = self.record.slot_of(id) else {
            return;
        };
        let is_known = slot
            .last_termination
            .as_ref()
            .is_some_and(|last| last.finished_at == termination.finished_at);
        if !is_known {
            self.note_end(id, termination);
        }
        let waited = self
            .record
            .slot_of(id)
            .and_then(|(_, slot)| slot.last_termination.as_ref())
            .and_then(|last| SystemTime::now().duration_since(last.finished_at).ok())
            .unwrap_or_default();
        let failures = self.record.slot_of(id).map_or(0, |(_, slot)| slot.failures);
        let delay = self.context.config.restart.delay(failures);
        if let Some(seen) = self.observed.instances.get_mut(id)
            && let Phase::Ended { retry_at, .. } = &mut seen.phase
        {
            *retry_at = Instant::now() + delay.saturating_sub(waited);
        }
    }

    /// What an instance is, as far as that is known.
    pub(super) fn service_of(
        &self,
        id: &baetyl_process::InstanceId,
    ) -> Option<std::sync::Arc<ServiceSpec>> {
        let (role, slot) = self.record.slot_of(id)?;
        self.spec(role)?.service(&slot.service).cloned()
    }
}
