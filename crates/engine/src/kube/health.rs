//! Judges a release by what watches tell. Pure.
//!
//! A failure that lasts ends the gate at once; what may still come right is named and waited for.
//! What was not seen since it was applied is not judged: an old sight is no sight.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::facts::{AppFacts, Health, PodFacts};
use super::object::ObjectKey;
use super::record::{Mark, Release};
use super::spec::KubeSpec;
use crate::reason;
use baetyl_proto::resource::v1::Workload;

mod pod;
mod standing;

pub(super) use pod::{inspect, reason_of};
pub use standing::{Standing, is_seen, standing};

/// Everything that a release is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The release.
    pub release: &'a Release,
    /// What it is made of.
    pub spec: &'a KubeSpec,
    /// Uids of the pods that were there before it; they count only where pods have no label of
    /// their release.
    pub older_pods: Option<&'a BTreeSet<String>>,
    /// What the objects were when they were applied last.
    pub marks: &'a BTreeMap<ObjectKey, Mark>,
    /// Objects that were applied and that the watches have not shown yet, and until when.
    pub unseen: &'a BTreeMap<ObjectKey, Instant>,
    /// Pods that were deleted, by uid: they are no news.
    pub deleted: &'a BTreeSet<String>,
    /// What the watches tell.
    pub facts: &'a AppFacts,
}

/// What is the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Stable word from [`crate::reason`].
    pub reason: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl Trouble {
    /// Puts both together.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// Whether something is wrong, rather than merely on its way.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        ![
            reason::STARTING,
            reason::WAITING_FOR_READY,
            reason::SOAKING,
            reason::PREPARING,
        ]
        .contains(&self.reason)
    }
}

/// How a release does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not ready yet, or not any more; it may become so.
    Waiting(Trouble),
    /// Every object is ready, and was so for as long as it must; a job was started.
    Ready,
    /// A job came to its end.
    Completed,
    /// A job failed for good.
    GivenUp(Trouble),
    /// It will not become ready without a change.
    Doomed(Trouble),
}

/// Judges.
#[must_use]
pub fn judge(subject: &Subject<'_>) -> Verdict {
    let objects = objects(subject);
    if subject.spec.is_job() {
        match job(subject) {
            Some(Health::Completed) => return Verdict::Completed,
            Some(Health::Failed { message, .. }) => {
                return Verdict::GivenUp(Trouble::new(reason::JOB_FAILED, message));
            }
            Some(Health::Ready | Health::Progressing { .. }) | None => {}
        }
    }
    // An object that is not there as it was applied makes all others old news.
    if let Objects::Missing(trouble) = objects {
        return Verdict::Waiting(trouble);
    }
    let pods = pods(subject);
    if let Some(doom) = pods.iter().find_map(|found| found.doom()) {
        return Verdict::Doomed(doom);
    }
    if subject.spec.is_job() && pods.iter().any(|found| found.has_started) {
        return Verdict::Ready;
    }
    let trouble = pods.into_iter().filter_map(|found| found.trouble);
    let (problems, paths): (Vec<_>, Vec<_>) = trouble.partition(Trouble::is_problem);
    let problem = problems.into_iter().next();
    match objects {
        Objects::Missing(trouble) => Verdict::Waiting(trouble),
        // Its controller gave up for a reason that the pods know better.
        Objects::Failed(trouble) if may_pass(&trouble) => {
            Verdict::Waiting(problem.unwrap_or(trouble))
        }
        Objects::Failed(trouble) => Verdict::Doomed(trouble),
        Objects::Waiting(message) => {
            let path = paths.into_iter().next();
            let trouble = problem
                .or(path)
                .unwrap_or_else(|| waiting(subject, message));
            Verdict::Waiting(trouble)
        }
        // A job that has not started has nothing else to show.
        Objects::Ready if subject.spec.is_job() => {
            let path = paths.into_iter().next();
            let starting = || Trouble::new(reason::STARTING, "the job is being started");
            Verdict::Waiting(problem.or(path).unwrap_or_else(starting))
        }
        Objects::Ready => Verdict::Ready,
    }
}

/// How the objects are, pods left out.
enum Objects {
    Missing(Trouble),
    Failed(Trouble),
    Waiting(String),
    Ready,
}

fn objects(subject: &Subject<'_>) -> Objects {
    let mut waiting = None;
    let mut failed = None;
    for key in &subject.release.objects {
        let mark = subject.marks.get(key);
        match standing(key, mark, subject.unseen, subject.facts) {
            Standing::Current => {}
            Standing::Lagging | Standing::Gone | Standing::Deleting => {
                let message = format!("{key} is being made");
                return Objects::Missing(Trouble::new(reason::STARTING, message));
            }
            // Somebody changed it; it is made right again, and what it says holds meanwhile.
            Standing::Changed => {}
            Standing::Unobserved => {
                let kind = (key.api_version.clone(), key.kind.clone());
                let why = subject.facts.unobserved.get(&kind);
                let why = why.map(String::as_str).unwrap_or_default();
                waiting.get_or_insert_with(|| format!("{key} cannot be observed: {why}"));
                continue;
            }
        }
        match health(key, subject.facts) {
            Some(Health::Ready | Health::Completed) => {}
            Some(Health::Progressing { message }) => {
                waiting.get_or_insert_with(|| format!("{key}: {message}"));
            }
            Some(Health::Failed { reason, message }) => {
                failed.get_or_insert_with(|| Trouble::new(reason, format!("{key}: {message}")));
            }
            None => {
                let message = format!("{key} is not there");
                return Objects::Missing(Trouble::new(reason::STARTING, message));
            }
        }
    }
    match (failed, waiting) {
        (Some(trouble), _) => Objects::Failed(trouble),
        (None, Some(message)) => Objects::Waiting(message),
        (None, None) => Objects::Ready,
    }
}

/// What an object says of itself; `None` when the watches do not show it.
#[must_use]
pub fn health(key: &ObjectKey, facts: &AppFacts) -> Option<Health> {
    facts.object(key).map(|object| object.health.clone())
}

/// The name of a pod; the watches put its namespace before it where two have the same.
#[must_use]
pub fn pod_name(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, name)| name)
}

/// What the job itself says.
fn job(subject: &Subject<'_>) -> Option<Health> {
    let mut keys = subject.release.objects.iter();
    let key = keys.find(|key| key.kind == "Job" && key.group() == "batch")?;
    let mark = subject.marks.get(key);
    let standing = standing(key, mark, subject.unseen, subject.facts);
    let is_known = matches!(standing, Standing::Current | Standing::Changed);
    is_known.then(|| health(key, subject.facts)).flatten()
}

/// Whether an object that failed may come right while its gate is open.
fn may_pass(trouble: &Trouble) -> bool {
    // Room in a quota comes back; the deadline of a workload is that of the gate.
    [reason::QUOTA_EXCEEDED, reason::DEADLINE_EXCEEDED].contains(&trouble.reason)
}

/// Why nothing but an object is late.
fn waiting(subject: &Subject<'_>, message: String) -> Trouble {
    let mut pods = own_pods(subject).peekable();
    if pods.peek().is_some() && pods.all(|(_, pod)| pod.is_ready) {
        return Trouble::new(reason::SOAKING, message);
    }
    Trouble::new(reason::STARTING, message)
}

fn pods(subject: &Subject<'_>) -> Vec<pod::Found> {
    // The runs of a cron job come later, and each is judged by its own job.
    if subject.spec.labels_pods() && subject.spec.workload == Workload::Cronjob {
        return Vec::new();
    }
    own_pods(subject)
        .map(|(name, pod)| pod::look(name, pod, subject))
        .collect()
}

/// The pods of the release that are not on their way out.
pub fn own_pods<'a>(
    subject: &Subject<'a>,
) -> impl Iterator<Item = (&'a String, &'a PodFacts)> + use<'a> {
    let Subject {
        release,
        spec,
        older_pods,
        deleted,
        facts,
        ..
    } = *subject;
    facts.pods.iter().filter(move |(_, pod)| {
        let is_own = if spec.labels_pods() {
            pod.release == release.label
        } else {
            older_pods.is_none_or(|older| !older.contains(&pod.uid))
        };
        is_own && !pod.is_deleting && !deleted.contains(&pod.uid)
    })
}

#[cfg(test)]
mod tests;
