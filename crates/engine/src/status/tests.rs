//! Tests of the module `status`.

use std::sync::Arc;
use std::time::Duration;

use baetyl_process::InstanceId;
use baetyl_shadow::Digest;
use tokio::time::Instant;

use super::*;
use crate::driver::{Refusal, Termination};
use crate::observed::{Health, Observed};
use crate::plan::Wish;
use crate::record::{AppRecord, Assignment, End, Failure, Role};
use crate::spec::{AppSpec, Limits, Probes, Run, ServiceSpec, Update};

fn spec() -> AppSpec {
    let service = ServiceSpec {
        name: "web".into(),
        run: Run::Program {
            configuration: None,
            entry: vec!["serve".into()],
        },
        args: Vec::new(),
        env: Vec::new(),
        ports: Vec::new(),
        mounts: Vec::new(),
        limits: Limits {
            cpu_millis: Some(100),
            memory_bytes: None,
        },
        probes: Probes::default(),
        restart: RestartPolicy::Always,
        working_dir: None,
        grace: Duration::ZERO,
    };
    AppSpec {
        name: "app".into(),
        is_job: false,
        replicas: 1,
        services: vec![Arc::new(service)],
        update: Update {
            soak: Duration::ZERO,
            deadline: Duration::from_secs(60),
            rollback: true,
        },
        reloaded: Default::default(),
    }
}

fn pin(text: &str) -> Pin {
    Pin {
        uid: "uid".into(),
        revision: 7,
        digest: Digest::of(text.as_bytes()),
        template_digest: Digest::of(text.as_bytes()),
        inputs: Default::default(),
        retry: 0,
    }
}

/// An application whose one instance serves.
struct Case {
    record: AppRecord,
    observed: Observed,
    spec: AppSpec,
    id: InstanceId,
    wanted: Pin,
}

impl Case {
    fn new() -> Self {
        let (spec, id) = (spec(), InstanceId::parse("app-1").unwrap());
        let mut record = AppRecord::new("app");
        record.begin(pin("one"), &spec, false);
        let place = record.candidate.as_ref().unwrap().release.slots[0].key();
        let next = Assignment {
            id: id.clone(),
            ports: [("http".to_owned(), 8080)].into(),
        };
        record.assign(Role::Candidate, &place, next);
        record.promote();
        let mut case = Self {
            record,
            observed: Observed::default(),
            spec,
            id,
            wanted: pin("one"),
        };
        case.set(Phase::Running(Health {
            pid: 42,
            started_at: SystemTime::UNIX_EPOCH,
            is_ready: true,
            was_ready: true,
            probe_message: String::new(),
            doomed: None,
        }));
        case
    }

    fn set(&mut self, phase: Phase) {
        let seen = Seen::new(phase, Duration::ZERO);
        self.observed.instances.insert(self.id.clone(), seen);
    }

    fn health(&mut self) -> &mut Health {
        match &mut self.observed.instances.get_mut(&self.id).unwrap().phase {
            Phase::Running(health) => health,
            other => panic!("not running: {other:?}"),
        }
    }

    fn end(&mut self, failures: u32) {
        let termination = Termination {
            exit_code: 3,
            signal: 0,
            reason: reason::EXITED.into(),
            message: "exited with code 3".into(),
            finished_at: SystemTime::UNIX_EPOCH,
        };
        let end = End {
            termination: termination.clone(),
            is_completed: false,
            failures,
        };
        self.record.note_end(&self.id, &end);
        self.set(Phase::Ended {
            termination,
            retry_at: Instant::now(),
        });
    }

    fn describe<'a>(&'a self, change: impl FnOnce(&mut Asked<'a>)) -> pb::ApplicationStatus {
        let situation = Situation {
            wish: Wish::Unknown,
            record: &self.record,
            serving: Some(&self.spec),
            candidate: Some(&self.spec),
            observed: &self.observed,
            now: Instant::now(),
        };
        let mut asked = Asked {
            revision: 7,
            pin: Some(&self.wanted),
            obstacle: None,
            is_removed: false,
            is_store_failing: false,
            keeps_cpu_limits: true,
        };
        change(&mut asked);
        describe(&situation, asked, "machine")
    }
}

#[test]
fn when_it_serves_then_it_is_healthy_and_shows_its_instance() {
    let status = Case::new().describe(|_| {});

    assert_eq!(status.state(), ApplicationState::Healthy);
    assert_eq!((status.desired_revision, status.serving_revision), (7, 7));
    let instance = &status.instances[0];
    assert_eq!(instance.state(), InstanceState::Ready);
    assert_eq!((instance.pid, instance.ports["http"]), (42, 8080));
    assert_eq!(instance.machine, "machine");
    assert!(is_converged(&status));
}

#[test]
fn when_processor_limits_are_not_kept_then_it_says_so() {
    let status = Case::new().describe(|asked| asked.keeps_cpu_limits = false);

    assert_eq!(status.state(), ApplicationState::Healthy);
    assert_eq!(status.message, "processor limits are not kept on this node");
}

#[test]
fn when_a_probe_fails_then_it_is_degraded_and_says_why() {
    let mut case = Case::new();
    case.health().is_ready = false;
    case.health().probe_message = "readiness probe: no answer within 1s".into();

    let status = case.describe(|_| {});

    assert_eq!(status.state(), ApplicationState::Degraded);
    assert_eq!(status.reason, reason::PROBE_FAILED);
    assert!(status.message.contains("no answer"));
    assert_eq!(status.instances[0].state(), InstanceState::Unready);
    assert!(!is_converged(&status));
}

#[test]
fn when_it_ends_again_and_again_then_the_loop_is_the_reason() {
    let mut case = Case::new();

    case.end(1);
    assert_eq!(case.describe(|_| {}).reason, reason::EXITED);

    case.end(3);
    let status = case.describe(|_| {});
    assert_eq!(status.reason, reason::CRASH_LOOP);
    assert_eq!(status.instances[0].state(), InstanceState::BackingOff);
    assert_eq!(
        status.instances[0]
            .last_termination
            .as_ref()
            .unwrap()
            .exit_code,
        3
    );
}

#[test]
fn when_the_wanted_pin_failed_then_the_serving_one_decides_between_two_states() {
    let bad = pin("two");
    let mut case = Case::new();
    let failure = |pin: &Pin| Failure {
        pin: pin.clone(),
        reason: reason::PROGRAM_NOT_FOUND.into(),
        message: "no such program".into(),
        at: SystemTime::UNIX_EPOCH,
    };

    case.record.fail(failure(&bad), true);
    let status = case.describe(|asked| asked.pin = Some(&bad));
    assert_eq!(status.state(), ApplicationState::RolledBack);
    assert_eq!(status.reason, reason::PROGRAM_NOT_FOUND);

    case.record.fail(failure(&bad), false);
    let status = case.describe(|asked| asked.pin = Some(&bad));
    assert_eq!(status.state(), ApplicationState::Failed);
}

#[test]
fn when_something_is_in_the_way_then_passing_differs_from_refused() {
    let obstacle = |is_passing| Obstacle {
        reason: reason::PORT_CONFLICT,
        message: "tcp port 80 is used by application other".into(),
        is_passing,
    };
    let (refused, passing) = (obstacle(false), obstacle(true));
    let case = Case::new();

    let status = case.describe(|asked| asked.obstacle = Some(&refused));
    assert_eq!(status.state(), ApplicationState::RolledBack);

    let status = case.describe(|asked| asked.obstacle = Some(&passing));
    assert_eq!(status.state(), ApplicationState::Progressing);
    assert_eq!(status.reason, reason::PORT_CONFLICT);
}

#[test]
fn when_it_cannot_be_observed_then_the_state_is_unknown() {
    let mut case = Case::new();
    case.set(Phase::Unknown {
        detail: "the disk is gone".into(),
    });

    let status = case.describe(|_| {});

    assert_eq!(status.state(), ApplicationState::Unknown);
    assert_eq!(status.message, "the disk is gone");
}

#[test]
fn when_files_of_the_candidate_cannot_be_made_then_it_says_what_it_waits_for() {
    let mut case = Case::new();
    case.record.begin(pin("two"), &case.spec.clone(), false);
    let number = case.record.candidate.as_ref().unwrap().release.number;
    let prepared = Prepared::Refused {
        pin: pin("two"),
        refusal: Refusal::passing(reason::STORAGE_FAILED, "no space left"),
        retry_at: Instant::now(),
    };
    case.observed.files.insert(number, prepared);

    let status = case.describe(|_| {});

    assert_eq!(status.state(), ApplicationState::Progressing);
    assert_eq!(status.reason, reason::STORAGE_FAILED);
    assert_eq!(status.message, "no space left");
}
