//! Follows every write of a cluster, and counts what was replaced although nothing had changed.
//!
//! Pods come and go by their workloads, so these are what is followed. A workload goes through eras:
//! as long as its template stays, its pods are those of one release. Needless are
//! - a changed template under the same release,
//! - an era of a release that no document asked for since the last one began, unless the last one
//!   was bad and something had to come back,
//! - a workload that was made anew although no document moved it,
//! - more pods in an era than it has places for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use baetyl_apiserver::{Change, ChangeKind, Store};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::universe::{SHAPE, Universe, Wanted};
use crate::look::{APPLICATION, OWNER, clock};

/// How long reading may take on a slow, busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes of the cluster that a controller may be behind.
const STALE_WRITES: u64 = 100;

/// What is asked for from a version of the cluster on.
type Wish = (u64, BTreeMap<String, Wanted>);

/// Collects while it is open.
pub(super) struct Ledger {
    store: Store,
    wishes: Vec<Wish>,
    entries: Arc<Mutex<Vec<Entry>>>,
    /// The version up to which everything was read.
    read: watch::Receiver<u64>,
    _reading: JoinSet<()>,
}

/// What it comes to.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) pods: usize,
    pub(super) rollouts: usize,
    pub(super) needless: Vec<String>,
}

/// One write, as far as it matters.
#[derive(Clone, Debug)]
enum Entry {
    Workload(Workload),
    WorkloadGone(Place),
    Pod(Pod),
    PodGoes {
        uid: String,
        version: u64,
    },
    /// Something was missed: what was there is not judged, and these pods are there now.
    Missed(Vec<Pod>),
}

/// Kind, namespace and name of a workload.
type Place = (String, String, String);

#[derive(Clone, Debug)]
struct Workload {
    version: u64,
    at: u128,
    place: Place,
    application: String,
    uid: String,
    release: String,
    shape: String,
    template: String,
    places: i64,
}

#[derive(Clone, Debug)]
struct Pod {
    /// When it was seen first.
    version: u64,
    uid: String,
    /// Kind of the workload that it belongs to.
    kept_by: String,
    application: String,
    namespace: String,
    release: String,
    shape: String,
}

impl Pod {
    fn of(object: &Value, version: u64) -> Self {
        let metadata = &object["metadata"];
        Self {
            version,
            uid: text(&metadata["uid"]),
            kept_by: match text(&metadata["ownerReferences"][0]["kind"]).as_str() {
                "ReplicaSet" => "Deployment".to_owned(),
                kind => kind.to_owned(),
            },
            application: text(&metadata["labels"][APPLICATION]),
            namespace: text(&metadata["namespace"]),
            release: text(&metadata["labels"]["baetyl.io/release"]),
            shape: shape(&object["spec"]),
        }
    }

    /// Whether it is made of the template of a workload.
    fn is_of(&self, workload: &Workload) -> bool {
        self.kept_by == workload.place.0
            && self.application == workload.application
            && self.namespace == workload.place.1
            && self.release == workload.release
            && self.shape == workload.shape
    }
}

/// Kinds whose pods stay.
const RESOURCES: [(&str, &str); 3] = [
    ("deployments.apps", "Deployment"),
    ("statefulsets.apps", "StatefulSet"),
    ("daemonsets.apps", "DaemonSet"),
];

impl Ledger {
    pub(super) fn open(store: Store) -> Self {
        let entries: Arc<Mutex<Vec<Entry>>> = Arc::default();
        let mut changes = store.changes();
        let mut reading = JoinSet::new();
        let (writing, looking) = (entries.clone(), store.clone());
        let (reads, read) = watch::channel(0);
        reading.spawn(async move {
            loop {
                match changes.next().await {
                    Change::Written {
                        resource,
                        kind,
                        object,
                        before,
                        version,
                    } => {
                        let entry = entry(&resource, &kind, &object, before.as_deref(), version);
                        writing.lock().extend(entry);
                        reads.send_replace(version);
                    }
                    Change::Lagged => {
                        let pods = looking.list("pods", "");
                        let pods = pods.iter().filter(|pod| is_ours(pod));
                        let missed = Entry::Missed(pods.map(|pod| Pod::of(pod, 0)).collect());
                        writing.lock().push(missed);
                    }
                }
            }
        });
        Self {
            store,
            wishes: Vec::new(),
            entries,
            read,
            _reading: reading,
        }
    }

    /// Waits until everything was read that is written now; writes go on meanwhile.
    pub(super) async fn caught_up(&self) -> Result<()> {
        let version = self.store.version();
        let mut read = self.read.clone();
        let reading = read.wait_for(|read| *read >= version);
        tokio::time::timeout(PATIENCE, reading).await??;
        Ok(())
    }

    /// Notes what is asked for from now on.
    pub(super) fn wants(&mut self, universe: &Universe<'_>) {
        self.wishes.push((self.store.version(), universe.wanted()));
    }

    /// Counts.
    pub(super) fn close(self) -> Result<Counted> {
        let entries = self.entries.lock().clone();
        let machines = i64::try_from(self.store.list("nodes", "").len())?;
        let mut book = Book {
            wishes: &self.wishes,
            machines,
            eras: BTreeMap::new(),
            last: BTreeMap::new(),
            alive: BTreeMap::new(),
            counted: Counted::default(),
        };
        for entry in entries {
            book.take(entry);
        }
        for era in std::mem::take(&mut book.eras).values() {
            book.end(era);
        }
        Ok(book.counted)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][OWNER] == "node-0"
}

fn entry(
    resource: &str,
    kind: &ChangeKind,
    object: &Value,
    before: Option<&Value>,
    version: u64,
) -> Option<Entry> {
    if !is_ours(object) {
        return None;
    }
    let goes = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
    if resource == "pods" {
        return match kind {
            ChangeKind::Added => Some(Entry::Pod(Pod::of(object, version))),
            ChangeKind::Modified if !goes(object) || before.is_some_and(goes) => None,
            ChangeKind::Modified | ChangeKind::Deleted => {
                let uid = text(&object["metadata"]["uid"]);
                Some(Entry::PodGoes { uid, version })
            }
        };
    }
    let (_, word) = RESOURCES.iter().find(|(known, _)| *known == resource)?;
    let metadata = &object["metadata"];
    let place = (
        (*word).to_owned(),
        text(&metadata["namespace"]),
        text(&metadata["name"]),
    );
    if matches!(kind, ChangeKind::Deleted) {
        return Some(Entry::WorkloadGone(place));
    }
    let template = &object["spec"]["template"];
    if matches!(kind, ChangeKind::Modified)
        && before.is_some_and(|before| before["spec"] == object["spec"])
    {
        return None;
    }
    Some(Entry::Workload(Workload {
        version,
        at: clock(SystemTime::now()),
        place,
        application: text(&metadata["labels"][APPLICATION]),
        uid: text(&metadata["uid"]),
        release: text(&template["metadata"]["labels"]["baetyl.io/release"]),
        shape: shape(&template["spec"]),
        template: template.to_string(),
        places: object["spec"]["replicas"].as_i64().unwrap_or(-1),
    }))
}

/// What tells pods apart, out of the specification of one.
fn shape(spec: &Value) -> String {
    let env = spec["containers"][0]["env"].as_array();
    let shape = env.and_then(|env| env.iter().find(|one| one["name"] == SHAPE));
    let value = shape.and_then(|one| one["value"].as_str());
    value.unwrap_or_default().to_owned()
}

/// One template of one workload.
#[derive(Clone, Debug)]
struct Era {
    began: Workload,
    /// Pods that it may make: places, without those that were filled when it began.
    budget: i64,
    places: i64,
    made: i64,
    is_good: bool,
    /// What happened, for whoever looks for a mistake.
    story: Vec<String>,
}

struct Book<'a> {
    wishes: &'a [Wish],
    machines: i64,
    eras: BTreeMap<Place, Era>,
    /// What was gone last at each place.
    last: BTreeMap<Place, Workload>,
    alive: BTreeMap<String, Pod>,
    counted: Counted,
}

impl Book<'_> {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Workload(workload) => self.workload(workload),
            Entry::WorkloadGone(place) => {
                if let Some(era) = self.eras.remove(&place) {
                    self.end(&era);
                    self.last.insert(place, era.began);
                }
            }
            Entry::Pod(pod) => self.pod(pod),
            Entry::PodGoes { uid, version } => self.pod_goes(&uid, version),
            Entry::Missed(pods) => {
                self.eras.clear();
                self.last.clear();
                let pods = pods.into_iter();
                self.alive = pods.map(|pod| (pod.uid.clone(), pod)).collect();
            }
        }
    }

    fn workload(&mut self, workload: Workload) {
        let places = match workload.places {
            -1 => self.machines,
            places => places,
        };
        if let Some(era) = self.eras.get_mut(&workload.place)
            && era.began.template == workload.template
            && era.began.uid == workload.uid
        {
            era.budget += (places - era.places).max(0);
            era.places = places;
            era.story
                .push(format!("{} {places} places", workload.version));
            return;
        }
        if let Some(era) = self.eras.remove(&workload.place) {
            self.end(&era);
            self.follows(&era, &workload);
        } else if let Some(last) = self.last.remove(&workload.place) {
            self.is_asked_for_again(&last, &workload);
        }
        self.counted.rollouts += 1;
        let filled = self.alive.values().filter(|pod| pod.is_of(&workload));
        let filled = i64::try_from(filled.count()).unwrap_or(0);
        let is_good = self.is_good(&workload);
        let era = Era {
            budget: (places - filled).max(0),
            places,
            made: 0,
            is_good,
            story: vec![format!("{} began, {filled} filled", workload.version)],
            began: workload.clone(),
        };
        self.eras.insert(workload.place, era);
    }

    /// The wishes of an application between two versions, the one of the first included.
    fn between(&self, application: &str, from: u64, to: u64) -> Vec<Option<&Wanted>> {
        let first = self.wishes.iter().rposition(|(at, _)| *at <= from);
        let wishes = &self.wishes[first.unwrap_or(0)..];
        let wishes = wishes.iter().take_while(|(at, _)| *at <= to);
        wishes.map(|(_, all)| all.get(application)).collect()
    }

    fn is_good(&self, workload: &Workload) -> bool {
        let mut all = self.wishes.iter();
        let of = |wish: &&Wish| {
            let wanted = wish.1.get(&workload.application);
            wanted.is_some_and(|wanted| wanted.shape == workload.shape)
        };
        let found = all.find(of);
        found.is_some_and(|(_, all)| all[&workload.application].is_good)
    }

    /// One release comes after another.
    fn follows(&mut self, era: &Era, next: &Workload) {
        let before = &era.began;
        if before.release == next.release && !before.release.is_empty() {
            let message = format!(
                "{:?}: the template changed under release {}: {} became {}",
                next.place, next.release, before.template, next.template
            );
            self.counted.needless.push(message);
            return;
        }
        if !era.is_good {
            return;
        }
        let wishes = self.between(&next.application, before.version, next.version);
        let is_asked = wishes
            .iter()
            .flatten()
            .any(|wanted| wanted.shape == next.shape);
        let was_moved = wishes.len() > 1;
        if !is_asked && !was_moved {
            let message = format!(
                "{:?}: {:?} at {} was replaced by {:?} at {}, which nobody asked for",
                next.place, before.shape, before.at, next.shape, next.at
            );
            self.counted.needless.push(message);
        }
    }

    /// A workload is there again after it was gone.
    fn is_asked_for_again(&mut self, last: &Workload, next: &Workload) {
        let wishes = self.between(&next.application, last.version, next.version);
        let is_same = wishes.windows(2).all(|pair| pair[0] == pair[1]);
        if is_same {
            let message = format!(
                "{:?} was made anew for nothing: {} at {}, then {} at {}",
                next.place, last.shape, last.at, next.shape, next.at
            );
            self.counted.needless.push(message);
        }
    }

    fn pod(&mut self, pod: Pod) {
        self.counted.pods += 1;
        let mut eras = self.eras.values_mut();
        let era = eras.find(|era| pod.is_of(&era.began));
        if let Some(era) = era {
            era.made += 1;
            era.story.push(format!("{} made {}", pod.version, pod.uid));
        }
        self.alive.insert(pod.uid.clone(), pod);
    }

    fn pod_goes(&mut self, uid: &str, version: u64) {
        let Some(pod) = self.alive.remove(uid) else {
            return;
        };
        let mut eras = self.eras.values_mut();
        let era = eras.find(|era| pod.is_of(&era.began));
        // A controller that has not seen the template of now takes away what it would have kept.
        if let Some(era) = era {
            era.story.push(format!("{version} went {uid}"));
            era.budget += i64::from(version < era.began.version + STALE_WRITES);
        }
    }

    fn end(&mut self, era: &Era) {
        if era.is_good && era.made > era.budget {
            let message = format!(
                "{:?}: {} pods of {:?} for {} places: {:?}",
                era.began.place, era.made, era.began.shape, era.budget, era.story
            );
            self.counted.needless.push(message);
        }
    }
}
