//! Carries out a plan: the record first, durably, then everything visible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Application, Target, operation};
use crate::context::fresh_id;
use crate::desired::Pin;
use crate::driver::{Launch, Preparation, Refusal, ReleaseKey};
use crate::inputs::Inputs;
use crate::observed::{Doom, Phase, Prepared, Seen};
use crate::plan::{Action, Verdict};
use crate::record::{AppRecord, Assignment, Failure, Role, SlotKey};
use crate::spec::{AppSpec, PortSpec, ServiceSpec};
use crate::{crash, reason};
use baetyl_process::InstanceId;
use baetyl_service_kit::telemetry::propagation;
use tokio::time::Instant;
use tracing::Instrument as _;

/// A visible step that waits for the record to be durable.
enum Effect {
    Prepare(Role, Pin),
    Start {
        role: Role,
        place: SlotKey,
        id: InstanceId,
        refusal: Option<Refusal>,
    },
    Stop(InstanceId),
    Discard(InstanceId),
    Remove,
}

impl Application {
    /// Carries out actions; false when the record could not be made durable, and nothing was done.
    pub(super) async fn execute(&mut self, actions: Vec<Action>) -> bool {
        let mut record = self.record.clone();
        let mut effects = Vec::new();
        let mut is_switch = false;
        let mut is_other_candidate = false;
        for action in actions {
            match action {
                Action::Begin { pin, is_exclusive } => {
                    if let Target::Run { spec, .. } = &self.order.target {
                        record.begin(pin, spec, is_exclusive);
                        is_other_candidate = true;
                    }
                }
                Action::Drop => {
                    record.drop_candidate();
                    is_other_candidate = true;
                }
                Action::Repin(role, pin) => record.repin(role, pin),
                Action::Prepare(role, pin) => effects.push(Effect::Prepare(role, pin)),
                Action::Start(role, place) => {
                    effects.extend(self.assign(&mut record, role, place));
                }
                Action::Stop(id) => effects.push(Effect::Stop(id)),
                Action::Discard(id) => effects.push(Effect::Discard(id)),
                Action::Promote => {
                    record.promote();
                    is_switch = true;
                    is_other_candidate = true;
                }
                Action::Fail(verdict) => {
                    self.fail(&mut record, verdict);
                    is_other_candidate = true;
                }
                Action::Remove => effects.push(Effect::Remove),
            }
        }
        if self.is_dirty || record != self.record {
            crash::point(if is_switch {
                "before_switch"
            } else {
                "before_persist"
            });
            if !self.save(&record).await {
                self.give_ports();
                return false;
            }
            crash::point(if is_switch {
                "after_switch"
            } else {
                "after_persist"
            });
            self.is_dirty = false;
            self.record = record;
        }
        if is_other_candidate {
            self.observed.gate_since = None;
            self.observed.ready_since = None;
            self.needs_tidying = true;
        }
        if is_switch {
            self.tell_switch();
        }
        self.give_ports();
        for effect in effects {
            self.perform(effect);
        }
        true
    }

    fn tell_switch(&self) {
        let revision = self.record.serving.as_ref().map(|one| one.pin.revision);
        tracing::info!(
            app.name = self.record.application,
            app.revision = revision,
            "revision serves"
        );
    }

    fn fail(&self, record: &mut AppRecord, verdict: Verdict) {
        let Verdict {
            pin,
            reason,
            message,
            keeps_serving,
        } = verdict;
        tracing::warn!(
            app.name = record.application,
            app.revision = pin.revision,
            reason,
            detail = message,
            "revision failed"
        );
        let failure = Failure {
            pin,
            reason,
            message,
            at: Self::now(),
        };
        record.fail(failure, keeps_serving);
    }

    /// Chooses id and ports of the next instance of a slot.
    fn assign(&self, record: &mut AppRecord, role: Role, place: SlotKey) -> Option<Effect> {
        let spec = self.spec(role)?;
        let service = spec.service(&place.service)?;
        let release = record.release(role)?;
        let slot = release.slots.iter().find(|slot| slot.key() == place)?;
        let (ports, refusal) = match self.choose_ports(service, &slot.ports) {
            Ok(ports) => (ports, None),
            Err(refusal) => (slot.ports.clone(), Some(refusal)),
        };
        let id = fresh_id(&record.application, Self::now());
        let next = Assignment {
            id: id.clone(),
            ports,
        };
        record.assign(role, &place, next);
        Some(Effect::Start {
            role,
            place,
            id,
            refusal,
        })
    }

    /// Keeps the ports that a slot had, as long as they are free.
    fn choose_ports(
        &self,
        service: &ServiceSpec,
        before: &BTreeMap<String, u16>,
    ) -> Result<BTreeMap<String, u16>, Refusal> {
        let mut ports = BTreeMap::new();
        for port in &service.ports {
            ports.insert(port.name.clone(), self.choose_port(port, before)?);
        }
        Ok(ports)
    }

    fn choose_port(&self, port: &PortSpec, before: &BTreeMap<String, u16>) -> Result<u16, Refusal> {
        let driver = &self.context.dependencies.driver;
        if let Some(fixed) = port.fixed {
            if driver.is_free(fixed, port.protocol) {
                return Ok(fixed);
            }
            // Whoever listens may be gone at the next attempt, but a gate does not wait for that.
            let message = format!("port {fixed} is in use by another program");
            return Err(Refusal::lasting(reason::PORT_IN_USE, message));
        }
        let kept = before
            .get(&port.name)
            .filter(|number| driver.is_free(**number, port.protocol));
        match kept {
            Some(number) => Ok(*number),
            None => {
                self.context
                    .ports
                    .allocate(&self.record.application, &self.context, port.protocol)
            }
        }
    }

    /// Tells the others which ports are taken.
    pub(super) fn give_ports(&self) {
        let slots = self.record.releases().flat_map(|release| &release.slots);
        let ports: BTreeSet<u16> = slots
            .flat_map(|slot| slot.ports.values().copied())
            .collect();
        self.context.ports.set(&self.record.application, ports);
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Prepare(role, pin) => self.prepare(role, pin),
            Effect::Start {
                role,
                place,
                id,
                refusal,
            } => self.start(role, &place, id, refusal),
            Effect::Stop(id) => self.stop(id),
            Effect::Discard(id) => {
                if let Some(seen) = self.observed.instances.get_mut(&id) {
                    seen.phase = Phase::Discarding;
                }
                let context = self.context.clone();
                self.operations.spawn(operation::discard(context, id));
            }
            Effect::Remove => {
                self.observed.is_removing = true;
                let remove_data = matches!(self.order.target, Target::Absent { remove_data: true });
                self.context.ports.clear(&self.record.application);
                let application = self.record.application.clone();
                let context = self.context.clone();
                self.operations
                    .spawn(operation::remove(context, application, remove_data));
            }
        }
    }

    fn prepare(&mut self, role: Role, pin: Pin) {
        // The pin of an order may be newer than the release's, which is then about to follow.
        let spec = match &self.order.target {
            Target::Run { pin: ordered, spec } if *ordered == pin => Some(spec.clone()),
            Target::Run { .. }
            | Target::Unknown
            | Target::Blocked { .. }
            | Target::Halted
            | Target::Absent { .. } => self.spec(role),
        };
        let (Some(release), Some(spec)) = (self.record.release(role), spec) else {
            return;
        };
        let number = release.number;
        let now = Instant::now();
        let is_due = |name: &String| self.renewals.get(name).is_none_or(|at| *at <= now);
        let services = spec.services.iter().map(|service| service.name.clone());
        let services: Vec<String> = services.filter(is_due).collect();
        let preparation = Preparation {
            release: self.key(number),
            inputs: self.inputs(&pin),
            spec,
            credentials: BTreeMap::new(),
        };
        self.observed
            .files
            .insert(number, Prepared::Running(pin.clone()));
        let span = tracing::info_span!(
            "prepare application",
            app.name = self.record.application,
            app.revision = pin.revision,
        );
        let is_ordered =
            matches!(&self.order.target, Target::Run { pin: ordered, .. } if *ordered == pin);
        if is_ordered && let Some(cause) = &self.order.cause {
            propagation::set_parent_from_traceparent(&span, cause);
        }
        let context = self.context.clone();
        let preparing = operation::prepare(context, preparation, services, pin);
        self.operations.spawn(preparing.instrument(span));
    }

    fn start(&mut self, role: Role, place: &SlotKey, id: InstanceId, refusal: Option<Refusal>) {
        let Some((launch, grace)) = self.launch(role, place, &id) else {
            return;
        };
        let seen = Seen::new(Phase::Launching, grace);
        self.observed.instances.insert(id.clone(), seen);
        if let Some(refusal) = refusal {
            self.refuse(&id, refusal);
            return;
        }
        let span = tracing::info_span!(
            "start application",
            app.name = self.record.application,
            app.revision = launch.revision,
            instance.id = id.as_str(),
        );
        // What serves is started again for reasons of its own.
        if role == Role::Candidate
            && let Some(cause) = &self.order.cause
        {
            propagation::set_parent_from_traceparent(&span, cause);
        }
        let context = self.context.clone();
        let starting = operation::start(context, launch);
        self.operations.spawn(starting.instrument(span));
    }

    fn launch(&self, role: Role, place: &SlotKey, id: &InstanceId) -> Option<(Launch, Duration)> {
        let release = self.record.release(role)?;
        let slot = release.slots.iter().find(|slot| slot.key() == *place)?;
        let spec: Arc<AppSpec> = self.spec(role)?;
        let service = spec.service(&place.service)?.clone();
        let grace = service.grace;
        let launch = Launch {
            id: id.clone(),
            release: self.key(release.number),
            revision: release.told_revision(),
            service,
            index: place.index,
            ports: slot.ports.clone(),
            inputs: self.inputs(&release.pin),
        };
        Some((launch, grace))
    }

    fn stop(&mut self, id: InstanceId) {
        let Some(seen) = self.observed.instances.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut seen.phase, Phase::Stopping);
        let doom: Option<Doom> = match before {
            // What nobody wants any more is not judged.
            Phase::Running(health) if self.record.slot_of(&id).is_some() => health.doomed,
            Phase::Running(_)
            | Phase::Launching
            | Phase::Stopping
            | Phase::Ended { .. }
            | Phase::Refused { .. }
            | Phase::Discarding
            | Phase::Vanished
            | Phase::Broken
            | Phase::Unknown { .. } => None,
        };
        let is_gentle = doom.as_ref().is_none_or(|doom| doom.is_gentle);
        let grace = if is_gentle {
            seen.grace
        } else {
            Duration::ZERO
        };
        self.unwatch(&id);
        let context = self.context.clone();
        self.operations
            .spawn(operation::stop(context, id, grace, doom));
    }

    /// Renews credentials that are due; the next attempt after a failure is the plan's.
    pub(super) fn renew(&mut self) {
        let is_due = self.renewal_at().is_some_and(|at| at <= Instant::now());
        if is_due && let Some(serving) = &self.record.serving {
            let pin = serving.pin.clone();
            self.prepare(Role::Serving, pin);
        }
    }

    /// When credentials of what serves must be renewed.
    pub(super) fn renewal_at(&self) -> Option<Instant> {
        let serving = self.record.serving.as_ref()?;
        let is_done = matches!(
            self.observed.files.get(&serving.number),
            Some(Prepared::Done(_))
        );
        if !is_done {
            return None;
        }
        let spec = self.spec(Role::Serving)?;
        let services = spec.services.iter();
        services
            .filter_map(|service| self.renewals.get(&service.name).copied())
            .min()
    }

    pub(super) fn key(&self, number: u64) -> ReleaseKey {
        ReleaseKey {
            application: self.record.application.clone(),
            number,
        }
    }

    fn inputs(&self, pin: &Pin) -> Inputs {
        Inputs::new(pin.inputs.clone(), self.context.dependencies.bodies.clone())
    }
}
