//! A cluster without a cluster: carries plans out in memory, and lets things happen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use tokio::time::Instant;

use crate::desired::{InputKey, Pin};
use crate::driver::Refusal;
use crate::kube::facts::{AppFacts, Health, ObjectFacts, PodFacts};
use crate::kube::health::own_pods;
use crate::kube::object::ObjectKey;
use crate::kube::plan::{Action, Attempt, Plan, Refused, Situation, Wish, Work, plan};
use crate::kube::record::{Draft, Failure, KubeRecord, Mark, Reload, Role, is_data};
use crate::kube::spec::KubeSpec;
use crate::reason;
use crate::spec::Update;

pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What is wanted in a world.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    Unknown,
    Run(Pin),
    Hold { is_passing: bool },
    Absent { remove_data: bool },
}

/// What pods of a release do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Ready,
    Late,
    Broken,
}

/// An object as it truly is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Real {
    pub(super) uid: String,
    pub(super) version: u64,
    pub(super) written: u64,
    pub(super) label: String,
    pub(super) is_deleting: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) record: KubeRecord,
    pub(super) work: Work,
    pub(super) wanted: Wanted,
    pub(super) objects: BTreeMap<ObjectKey, Real>,
    pub(super) pods: BTreeMap<String, PodFacts>,
    pub(super) facts: AppFacts,
    pub(super) conduct: BTreeMap<String, Conduct>,
    /// What a check answers, and what applying does after the check.
    pub(super) refusals: (Option<Refusal>, Option<Refusal>),
    pub(super) is_blind: bool,
    /// Objects stay for a while when they are deleted.
    pub(super) is_slow_to_go: bool,
    pub(super) rendering: String,
    pub(super) now: Instant,
    pub(super) clock: SystemTime,
    pub(super) is_removed: bool,
    recipes: Vec<(Pin, Recipe)>,
    versions: u64,
}

/// What a pin is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    /// 0 is plain, 1 has a Service beside, 2 is a stateful set, 3 does not go back.
    pub(super) template: u8,
    pub(super) files: u8,
    pub(super) values: u8,
    pub(super) retry: u64,
}

pub(super) fn recipe(template: u8) -> Recipe {
    Recipe {
        template,
        files: 0,
        values: 0,
        retry: 0,
    }
}

pub(super) fn key(kind: &str, name: &str) -> ObjectKey {
    let api_version = match kind {
        "Deployment" | "StatefulSet" => "apps/v1",
        "Job" => "batch/v1",
        _ => "v1",
    };
    ObjectKey::namespaced(api_version, kind, "edge", name)
}

impl Recipe {
    pub(super) fn pin(&self) -> Pin {
        let digest = |text: String| Digest::of(text.as_bytes());
        Pin {
            uid: "uid".into(),
            revision: u64::from(self.template) + 1,
            digest: digest(format!("body {}", self.template)),
            template_digest: digest(format!("template {}", self.template)),
            inputs: [
                (
                    InputKey::configuration("files"),
                    digest(format!("files {}", self.files)),
                ),
                (
                    InputKey::secret("values"),
                    digest(format!("values {}", self.values)),
                ),
            ]
            .into(),
            retry: self.retry,
        }
    }

    pub(super) fn label(&self) -> String {
        format!("t{}v{}r{}", self.template, self.values, self.retry)
    }

    fn workload(&self) -> ObjectKey {
        match self.template {
            2 => key("StatefulSet", "app"),
            _ => key("Deployment", "app"),
        }
    }

    pub(super) fn objects(&self) -> BTreeSet<ObjectKey> {
        let mut objects = BTreeSet::from([
            self.workload(),
            key("ConfigMap", "app-files"),
            key("Secret", &format!("app-values-{}", self.values)),
            key("PersistentVolumeClaim", "app-data"),
        ]);
        if self.template == 1 {
            objects.insert(key("Service", "app"));
        }
        objects
    }

    pub(super) fn spec(&self) -> KubeSpec {
        KubeSpec {
            name: "app".into(),
            namespace: String::new(),
            kind: pb::ApplicationType::Container,
            workload: match self.template {
                2 => pb::Workload::Statefulset,
                _ => pb::Workload::Deployment,
            },
            update: Update {
                soak: Duration::ZERO,
                deadline: DEADLINE,
                rollback: self.template != 3,
            },
            functions: Vec::new(),
            claims: BTreeSet::new(),
            first_replicas: None,
            force_conflicts: false,
        }
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            record: KubeRecord::new("app"),
            work: Work::default(),
            wanted: Wanted::Unknown,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            facts: AppFacts::default(),
            conduct: BTreeMap::new(),
            refusals: (None, None),
            is_blind: false,
            is_slow_to_go: false,
            rendering: "today".into(),
            now: Instant::now(),
            clock: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            is_removed: false,
            recipes: Vec::new(),
            versions: 1,
        }
    }

    pub(super) fn want(&mut self, recipe: Recipe) -> Pin {
        let pin = recipe.pin();
        if self.recipes.iter().all(|(known, _)| *known != pin) {
            self.recipes.push((pin.clone(), recipe));
        }
        self.wanted = Wanted::Run(pin.clone());
        pin
    }

    pub(super) fn recipe_of(&self, pin: &Pin) -> Recipe {
        let mut recipes = self.recipes.iter();
        recipes.find(|(known, _)| known == pin).unwrap().1
    }

    pub(super) fn draft(&self, pin: &Pin) -> Draft {
        let recipe = self.recipe_of(pin);
        let label = recipe.label();
        let known = self.record.releases().find(|one| one.label == label);
        Draft {
            pin: pin.clone(),
            revision: known.map_or(pin.revision, |one| one.revision),
            label,
            objects: recipe.objects(),
            rendering: self.rendering.clone(),
            inputs: format!("files {}", recipe.files),
        }
    }

    fn spec(&self, role: Role) -> Option<KubeSpec> {
        let release = self.record.release(role)?;
        Some(self.recipe_of(&release.pin).spec())
    }

    /// Runs something with the situation as it is.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Situation<'_>) -> T) -> T {
        let (serving, candidate) = (self.spec(Role::Serving), self.spec(Role::Candidate));
        let situation = Situation {
            wish: match &self.wanted {
                Wanted::Unknown => Wish::Unknown,
                Wanted::Run(pin) => Wish::Run(pin),
                Wanted::Hold { is_passing } => Wish::Hold {
                    is_passing: *is_passing,
                },
                Wanted::Absent { remove_data } => Wish::Absent {
                    remove_data: *remove_data,
                },
            },
            record: &self.record,
            serving: serving.as_ref(),
            candidate: candidate.as_ref(),
            rendering: &self.rendering,
            facts: &self.facts,
            is_blind: self.is_blind,
            work: &self.work,
            now: self.now,
            clock: self.clock,
        };
        look(&situation)
    }

    pub(super) fn plan(&self) -> Plan {
        self.with(plan)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock += time;
    }

    fn next(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// Writes an object, as applying it does.
    fn write(&mut self, key: &ObjectKey, label: &str) -> Mark {
        let (fresh, version) = (self.next(), self.next());
        let real = self.objects.entry(key.clone()).or_insert_with(|| Real {
            uid: format!("uid-{fresh}"),
            version,
            written: version,
            label: String::new(),
            is_deleting: false,
        });
        real.version = version;
        real.written = version;
        label.clone_into(&mut real.label);
        Mark {
            uid: real.uid.clone(),
            resource_version: version.to_string(),
            content: real.written.to_string(),
            digest: Digest::of(label.as_bytes()),
            replicas: None,
        }
    }

    /// What the cluster's controllers do: pods of the workload's template, and none of others. Pods
    /// that are ready make room only for pods that are.
    pub(super) fn control(&mut self) {
        let workloads: Vec<(ObjectKey, Real)> = self
            .objects
            .iter()
            .filter(|(key, real)| key.api_version == "apps/v1" && !real.is_deleting)
            .map(|(key, real)| (key.clone(), real.clone()))
            .collect();
        for (key, real) in &workloads {
            // The machine stands for who keeps the pod.
            let mut own = self.pods.values().filter(|pod| pod.machine == key.kind);
            if own.all(|pod| pod.release != real.label) {
                let name = format!("app-{}", self.next());
                let pod = self.pod(&name, &real.label, &key.kind);
                self.pods.insert(name, pod);
            }
        }
        let conduct = self.conduct.clone();
        let is_ready =
            |label: &str| conduct.get(label).copied().unwrap_or(Conduct::Ready) == Conduct::Ready;
        for pod in self.pods.values_mut() {
            pod.is_ready = is_ready(&pod.release);
            pod.phase = "Running".into();
        }
        self.pods.retain(|_, pod| {
            let mut keepers = workloads.iter();
            let keeper = keepers.find(|(key, _)| key.kind == pod.machine);
            keeper.is_some_and(|(_, keeper)| {
                keeper.label == pod.release || (!is_ready(&keeper.label) && pod.is_ready)
            })
        });
    }

    fn pod(&mut self, name: &str, label: &str, keeper: &str) -> PodFacts {
        PodFacts {
            namespace: "edge".into(),
            uid: format!("pod-{name}"),
            release: label.into(),
            inputs: String::new(),
            machine: keeper.into(),
            phase: "Pending".into(),
            is_ready: false,
            is_deleting: false,
            unschedulable: String::new(),
            reason: String::new(),
            message: String::new(),
            created_at: None,
            started_at: None,
            containers: Vec::new(),
        }
    }

    /// The watches catch up.
    pub(super) fn show(&mut self) {
        let pods: Vec<PodFacts> = self.pods.values().cloned().collect();
        let is_rolled = |real: &Real, key: &ObjectKey| {
            let own = pods.iter().filter(|pod| pod.machine == key.kind);
            own.clone().next().is_some() && own.clone().all(|pod| pod.release == real.label)
        };
        let health = |real: &Real, key: &ObjectKey| match key.api_version.as_str() {
            "apps/v1" => match self.conduct.get(&real.label).unwrap_or(&Conduct::Ready) {
                Conduct::Ready if is_rolled(real, key) => Health::Ready,
                Conduct::Ready | Conduct::Late => Health::Progressing {
                    message: "0 of 1 pods are available".into(),
                },
                Conduct::Broken => Health::Failed {
                    reason: reason::OBJECT_FAILED,
                    message: "it broke".into(),
                },
            },
            _ => Health::Ready,
        };
        let objects = self.objects.iter().map(|(key, real)| {
            let facts = ObjectFacts {
                uid: real.uid.clone(),
                resource_version: real.version.to_string(),
                generation: 0,
                content: real.written.to_string(),
                release: real.label.clone(),
                is_controlled: false,
                is_deleting: real.is_deleting,
                health: health(real, key),
            };
            (key.clone(), facts)
        });
        let objects = objects.collect();
        self.facts = AppFacts {
            objects,
            pods: self.pods.clone(),
            ..AppFacts::default()
        };
        self.work.unseen.clear();
        let is_there = |uid: &String| self.pods.values().any(|pod| pod.uid == *uid);
        self.work.recycled.retain(|uid, _| is_there(uid));
        self.work.deleted.retain(|uid| is_there(uid));
    }

    /// Forgets what is over, as the task of the application does before it plans.
    pub(super) fn settle(&mut self) {
        let failed = self.record.failed.as_ref().map(|failed| failed.pin.clone());
        let wanted = match &self.wanted {
            Wanted::Run(pin) if failed.as_ref() != Some(pin) => Some(pin.clone()),
            _ => None,
        };
        let record = &self.record;
        self.work.refused.retain(|refused| {
            let is_release = record.releases().any(|one| one.pin == refused.pin);
            is_release || wanted.as_ref() == Some(&refused.pin)
        });
    }

    /// What is being deleted is gone.
    pub(super) fn finish_deletions(&mut self) {
        self.objects.retain(|_, real| !real.is_deleting);
        self.pods.retain(|_, pod| !pod.is_deleting);
    }

    /// Carries actions out as the task of the application does.
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.act(action);
        }
        self.settle();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Prepare(pin) => self.prepare(pin),
            Action::Begin(draft) => {
                let pods = self.facts.pods.values().map(|pod| pod.uid.clone());
                self.record.begin(draft, pods.collect());
            }
            Action::Repin(role, draft) => {
                let reload = self.reload(role, &draft);
                self.record.repin(role, draft, reload);
            }
            Action::Forgive => self.record.failed = None,
            Action::Drop => self.record.drop_candidate(),
            Action::Apply(role) => self.apply(role),
            Action::Promote => self.record.promote(),
            Action::Fail(failing) => {
                let goes_back = failing.goes_back;
                self.record.fail(self.failure(failing), goes_back);
            }
            Action::FailServing(failing) => {
                let failure = self.failure(failing);
                self.record.fail_serving(failure, self.clock);
            }
            Action::Complete => self.record.complete(),
            Action::Clear(targets) | Action::Recycle(targets) => {
                for (key, uid) in targets {
                    self.pods.remove(&key.name);
                    self.work.deleted.insert(uid);
                }
                self.work.obstructing.clear();
            }
            Action::Repair(keys) => {
                for key in keys {
                    self.repair(&key);
                }
            }
            Action::Renew(_) => {}
            Action::Touch(pods, inputs) => {
                for (_, name) in pods {
                    if let Some(pod) = self.pods.get_mut(&name) {
                        pod.inputs.clone_from(&inputs);
                    }
                }
                let (now, first) = (self.now, Duration::from_secs(10));
                self.work.touches.again(now, first, first);
            }
            Action::Take(role) => self.record.take(role),
            Action::Leave { seen, remove_data } => self.record.leave(seen, remove_data),
            Action::Prune(targets) => self.prune(targets),
            Action::Remove => self.is_removed = true,
        }
    }

    fn failure(&self, failing: super::super::Failing) -> Failure {
        Failure {
            pin: failing.pin,
            reason: failing.reason.to_owned(),
            message: failing.message,
            at: self.clock,
        }
    }

    fn prepare(&mut self, pin: Pin) {
        match self.refusals.0.clone() {
            Some(refusal) => self.refuse(pin, refusal),
            None => self.work.draft = Some(self.draft(&pin)),
        }
    }

    fn refuse(&mut self, pin: Pin, refusal: Refusal) {
        let before = self.work.refused(&pin);
        let since = before.map_or(self.now, |before| before.since);
        self.work.refuse(Refused {
            pin,
            refusal,
            retry_at: self.now + Duration::from_secs(1),
            failures: 1,
            since,
        });
    }

    fn reload(&self, role: Role, draft: &Draft) -> Option<Reload> {
        let release = self.record.release(role)?;
        if release.pin.inputs == draft.pin.inputs || release.label != draft.label {
            return None;
        }
        let pods = self.with(|situation| {
            let subject = situation.subject(role)?;
            Some(own_pods(&subject).map(|(_, pod)| pod.uid.clone()).collect())
        });
        Some(Reload {
            inputs: draft.inputs.clone(),
            pods: pods?,
        })
    }

    fn apply(&mut self, role: Role) {
        self.work.draft = None;
        let release = self.record.release(role).unwrap().clone();
        let later = self.now + Duration::from_secs(30);
        for (index, key) in release.objects.iter().enumerate() {
            if index == 1
                && let Some(refusal) = self.refusals.1.clone()
            {
                self.refuse(release.pin.clone(), refusal);
                return;
            }
            let mark = self.write(key, &release.label);
            self.record.mark([(key.clone(), mark)].into());
            self.work.unseen.insert(key.clone(), later);
        }
        self.record.applied(role, self.clock);
        self.work.accept(&release.pin);
        self.work.touches = Attempt::default();
    }

    fn repair(&mut self, key: &ObjectKey) {
        let (now, first) = (self.now, Duration::from_secs(1));
        let attempt = self.work.repairs.entry(key.clone()).or_default();
        attempt.again(now, first, Duration::from_secs(300));
        let label = self.record.current().unwrap().1.label.clone();
        let mark = self.write(key, &label);
        self.record.mark([(key.clone(), mark)].into());
        let later = self.now + Duration::from_secs(30);
        self.work.unseen.insert(key.clone(), later);
    }

    fn prune(&mut self, targets: BTreeMap<ObjectKey, Option<String>>) {
        let mut gone = BTreeSet::new();
        for (key, uid) in targets {
            match self.objects.get_mut(&key) {
                Some(real) if uid.is_none_or(|uid| uid == real.uid) && self.is_slow_to_go => {
                    real.is_deleting = true;
                    let attempt = self.work.removals.entry(key).or_default();
                    attempt.again(self.now, Duration::from_secs(1), Duration::from_secs(1));
                }
                Some(_) => {
                    self.objects.remove(&key);
                    gone.insert(key);
                }
                None => {
                    gone.insert(key);
                }
            }
        }
        self.record.forget(&gone);
    }

    /// The objects of ours that the record does not account for.
    pub(super) fn unaccounted(&self) -> Vec<&ObjectKey> {
        let inventory = self.record.inventory();
        let own = self.objects.keys().filter(|key| !is_data(key));
        own.filter(|key| !inventory.contains(key)).collect()
    }

    /// Lets everything go well until nothing is left to plan.
    pub(super) fn succeed(&mut self) {
        self.conduct.clear();
        self.refusals = (None, None);
        self.is_blind = false;
        self.is_slow_to_go = false;
        for _ in 0..64 {
            self.finish_deletions();
            self.control();
            self.show();
            let planned = self.plan();
            if planned.actions.is_empty() && planned.wake_at.is_none() {
                return;
            }
            if planned.actions.is_empty() {
                self.pass(Duration::from_secs(5));
            }
            self.carry_out(planned.actions);
            if self.is_removed {
                return;
            }
        }
    }
}
