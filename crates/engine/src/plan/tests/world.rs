//! A world without an engine: carries plans out in memory, and lets things happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_process::InstanceId;
use baetyl_shadow::Digest;
use tokio::time::Instant;

use crate::desired::{InputKey, Pin};
use crate::driver::{Refusal, Termination};
use crate::observed::{Doom, Health, Observed, Phase, Prepared, Seen};
use crate::plan::{Action, Plan, Situation, Wish, plan};
use crate::reason;
use crate::record::{AppRecord, Assignment, End, Failure, Role};
use crate::spec::{
    AppSpec, Limits, PortSpec, Probes, Protocol, RestartPolicy, Run, ServiceSpec, Update,
};

/// What is wanted in a world.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Unknown,
    Run(Pin),
    Hold,
    Halt,
    Absent,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) record: AppRecord,
    pub(super) observed: Observed,
    pub(super) wanted: Wanted,
    pub(super) specs: BTreeMap<Digest, Arc<AppSpec>>,
    pub(super) now: Instant,
    ids: u32,
}

pub(super) fn service(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.into(),
        run: Run::Program {
            configuration: None,
            entry: vec!["serve".into()],
        },
        args: Vec::new(),
        env: Vec::new(),
        ports: Vec::new(),
        mounts: Vec::new(),
        limits: Limits::default(),
        probes: Probes::default(),
        restart: RestartPolicy::Always,
        working_dir: None,
        grace: Duration::from_secs(10),
    }
}

pub(super) fn spec() -> AppSpec {
    AppSpec {
        name: "app".into(),
        is_job: false,
        replicas: 1,
        services: vec![Arc::new(service("web"))],
        update: Update {
            soak: Duration::ZERO,
            deadline: Duration::from_secs(60),
            rollback: true,
        },
        reloaded: [files()].into(),
    }
}

pub(super) fn with_port(mut spec: AppSpec, port: u16) -> AppSpec {
    let mut web = service("web");
    web.ports.push(PortSpec {
        name: "http".into(),
        fixed: Some(port),
        protocol: Protocol::Tcp,
    });
    spec.services = vec![Arc::new(web)];
    spec
}

pub(super) fn job() -> AppSpec {
    let mut web = service("web");
    web.restart = RestartPolicy::OnFailure;
    AppSpec {
        is_job: true,
        services: vec![Arc::new(web)],
        ..spec()
    }
}

/// An input that is switched in place.
pub(super) fn files() -> InputKey {
    InputKey::configuration("files")
}

/// An input that restarts.
pub(super) fn values() -> InputKey {
    InputKey::secret("values")
}

/// A pin whose digests are made of these texts.
pub(super) fn pin(template: &str, files_text: &str, values_text: &str) -> Pin {
    let of = |text: &str| Digest::of(text.as_bytes());
    Pin {
        uid: "uid".into(),
        revision: 1,
        digest: of(template),
        template_digest: of(template),
        inputs: [(files(), of(files_text)), (values(), of(values_text))].into(),
        retry: 0,
    }
}

pub(super) fn termination(exit_code: i32) -> Termination {
    Termination {
        exit_code,
        signal: 0,
        reason: reason::EXITED.into(),
        message: format!("exited with code {exit_code}"),
        finished_at: SystemTime::UNIX_EPOCH,
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            record: AppRecord::new("app"),
            observed: Observed::default(),
            wanted: Wanted::Unknown,
            specs: BTreeMap::new(),
            now: Instant::now(),
            ids: 0,
        }
    }

    /// Wants a pin with what it is made of.
    pub(super) fn want(&mut self, pin: &Pin, spec: AppSpec) {
        self.specs.insert(pin.digest, Arc::new(spec));
        self.wanted = Wanted::Run(pin.clone());
    }

    fn spec(&self, role: Role) -> Option<Arc<AppSpec>> {
        let digest = self.record.release(role)?.pin.digest;
        self.specs.get(&digest).cloned()
    }

    /// Keeps the clocks and plans.
    pub(super) fn plan(&mut self) -> Plan {
        let (serving, candidate) = (self.spec(Role::Serving), self.spec(Role::Candidate));
        let wanted = self.wanted.clone();
        let wanted_spec = match &wanted {
            Wanted::Run(pin) => self.specs.get(&pin.digest).cloned(),
            _ => None,
        };
        let wish = match (&wanted, &wanted_spec) {
            (Wanted::Run(pin), Some(spec)) => Wish::Run { pin, spec },
            (Wanted::Hold, _) => Wish::Hold,
            (Wanted::Halt, _) => Wish::Halt,
            (Wanted::Absent, _) => Wish::Absent,
            (Wanted::Unknown | Wanted::Run(_), _) => Wish::Unknown,
        };
        let mut observed = self.observed.clone();
        let situation = |observed| Situation {
            wish: wish.clone(),
            record: &self.record,
            serving: serving.as_deref(),
            candidate: candidate.as_deref(),
            observed,
            now: self.now,
        };
        let is_blocked = situation(&self.observed).is_gate_blocked();
        observed.settle(&self.record, is_blocked, self.now);
        let planned = plan(&situation(&observed));
        self.observed = observed;
        planned
    }

    /// Carries actions out as the engine does, all operations still on their way.
    pub(super) fn apply(&mut self, actions: Vec<Action>) {
        for action in actions {
            let before = self.record.candidate.as_ref().map(|one| one.release.number);
            match action {
                Action::Begin { pin, is_exclusive } => {
                    let spec = self.specs[&pin.digest].clone();
                    self.record.begin(pin, &spec, is_exclusive);
                }
                Action::Drop => self.record.drop_candidate(),
                Action::Repin(role, pin) => self.record.repin(role, pin),
                Action::Prepare(role, pin) => {
                    let number = self.record.release(role).unwrap().number;
                    self.observed.files.insert(number, Prepared::Running(pin));
                }
                Action::Start(role, place) => {
                    self.ids += 1;
                    let id = InstanceId::parse(&format!("app-{}", self.ids)).unwrap();
                    let next = Assignment {
                        id: id.clone(),
                        ports: BTreeMap::new(),
                    };
                    self.record.assign(role, &place, next);
                    let seen = Seen::new(Phase::Launching, Duration::ZERO);
                    self.observed.instances.insert(id, seen);
                }
                Action::Stop(id) => self.set(&id, Phase::Stopping),
                Action::Discard(id) => self.set(&id, Phase::Discarding),
                Action::Promote => self.record.promote(),
                Action::Fail(verdict) => {
                    let failure = Failure {
                        pin: verdict.pin,
                        reason: verdict.reason,
                        message: verdict.message,
                        at: SystemTime::UNIX_EPOCH,
                    };
                    self.record.fail(failure, verdict.keeps_serving);
                }
                Action::Remove => self.observed.is_removing = true,
            }
            let after = self.record.candidate.as_ref().map(|one| one.release.number);
            if before != after {
                self.observed.gate_since = None;
                self.observed.ready_since = None;
            }
        }
    }

    /// Plans and acts until nothing is left to do; returns all that was done.
    pub(super) fn settle(&mut self) -> Vec<Action> {
        let mut done = Vec::new();
        for _ in 0..12 {
            let planned = self.plan();
            if planned.actions.is_empty() {
                return done;
            }
            done.extend(planned.actions.clone());
            self.apply(planned.actions);
        }
        panic!("planning does not end: {done:?}");
    }

    pub(super) fn set(&mut self, id: &InstanceId, phase: Phase) {
        self.observed.instances.get_mut(id).unwrap().phase = phase;
    }

    pub(super) fn ids(&self, wanted: impl Fn(&Phase) -> bool) -> Vec<InstanceId> {
        let instances = self.observed.instances.iter();
        instances
            .filter(|(_, seen)| wanted(&seen.phase))
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(super) fn running(&mut self, id: &InstanceId, is_ready: bool) {
        let health = Health {
            pid: 1,
            started_at: SystemTime::UNIX_EPOCH,
            is_ready,
            was_ready: is_ready,
            probe_message: String::new(),
            doomed: None,
        };
        self.set(id, Phase::Running(health));
    }

    pub(super) fn ended(&mut self, id: &InstanceId, exit_code: i32) {
        let spec = self
            .record
            .slot_of(id)
            .map(|(role, _)| role)
            .and_then(|role| self.spec(role));
        let policy = spec.map_or(RestartPolicy::Always, |spec| spec.services[0].restart);
        let failures = self.record.slot_of(id).map_or(0, |(_, slot)| slot.failures);
        let is_completed = policy.is_completed_by(exit_code);
        let end = End {
            termination: termination(exit_code),
            is_completed,
            failures: if is_completed { 0 } else { failures + 1 },
        };
        self.record.note_end(id, &end);
        let retry_at = self.now + Duration::from_secs(1);
        self.set(
            id,
            Phase::Ended {
                termination: termination(exit_code),
                retry_at,
            },
        );
    }

    pub(super) fn doom(&mut self, id: &InstanceId) {
        if let Some(seen) = self.observed.instances.get_mut(id)
            && let Phase::Running(health) = &mut seen.phase
        {
            health.doomed = Some(Doom {
                reason: reason::PROBE_FAILED,
                message: "it hangs".into(),
                is_gentle: true,
            });
        }
    }

    /// Lets files that are on their way succeed.
    pub(super) fn complete_files(&mut self) {
        for prepared in self.observed.files.values_mut() {
            if let Prepared::Running(pin) = prepared {
                *prepared = Prepared::Done(pin.clone());
            }
        }
    }

    /// Lets everything that is on its way succeed.
    pub(super) fn complete(&mut self) {
        self.complete_files();
        for id in self.ids(|phase| matches!(phase, Phase::Launching)) {
            self.running(&id, true);
        }
        for id in self.ids(|phase| matches!(phase, Phase::Stopping)) {
            self.set(&id, Phase::Vanished);
        }
        for id in self.ids(|phase| matches!(phase, Phase::Discarding)) {
            self.observed.instances.remove(&id);
        }
        for id in self.ids(|phase| matches!(phase, Phase::Unknown { .. })) {
            self.running(&id, true);
        }
        for id in self.ids(|phase| matches!(phase, Phase::Running(_))) {
            self.running(&id, true);
        }
    }

    /// Lets everything go well until nothing changes any more.
    pub(super) fn succeed(&mut self) -> Vec<Action> {
        let mut done = Vec::new();
        for _ in 0..40 {
            let acted = self.settle();
            let was_idle = acted.is_empty();
            done.extend(acted);
            self.complete();
            self.now += Duration::from_secs(1);
            if was_idle && self.plan().actions.is_empty() {
                return done;
            }
        }
        panic!("it does not come to rest: {done:?}");
    }

    pub(super) fn refuse_files(&mut self, is_final: bool) {
        let retry_at = self.now + Duration::from_secs(1);
        for prepared in self.observed.files.values_mut() {
            if let Prepared::Running(pin) = prepared {
                let refusal = Refusal {
                    reason: reason::STORAGE_FAILED,
                    message: "no".into(),
                    is_final,
                };
                *prepared = Prepared::Refused {
                    pin: pin.clone(),
                    refusal,
                    retry_at,
                };
            }
        }
    }

    pub(super) fn refuse_starts(&mut self, is_final: bool) {
        let retry_at = self.now + Duration::from_secs(1);
        for id in self.ids(|phase| matches!(phase, Phase::Launching)) {
            let refusal = Refusal {
                reason: reason::START_FAILED,
                message: "no".into(),
                is_final,
            };
            self.set(&id, Phase::Refused { refusal, retry_at });
        }
    }

    pub(super) fn live_of(&self, role: Role) -> BTreeSet<InstanceId> {
        let live = self.ids(Phase::is_live).into_iter();
        live.filter(|id| {
            self.record
                .slot_of(id)
                .is_some_and(|(owner, _)| owner == role)
        })
        .collect()
    }
}
