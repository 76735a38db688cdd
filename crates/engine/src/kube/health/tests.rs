//! Tests of the module `health`.

use std::time::SystemTime;

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;

use super::*;
use crate::desired::Pin;
use crate::driver::Termination;
use crate::kube::facts::{ContainerFacts, ContainerState, ObjectFacts};

const LABEL: &str = "0123456789ab";

fn key(kind: &str) -> ObjectKey {
    let api_version = match kind {
        "Deployment" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        _ => "v1",
    };
    ObjectKey::namespaced(api_version, kind, "edge", "app")
}

/// An application with one workload.
struct Case {
    release: Release,
    spec: KubeSpec,
    marks: BTreeMap<ObjectKey, Mark>,
    unseen: BTreeMap<ObjectKey, Instant>,
    deleted: BTreeSet<String>,
    older_pods: BTreeSet<String>,
    facts: AppFacts,
}

impl Case {
    fn new(workload: pb::Workload, kind: &str) -> Self {
        let digest = Digest::of(b"");
        let release = Release {
            pin: Pin {
                uid: "uid".into(),
                revision: 1,
                digest,
                template_digest: digest,
                inputs: BTreeMap::new(),
                retry: 0,
            },
            label: LABEL.into(),
            revision: 1,
            objects: [key(kind)].into(),
            is_applied: true,
            rendering: String::new(),
            taken: BTreeMap::new(),
            reload: None,
            is_completed: false,
        };
        let spec = KubeSpec {
            name: "app".into(),
            namespace: String::new(),
            kind: pb::ApplicationType::Container,
            workload,
            update: crate::spec::Update {
                soak: std::time::Duration::ZERO,
                deadline: std::time::Duration::from_secs(60),
                rollback: true,
            },
            functions: Vec::new(),
            claims: BTreeSet::new(),
            first_replicas: None,
            force_conflicts: false,
        };
        let mark = Mark {
            uid: "one".into(),
            resource_version: "10".into(),
            content: "generation 1".into(),
            digest,
            replicas: None,
        };
        let mut case = Self {
            release,
            spec,
            marks: [(key(kind), mark)].into(),
            unseen: BTreeMap::new(),
            deleted: BTreeSet::new(),
            older_pods: BTreeSet::new(),
            facts: AppFacts::default(),
        };
        case.says(kind, Health::Ready);
        case
    }

    fn deployment() -> Self {
        Self::new(pb::Workload::Deployment, "Deployment")
    }

    fn says(&mut self, kind: &str, health: Health) {
        let facts = ObjectFacts {
            uid: "one".into(),
            resource_version: "11".into(),
            generation: 1,
            content: "generation 1".into(),
            release: LABEL.into(),
            is_controlled: false,
            is_deleting: false,
            health,
        };
        self.facts.objects.insert(key(kind), facts);
    }

    fn late(mut self) -> Self {
        let message = "0 of 1 pods are available".to_owned();
        self.says("Deployment", Health::Progressing { message });
        self
    }

    fn object(&mut self) -> &mut ObjectFacts {
        self.facts.objects.values_mut().next().unwrap()
    }

    fn with_pod(mut self, pod: PodFacts) -> Self {
        let name = format!("app-{}", self.facts.pods.len());
        self.facts.pods.insert(name, pod);
        self
    }

    fn with_event(mut self, reason: &str, message: &str) -> Self {
        self.facts.events.push(pb::ApplicationEvent {
            reason: reason.into(),
            message: message.into(),
            object: "Pod/app-0".into(),
            ..pb::ApplicationEvent::default()
        });
        self
    }

    fn judge(&self) -> Verdict {
        judge(&Subject {
            release: &self.release,
            spec: &self.spec,
            older_pods: Some(&self.older_pods),
            marks: &self.marks,
            unseen: &self.unseen,
            deleted: &self.deleted,
            facts: &self.facts,
        })
    }
}

fn pod(container: ContainerFacts) -> PodFacts {
    PodFacts {
        namespace: "edge".into(),
        uid: "pod".into(),
        release: LABEL.into(),
        inputs: String::new(),
        machine: "one".into(),
        phase: "Running".into(),
        is_ready: false,
        is_deleting: false,
        unschedulable: String::new(),
        reason: String::new(),
        message: String::new(),
        created_at: None,
        started_at: None,
        containers: vec![container],
    }
}

fn container(state: ContainerState) -> ContainerFacts {
    ContainerFacts {
        name: "main".into(),
        is_init: false,
        image: "busybox:1".into(),
        is_ready: false,
        is_started: true,
        restarts: 0,
        state,
        last_termination: None,
        probe_message: String::new(),
        memory_bytes: 0,
        cpu_millis: 0,
    }
}

fn waits(reason: &str) -> ContainerFacts {
    container(ContainerState::Waiting {
        reason: reason.into(),
        message: "as the kubelet says".into(),
    })
}

fn runs() -> ContainerFacts {
    container(ContainerState::Running { since: None })
}

fn ended(exit_code: i32, reason: &str) -> Termination {
    Termination {
        exit_code,
        signal: 0,
        reason: reason.into(),
        message: format!("exited with code {exit_code}"),
        finished_at: SystemTime::UNIX_EPOCH,
    }
}

fn loops(restarts: u32, last: Termination) -> ContainerFacts {
    ContainerFacts {
        restarts,
        last_termination: Some(last),
        ..waits("CrashLoopBackOff")
    }
}

/// The verdict in short: how it ends, and why.
fn short(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Waiting(trouble) => ("waiting", trouble.reason),
        Verdict::Doomed(trouble) => ("doomed", trouble.reason),
        Verdict::GivenUp(trouble) => ("given up", trouble.reason),
        Verdict::Ready => ("ready", ""),
        Verdict::Completed => ("completed", ""),
    }
}

#[test]
fn when_the_kubelet_holds_a_container_back_then_it_is_named_and_what_lasts_ends_the_gate() {
    let oom = || ended(137, reason::OUT_OF_MEMORY);
    let exited = || ended(3, reason::EXITED);
    let rows = [
        (waits("ContainerCreating"), ("waiting", reason::STARTING)),
        (waits("PodInitializing"), ("waiting", reason::STARTING)),
        (
            waits("ErrImagePull"),
            ("waiting", reason::IMAGE_PULL_FAILED),
        ),
        (
            waits("ImagePullBackOff"),
            ("doomed", reason::IMAGE_PULL_FAILED),
        ),
        (
            waits("ErrImageNeverPull"),
            ("doomed", reason::IMAGE_PULL_FAILED),
        ),
        (waits("InvalidImageName"), ("doomed", reason::IMAGE_INVALID)),
        (
            waits("CreateContainerConfigError"),
            ("doomed", reason::CONFIG_ERROR),
        ),
        (
            waits("CreateContainerError"),
            ("doomed", reason::CONFIG_ERROR),
        ),
        (
            waits("RunContainerError"),
            ("waiting", reason::START_FAILED),
        ),
        (loops(1, exited()), ("waiting", reason::EXITED)),
        (loops(2, exited()), ("doomed", reason::CRASH_LOOP)),
        (loops(2, oom()), ("doomed", reason::OUT_OF_MEMORY)),
        (
            container(ContainerState::Ended(exited())),
            ("waiting", reason::EXITED),
        ),
        (
            container(ContainerState::Ended(oom())),
            ("waiting", reason::OUT_OF_MEMORY),
        ),
        (runs(), ("waiting", reason::WAITING_FOR_READY)),
        (
            ContainerFacts {
                probe_message: "Readiness probe failed: refused".into(),
                ..runs()
            },
            ("waiting", reason::PROBE_FAILED),
        ),
        (
            ContainerFacts {
                restarts: 1,
                last_termination: Some(exited()),
                ..runs()
            },
            ("waiting", reason::EXITED),
        ),
    ];
    for (container, expected) in rows {
        let case = Case::deployment().late().with_pod(pod(container.clone()));
        assert_eq!(short(&case.judge()), expected, "{container:?}");
    }
}

#[test]
fn when_a_probe_has_containers_ended_then_that_is_the_reason() {
    let killed = || loops(2, ended(137, reason::SIGNALED));
    let case = || Case::deployment().late().with_pod(pod(killed()));

    assert_eq!(short(&case().judge()), ("doomed", reason::CRASH_LOOP));
    let probed = case().with_event("Unhealthy", "Liveness probe failed: timeout");
    assert_eq!(short(&probed.judge()), ("doomed", reason::PROBE_FAILED));
    let unready = case().with_event("Unhealthy", "Readiness probe failed: timeout");
    assert_eq!(short(&unready.judge()), ("doomed", reason::CRASH_LOOP));
}

#[test]
fn when_a_pod_has_no_place_or_no_volume_then_that_is_named() {
    let mut nowhere = pod(waits(""));
    nowhere.phase = "Pending".into();
    nowhere.unschedulable = "0/1 nodes are available: 1 Insufficient cpu".into();
    let case = Case::deployment().late().with_pod(nowhere);
    assert_eq!(short(&case.judge()), ("waiting", reason::UNSCHEDULABLE));

    let case = Case::deployment()
        .late()
        .with_pod(pod(waits("ContainerCreating")));
    let case = case.with_event("FailedMount", "hostPath type check failed");
    assert_eq!(
        short(&case.judge()),
        ("waiting", reason::VOLUME_UNAVAILABLE)
    );

    let mut evicted = pod(waits(""));
    evicted.phase = "Failed".into();
    evicted.reason = "Evicted".into();
    evicted.message = "The node was low on resource: memory".into();
    let case = Case::deployment().late().with_pod(evicted);
    assert_eq!(short(&case.judge()), ("waiting", reason::EVICTED));
}

#[test]
fn when_pods_are_of_another_release_or_on_their_way_out_then_they_do_not_count() {
    let broken = || pod(waits("InvalidImageName"));
    let mut other = broken();
    other.release = "another".into();
    let mut leaving = broken();
    leaving.is_deleting = true;
    let mut deleted = broken();
    deleted.uid = "deleted".into();

    let mut case = Case::deployment().late();
    case.deleted.insert("deleted".into());
    let case = case.with_pod(other).with_pod(leaving).with_pod(deleted);

    assert_eq!(short(&case.judge()), ("waiting", reason::STARTING));
}

#[test]
fn when_pods_say_no_release_then_only_newer_ones_count() {
    let mut case = Case::deployment().late();
    case.spec.kind = pb::ApplicationType::Manifest;
    case.older_pods.insert("older".into());
    let mut older = pod(waits("InvalidImageName"));
    older.release = String::new();
    older.uid = "older".into();
    let mut newer = older.clone();
    newer.uid = "newer".into();

    let case = case.with_pod(older);
    assert_eq!(short(&case.judge()), ("waiting", reason::STARTING));
    let case = case.with_pod(newer);
    assert_eq!(short(&case.judge()), ("doomed", reason::IMAGE_INVALID));
}

#[test]
fn when_all_objects_are_ready_then_it_is_ready() {
    let mut ready = pod(runs());
    ready.is_ready = true;

    assert_eq!(Case::deployment().with_pod(ready).judge(), Verdict::Ready);
}

#[test]
fn when_pods_are_ready_and_the_workload_is_not_then_it_soaks() {
    let mut ready = pod(runs());
    ready.is_ready = true;
    let case = Case::deployment().late().with_pod(ready);

    assert_eq!(short(&case.judge()), ("waiting", reason::SOAKING));
}

#[test]
fn when_an_object_is_not_seen_as_it_was_applied_then_nothing_is_judged() {
    let cases: [fn(&mut Case); 4] = [
        |case| {
            case.unseen.insert(key("Deployment"), Instant::now());
            case.object().resource_version = "9".into();
        },
        |case| {
            case.unseen.insert(key("Deployment"), Instant::now());
            case.facts.objects.clear();
        },
        |case| case.object().is_deleting = true,
        |case| case.marks.clear(),
    ];
    for change in cases {
        let mut case = Case::deployment().with_pod(pod(waits("InvalidImageName")));
        change(&mut case);
        assert_eq!(short(&case.judge()), ("waiting", reason::STARTING));
    }
}

#[test]
fn when_a_kind_cannot_be_observed_then_it_is_waited_for() {
    let mut case = Case::deployment();
    let kind = ("apps/v1".to_owned(), "Deployment".to_owned());
    case.facts
        .unobserved
        .insert(kind, "it may not be listed".into());

    let Verdict::Waiting(trouble) = case.judge() else {
        panic!("{:?}", case.judge());
    };
    assert!(trouble.message.contains("it may not be listed"));
}

#[test]
fn when_an_object_fails_then_only_what_may_pass_is_waited_for() {
    for (reason, ends) in [
        (reason::QUOTA_EXCEEDED, "waiting"),
        (reason::DEADLINE_EXCEEDED, "waiting"),
        (reason::FORBIDDEN, "doomed"),
        (reason::OBJECT_FAILED, "doomed"),
    ] {
        let mut case = Case::deployment();
        let message = "no".to_owned();
        case.says("Deployment", Health::Failed { reason, message });
        assert_eq!(short(&case.judge()), (ends, reason));
    }
}

#[test]
fn when_a_job_was_started_then_its_gate_is_passed() {
    let running = Health::Progressing {
        message: "1 pods run".into(),
    };
    let case = |health: Health| {
        let mut case = Case::new(pb::Workload::Job, "Job");
        case.says("Job", health);
        case
    };
    let starting = case(running.clone()).with_pod(pod(waits("ContainerCreating")));
    assert_eq!(short(&starting.judge()), ("waiting", reason::STARTING));
    let unpulled = case(running.clone()).with_pod(pod(waits("ImagePullBackOff")));
    assert_eq!(
        short(&unpulled.judge()),
        ("doomed", reason::IMAGE_PULL_FAILED)
    );
    let started = case(running.clone()).with_pod(pod(runs()));
    assert_eq!(started.judge(), Verdict::Ready);
    let failed_once = case(running).with_pod(pod(loops(3, ended(1, reason::EXITED))));
    assert_eq!(
        short(&failed_once.judge()),
        ("waiting", reason::STARTING),
        "its controller counts the failures"
    );
    assert_eq!(case(Health::Completed).judge(), Verdict::Completed);
    let failed = Health::Failed {
        reason: reason::JOB_FAILED,
        message: "BackoffLimitExceeded".into(),
    };
    assert_eq!(
        short(&case(failed).judge()),
        ("given up", reason::JOB_FAILED)
    );
}

#[test]
fn when_a_cron_job_is_there_then_it_is_ready_whatever_its_runs_do() {
    let case = Case::new(pb::Workload::Cronjob, "CronJob").with_pod(pod(waits("InvalidImageName")));

    assert_eq!(case.judge(), Verdict::Ready);
}

#[test]
fn when_somebody_writes_then_it_is_told_from_status_and_from_old_sights() {
    let mark = |content: &str| Mark {
        uid: "one".into(),
        resource_version: "10".into(),
        content: content.into(),
        digest: Digest::of(b""),
        replicas: None,
    };
    let mut case = Case::deployment();
    let key = key("Deployment");
    let now = Instant::now();
    let mut stand = |version: &str, content: &str, uid: &str, is_unseen: bool| {
        let object = case.object();
        object.resource_version = version.into();
        object.content = content.into();
        object.uid = uid.into();
        let unseen = is_unseen.then(|| (key.clone(), now)).into_iter().collect();
        standing(&key, Some(&mark("generation 1")), &unseen, &case.facts)
    };

    assert_eq!(stand("12", "generation 1", "one", false), Standing::Current);
    assert_eq!(stand("12", "generation 2", "one", false), Standing::Changed);
    assert_eq!(stand("9", "generation 0", "one", true), Standing::Lagging);
    assert_eq!(stand("12", "generation 1", "two", false), Standing::Changed);
    assert_eq!(stand("9", "generation 1", "zero", true), Standing::Lagging);
    case.facts.objects.clear();
    let seen = BTreeMap::new();
    let gone = standing(&key, Some(&mark("generation 1")), &seen, &case.facts);
    assert_eq!(gone, Standing::Gone);
}
