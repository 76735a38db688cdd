//! Tests of the module `status`.

use std::collections::BTreeSet;

use baetyl_shadow::Digest;
use tokio::time::Instant;

use super::*;
use crate::desired::InputKey;
use crate::driver::{Refusal, Termination};
use crate::kube::facts::{AppFacts, ContainerFacts, ContainerState, ObjectFacts, PodFacts};
use crate::kube::plan::{Refused, Wish, Work};
use crate::kube::record::{Draft, Failure, Happening, Mark, Reload};
use crate::kube::spec::KubeSpec;

fn key() -> ObjectKey {
    ObjectKey::namespaced("apps/v1", "Deployment", "edge", "app")
}

fn pin(revision: u64) -> Pin {
    let digest = Digest::of(revision.to_string().as_bytes());
    Pin {
        uid: "uid".into(),
        revision,
        digest,
        template_digest: digest,
        inputs: [(InputKey::configuration("files"), Digest::of(b"files"))].into(),
        retry: 0,
    }
}

fn draft(revision: u64) -> Draft {
    Draft {
        pin: pin(revision),
        label: format!("label {revision}"),
        revision,
        objects: [key()].into(),
        rendering: "today".into(),
        inputs: String::new(),
    }
}

fn trouble(message: &str) -> Health {
    Health::Progressing {
        message: message.into(),
    }
}

/// An application whose revision 1 serves.
struct Case {
    record: KubeRecord,
    spec: KubeSpec,
    facts: AppFacts,
    work: Work,
    obstacle: Option<Obstacle>,
    wanted: Option<Pin>,
    blindness: Option<&'static str>,
    is_removed: bool,
}

impl Case {
    fn new() -> Self {
        let mut record = KubeRecord::new("app");
        record.begin(draft(1), BTreeSet::new());
        let mark = Mark {
            uid: "one".into(),
            resource_version: "1".into(),
            content: "generation 1".into(),
            digest: Digest::of(b""),
            replicas: None,
        };
        record.mark([(key(), mark)].into());
        record.applied(Role::Candidate, SystemTime::UNIX_EPOCH);
        record.promote();
        let spec = KubeSpec {
            name: "app".into(),
            namespace: String::new(),
            kind: pb::ApplicationType::Container,
            workload: pb::Workload::Deployment,
            update: crate::spec::Update {
                soak: Duration::ZERO,
                deadline: Duration::from_secs(60),
                rollback: true,
            },
            functions: Vec::new(),
            claims: BTreeSet::new(),
            first_replicas: None,
            force_conflicts: false,
        };
        let mut case = Self {
            record,
            spec,
            facts: AppFacts::default(),
            work: Work::default(),
            obstacle: None,
            wanted: Some(pin(1)),
            blindness: None,
            is_removed: false,
        };
        case.says(key(), Health::Ready, false);
        case.facts.pods.insert("app-1".into(), pod());
        case
    }

    fn says(&mut self, key: ObjectKey, health: Health, is_controlled: bool) {
        let facts = ObjectFacts {
            uid: "one".into(),
            resource_version: "2".into(),
            generation: 1,
            content: "generation 1".into(),
            release: String::new(),
            is_controlled,
            is_deleting: false,
            health,
        };
        self.facts.objects.insert(key, facts);
    }

    fn pod(&mut self) -> &mut PodFacts {
        self.facts.pods.get_mut("app-1").unwrap()
    }

    fn try_revision(&mut self, revision: u64) {
        self.wanted = Some(pin(revision));
        self.record.begin(draft(revision), BTreeSet::new());
    }

    fn fail(&mut self, revision: u64) {
        let failure = Failure {
            pin: pin(revision),
            reason: reason::IMAGE_PULL_FAILED.into(),
            message: "not found".into(),
            at: SystemTime::UNIX_EPOCH,
        };
        self.record.fail(failure, true);
    }

    fn describe(&self) -> pb::ApplicationStatus {
        let situation = Situation {
            wish: Wish::Unknown,
            record: &self.record,
            serving: self.record.serving.as_ref().map(|_| &self.spec),
            candidate: self.record.candidate.as_ref().map(|_| &self.spec),
            rendering: "today",
            facts: &self.facts,
            is_blind: false,
            work: &self.work,
            now: Instant::now(),
            clock: SystemTime::UNIX_EPOCH,
        };
        let asked = Asked {
            revision: self.wanted.as_ref().map_or(0, |pin| pin.revision),
            pin: self.wanted.as_ref(),
            obstacle: self.obstacle.as_ref(),
            is_removed: self.is_removed,
            is_store_failing: false,
            blindness: self.blindness,
        };
        describe(&situation, asked)
    }

    fn short(&self) -> (ApplicationState, String) {
        let status = self.describe();
        (status.state(), status.reason)
    }
}

fn pod() -> PodFacts {
    PodFacts {
        namespace: "edge".into(),
        uid: "pod".into(),
        release: "label 1".into(),
        inputs: String::new(),
        machine: "one".into(),
        phase: "Running".into(),
        is_ready: true,
        is_deleting: false,
        unschedulable: String::new(),
        reason: String::new(),
        message: String::new(),
        created_at: None,
        started_at: Some(SystemTime::UNIX_EPOCH),
        containers: vec![container()],
    }
}

fn container() -> ContainerFacts {
    ContainerFacts {
        name: "main".into(),
        is_init: false,
        image: "busybox:1@sha256:0".into(),
        is_ready: true,
        is_started: true,
        restarts: 2,
        state: ContainerState::Running {
            since: Some(SystemTime::UNIX_EPOCH),
        },
        last_termination: Some(Termination {
            exit_code: 3,
            signal: 0,
            reason: reason::EXITED.into(),
            message: "exited with code 3".into(),
            finished_at: SystemTime::UNIX_EPOCH,
        }),
        probe_message: String::new(),
        memory_bytes: 10,
        cpu_millis: 20,
    }
}

fn condition<'a>(status: &'a pb::ApplicationStatus, kind: &str) -> Option<&'a pb::Condition> {
    status.conditions.iter().find(|one| one.r#type == kind)
}

#[test]
fn when_all_is_well_then_it_is_healthy_with_all_that_is_known() {
    let status = Case::new().describe();

    assert_eq!(status.state(), ApplicationState::Healthy);
    assert_eq!((status.desired_revision, status.serving_revision), (1, 1));
    assert_eq!(status.input_digests.len(), 1);
    let instance = &status.instances[0];
    assert_eq!(instance.id, "app-1");
    assert_eq!(instance.state(), pb::InstanceState::Ready);
    assert_eq!((instance.revision, instance.restart_count), (1, 2));
    assert_eq!((instance.memory_bytes, instance.cpu_millis), (10, 20));
    assert_eq!(instance.last_termination.as_ref().unwrap().exit_code, 3);
    let container = &instance.containers[0];
    assert_eq!(container.image, "busybox:1@sha256:0");
    assert_eq!(container.state(), pb::InstanceState::Ready);
    assert!(container.start_time.is_some());
    assert_eq!(status.objects[0].kind, "Deployment");
    assert!(status.objects[0].is_ready);
    assert!(is_converged(&status));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn when_something_is_the_matter_then_the_state_says_so() {
    type Change = fn(&mut Case);
    let degraded = ApplicationState::Degraded;
    let progressing = ApplicationState::Progressing;
    let rows: [(&str, Change, ApplicationState, &str); 13] = [
        (
            "a probe fails",
            |case| {
                case.says(key(), trouble("0 of 1"), false);
                case.pod().is_ready = false;
                case.pod().containers[0].is_ready = false;
                case.pod().containers[0].probe_message = "refused".into();
            },
            degraded,
            reason::PROBE_FAILED,
        ),
        (
            "a pod is on its way",
            |case| {
                case.says(key(), trouble("0 of 1"), false);
                case.facts.pods.clear();
            },
            progressing,
            reason::STARTING,
        ),
        (
            "nothing was seen for long",
            |case| case.blindness = Some("the server is away"),
            ApplicationState::Unknown,
            reason::OBSERVATION_FAILED,
        ),
        (
            "it is no longer desired",
            |case| case.is_removed = true,
            ApplicationState::Removing,
            reason::REMOVING,
        ),
        (
            "something is in the way",
            |case| {
                case.obstacle = Some(Obstacle {
                    reason: reason::PORT_CONFLICT,
                    message: "taken".into(),
                    is_passing: false,
                });
            },
            ApplicationState::RolledBack,
            reason::PORT_CONFLICT,
        ),
        (
            "another revision is being rendered",
            |case| case.wanted = Some(pin(2)),
            progressing,
            reason::PREPARING,
        ),
        (
            "another revision is refused for now",
            |case| {
                case.wanted = Some(pin(2));
                case.work.refuse(Refused {
                    pin: pin(2),
                    refusal: Refusal::passing(reason::FORBIDDEN, "may not"),
                    retry_at: Instant::now(),
                    failures: 1,
                    since: Instant::now(),
                });
            },
            progressing,
            reason::FORBIDDEN,
        ),
        (
            "another revision is being applied",
            |case| case.try_revision(2),
            progressing,
            reason::PREPARING,
        ),
        (
            "another revision is on its way",
            |case| {
                case.try_revision(2);
                case.record.applied(Role::Candidate, SystemTime::UNIX_EPOCH);
                case.says(key(), trouble("0 of 1"), false);
            },
            progressing,
            reason::STARTING,
        ),
        (
            "another revision failed",
            |case| {
                case.try_revision(2);
                case.fail(2);
            },
            ApplicationState::RolledBack,
            reason::IMAGE_PULL_FAILED,
        ),
        (
            "the only revision failed",
            |case| {
                case.record.serving = None;
                case.try_revision(2);
                case.fail(2);
            },
            ApplicationState::Failed,
            reason::IMAGE_PULL_FAILED,
        ),
        (
            "files change in place",
            |case| {
                case.record.serving.as_mut().unwrap().reload = Some(Reload {
                    inputs: "new".into(),
                    pods: BTreeSet::new(),
                });
            },
            progressing,
            reason::RELOADING,
        ),
        (
            "somebody declares a field",
            |case| {
                let conflicts = &mut case.record.conflicts;
                conflicts.insert(key(), "argocd declares it".into());
            },
            degraded,
            reason::FIELD_CONFLICT,
        ),
    ];
    for (what, change, state, reason) in rows {
        let mut case = Case::new();
        change(&mut case);
        assert_eq!(case.short(), (state, reason.to_owned()), "{what}");
    }
}

#[test]
fn when_a_revision_failed_then_conditions_say_what_runs() {
    let mut case = Case::new();
    case.try_revision(2);
    case.fail(2);

    let status = case.describe();

    let rolled_back = condition(&status, "RolledBack").unwrap();
    assert_eq!(rolled_back.reason, reason::IMAGE_PULL_FAILED);
    let available = condition(&status, "Available").unwrap();
    assert_eq!(available.status(), pb::ConditionStatus::True);
    assert!(condition(&status, "Conflict").is_none());
    assert!(!is_converged(&status));
}

#[test]
fn when_a_job_runs_or_has_ended_then_that_is_its_state() {
    let mut case = Case::new();
    case.spec.workload = pb::Workload::Job;
    let job = ObjectKey::namespaced("batch/v1", "Job", "edge", "app");
    let serving = case.record.serving.as_mut().unwrap();
    serving.objects = [job.clone()].into();
    let mark = case.record.marks[&key()].clone();
    case.record.marks.insert(job.clone(), mark);

    case.says(job.clone(), trouble("1 pods run"), false);
    let running = case.describe();
    assert_eq!(running.state(), ApplicationState::Progressing);
    assert_eq!(running.reason, reason::JOB_RUNNING);
    assert!(is_converged(&running));

    case.says(job, Health::Completed, false);
    assert_eq!(case.describe().state(), ApplicationState::Succeeded);
    case.record.complete();
    case.facts = AppFacts::default();
    assert_eq!(case.describe().state(), ApplicationState::Succeeded);
}

#[test]
fn when_the_last_run_of_a_cron_job_failed_then_it_is_degraded() {
    let mut case = Case::new();
    case.spec.workload = pb::Workload::Cronjob;
    let parent = ObjectKey::namespaced("batch/v1", "CronJob", "edge", "app");
    let serving = case.record.serving.as_mut().unwrap();
    serving.objects = [parent.clone()].into();
    let mark = case.record.marks[&key()].clone();
    case.record.marks.insert(parent.clone(), mark);
    case.says(parent, Health::Ready, false);
    let run =
        |minute: u32| ObjectKey::namespaced("batch/v1", "Job", "edge", &format!("app-{minute}"));
    let failed = || Health::Failed {
        reason: reason::JOB_FAILED,
        message: "BackoffLimitExceeded".into(),
    };

    case.says(run(99), failed(), true);
    case.says(run(101), trouble("1 pods run"), true);
    assert_eq!(case.short().1, reason::JOB_FAILED);
    case.says(run(100), Health::Completed, true);
    assert_eq!(case.short().0, ApplicationState::Healthy);
}

fn wait(pod: &mut PodFacts, reason: &str) {
    pod.is_ready = false;
    pod.containers[0].is_ready = false;
    pod.containers[0].state = ContainerState::Waiting {
        reason: reason.into(),
        message: "as the kubelet says".into(),
    };
}

#[test]
fn when_pods_do_things_then_instances_say_so() {
    type Change = fn(&mut PodFacts);
    let rows: [(Change, pb::InstanceState, &str); 6] = [
        (
            |pod| pod.is_deleting = true,
            pb::InstanceState::Stopping,
            "",
        ),
        (
            |pod| wait(pod, "CrashLoopBackOff"),
            pb::InstanceState::BackingOff,
            reason::CRASH_LOOP,
        ),
        (
            |pod| wait(pod, "ImagePullBackOff"),
            pb::InstanceState::BackingOff,
            reason::IMAGE_PULL_FAILED,
        ),
        (
            |pod| wait(pod, "ContainerCreating"),
            pb::InstanceState::Starting,
            "",
        ),
        (
            |pod| {
                pod.is_ready = false;
                pod.containers[0].is_ready = false;
                pod.containers[0].probe_message = "refused".into();
            },
            pb::InstanceState::Unready,
            reason::PROBE_FAILED,
        ),
        (
            |pod| {
                pod.is_ready = false;
                pod.phase = "Succeeded".into();
            },
            pb::InstanceState::Exited,
            "",
        ),
    ];
    for (change, state, reason) in rows {
        let mut case = Case::new();
        change(case.pod());
        let status = case.describe();
        let instance = &status.instances[0];
        assert_eq!(
            (instance.state(), instance.reason.as_str()),
            (state, reason)
        );
    }
}

#[test]
fn when_there_are_many_events_then_the_newest_of_both_kinds_stay() {
    let mut case = Case::new();
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    for second in 0..20 {
        case.facts.events.push(pb::ApplicationEvent {
            time: Some(timestamp(at(second * 2))),
            reason: "Pulled".into(),
            ..pb::ApplicationEvent::default()
        });
    }
    case.record.note(Happening {
        at: at(39),
        is_warning: false,
        reason: reason::PROMOTED.into(),
        message: String::new(),
        object: String::new(),
        count: 1,
    });

    let events = case.describe().events;

    assert_eq!(events.len(), MAX_EVENTS);
    assert_eq!(events.last().unwrap().reason, reason::PROMOTED);
    assert_eq!(events[0].time.as_ref().unwrap().seconds, 2);
}

#[test]
fn when_nothing_changes_then_neither_do_times() {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut case = Case::new();
    let mut first = case.describe();
    stamp(&mut first, &mut case.record, at(1));
    let mut same = case.describe();
    stamp(&mut same, &mut case.record, at(2));
    assert_eq!(first, same);

    case.is_removed = true;
    let mut other = case.describe();
    stamp(&mut other, &mut case.record, at(3));
    assert_eq!(other.transition_time, Some(timestamp(at(3))));
    let condition = condition(&other, "Available").unwrap();
    assert_eq!(condition.last_transition_time, Some(timestamp(at(1))));

    let recalled = recall(&case.record, 7);
    assert_eq!(recalled.state(), ApplicationState::Removing);
    assert_eq!(recalled.transition_time, other.transition_time);
    assert_eq!(recalled.desired_revision, 7);
}

#[test]
fn when_the_cluster_is_away_for_a_moment_only_then_that_is_no_blindness() {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let patience = Duration::from_secs(30);
    let mut cluster = ClusterFacts {
        blind_since: Some(at(100)),
        blind_reason: "away".into(),
        ..ClusterFacts::default()
    };

    assert_eq!(blindness(&cluster, "edge", patience, at(129)), None);
    assert_eq!(blindness(&cluster, "edge", patience, at(130)), Some("away"));
    cluster.blind_since = None;
    cluster
        .forbidden
        .insert("edge".into(), "may not list pods".into());
    let why = blindness(&cluster, "edge", patience, at(0));
    assert_eq!(why, Some("may not list pods"));
    assert_eq!(blindness(&cluster, "other", patience, at(0)), None);
}
