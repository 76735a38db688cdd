//! The controllers of Jobs and CronJobs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::view::{
    Said, condition, controller, is_deleting, is_ready, is_set, items, name, namespace, now,
    number, owner_reference, set, stamp, text, uid, with_condition,
};
use super::{Cluster, template, view};
use crate::{Deletion, Refusal};

const JOBS: &str = "jobs.batch";
const CRON_JOBS: &str = "cronjobs.batch";

/// How long the next pod waits after the first failure; doubles with each.
const BACK_OFF: Duration = Duration::from_secs(10);

/// The longest that it waits.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(600);

/// Since when a job runs, and when it may start another pod.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    failed: usize,
    next: Instant,
}

pub(super) fn sync(cluster: &mut Cluster) {
    let jobs = cluster.store.list(JOBS, "");
    cluster
        .jobs
        .retain(|known, _| jobs.iter().any(|job| uid(job) == known));
    for job in &jobs {
        if !is_deleting(job) && !is_ended(job) {
            sync_one(cluster, job);
        }
    }
    for owner in cluster.store.list(CRON_JOBS, "") {
        if !is_deleting(&owner) {
            report_cron(cluster, &owner);
        }
    }
}

fn is_ended(job: &Value) -> bool {
    end(job).is_some()
}

/// Whether a job has succeeded; `None` while it goes on.
fn end(job: &Value) -> Option<bool> {
    let is = |kind: &str| condition(job, kind).is_some_and(|one| text(one, "/status") == "True");
    if is("Complete") {
        return Some(true);
    }
    is("Failed").then_some(false)
}

/// The pods of a job.
struct Pods {
    active: Vec<Arc<Value>>,
    succeeded: i64,
    failed: usize,
    restarts: i64,
}

fn pods(cluster: &Cluster, job: &Value) -> Pods {
    let mut found = Pods {
        active: Vec::new(),
        succeeded: 0,
        failed: 0,
        restarts: 0,
    };
    let own = uid(job);
    for pod in cluster.store.list("pods", namespace(job)) {
        if controller(&pod) != own {
            continue;
        }
        match text(&pod, "/status/phase") {
            "Succeeded" => found.succeeded += 1,
            "Failed" => found.failed += 1,
            // A pod that is taken away before its end has failed.
            _ if is_deleting(&pod) => {}
            _ => {
                let containers = items(&pod, "/status/containerStatuses").iter();
                let restarts = containers.filter_map(|one| number(one, "/restartCount"));
                found.restarts += restarts.sum::<i64>();
                found.active.push(pod);
            }
        }
    }
    found
}

fn sync_one(cluster: &mut Cluster, job: &Arc<Value>) {
    let pods = pods(cluster, job);
    let now = cluster.clock.now();
    let pace = cluster.jobs.entry(uid(job).to_owned()).or_insert(Pace {
        began: now,
        failed: 0,
        next: now,
    });
    if pods.failed > pace.failed {
        pace.failed = pods.failed;
        let doublings = u32::try_from(pods.failed.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = BACK_OFF.saturating_mul(2_u32.saturating_pow(doublings.min(10)));
        pace.next = now + cluster.clock.wall(wait.min(LONGEST_BACK_OFF));
    }
    let (began, next) = (pace.began, pace.next);
    let wanted = number(job, "/spec/completions").unwrap_or(1);
    if pods.succeeded >= wanted {
        for pod in &pods.active {
            cluster.delete_pod(pod);
        }
        finish(
            cluster,
            job,
            &pods,
            ("Complete", "CompletionsReached"),
            "Reached expected number of succeeded pods",
        );
        return;
    }
    if let Some((reason, message)) = fault(cluster, job, &pods, began) {
        for pod in &pods.active {
            cluster.delete_pod(pod);
        }
        cluster.happened(job, true, reason, message);
        finish(cluster, job, &pods, ("Failed", reason), message);
        return;
    }
    if !is_set(job, "/spec/suspend") && cluster.clock.is_over(next) {
        let parallel = number(job, "/spec/parallelism").unwrap_or(1);
        let running = i64::try_from(pods.active.len()).unwrap_or(0);
        for _ in running..parallel.min(wanted - pods.succeeded) {
            if !create(cluster, job) {
                break;
            }
        }
    }
    report(cluster, job, None);
}

fn fault(
    cluster: &mut Cluster,
    job: &Value,
    pods: &Pods,
    began: Instant,
) -> Option<(&'static str, &'static str)> {
    let limit = number(job, "/spec/backoffLimit").unwrap_or(6);
    let failed = i64::try_from(pods.failed).unwrap_or(i64::MAX);
    let is_restarted = text(job, "/spec/template/spec/restartPolicy") == "OnFailure";
    let is_over =
        failed > limit || is_restarted && pods.restarts > 0 && pods.restarts >= limit.max(1);
    if is_over {
        let message = "Job has reached the specified backoff limit";
        return Some(("BackoffLimitExceeded", message));
    }
    let longest = number(job, "/spec/activeDeadlineSeconds")?;
    let until = began + cluster.clock.seconds(longest);
    cluster.clock.is_over(until).then_some((
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    ))
}

fn create(cluster: &mut Cluster, job: &Arc<Value>) -> bool {
    let prefix = format!("{}-", name(job));
    let mut pod = template::generated(&job["spec"]["template"], job, &prefix);
    for key in ["batch.kubernetes.io/job-name", "job-name"] {
        set(&mut pod, &["metadata", "labels", key], name(job));
    }
    for key in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
        set(&mut pod, &["metadata", "labels", key], uid(job));
    }
    cluster.create_pod(job, pod).is_ok()
}

fn finish(
    cluster: &mut Cluster,
    job: &Arc<Value>,
    _pods: &Pods,
    (kind, reason): (&str, &str),
    message: &str,
) {
    let mut conditions = items(job, "/status/conditions").to_vec();
    let before = if kind == "Complete" {
        "SuccessCriteriaMet"
    } else {
        "FailureTarget"
    };
    for kind in [before, kind] {
        let said = Said {
            kind,
            is_true: true,
            reason,
            message,
        };
        with_condition(&mut conditions, &said, &now());
    }
    report(cluster, job, Some(conditions));
    if kind == "Complete" {
        cluster.happened(job, false, "Completed", "Job completed");
    }
}

fn report(cluster: &Cluster, job: &Arc<Value>, ended: Option<Vec<Value>>) {
    let pods = pods(cluster, job);
    let mut status = json!({
        "startTime": match job.pointer("/status/startTime") {
            Some(time) => time.clone(),
            None => now().into(),
        },
        "ready": pods.active.iter().filter(|pod| is_ready(pod)).count(),
        "terminating": 0,
        "uncountedTerminatedPods": {},
    });
    let is_complete = ended.as_ref().is_some_and(|conditions| {
        conditions
            .iter()
            .any(|one| text(one, "/type") == "Complete")
    });
    let active = if ended.is_some() {
        0
    } else {
        pods.active.len()
    };
    for (field, count) in [
        ("active", i64::try_from(active).unwrap_or(0)),
        ("succeeded", pods.succeeded),
        ("failed", i64::try_from(pods.failed).unwrap_or(0)),
    ] {
        if count != 0 {
            status[field] = count.into();
        }
    }
    if is_complete {
        status["completionTime"] = now().into();
    }
    if let Some(conditions) = ended {
        status["conditions"] = conditions.into();
    }
    cluster.report(JOBS, job, status);
}

/// It is time for a cron job.
pub(super) fn tick(
    cluster: &mut Cluster,
    space: &str,
    cron_name: &str,
) -> Result<Option<String>, Refusal> {
    // Changes nothing, and fails as it should when it is not there.
    let owner = cluster.store.edit(CRON_JOBS, space, cron_name, |_| {})?;
    if is_set(&owner, "/spec/suspend") {
        return Ok(None);
    }
    let running: Vec<_> = jobs_of(cluster, &owner)
        .into_iter()
        .filter(|job| !is_ended(job))
        .collect();
    match text(&owner, "/spec/concurrencyPolicy") {
        "Forbid" if !running.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            cluster.happened(&owner, false, "JobAlreadyActive", message);
            return Ok(None);
        }
        "Replace" => {
            for job in &running {
                let how = Deletion::default();
                cluster.store.delete(JOBS, space, name(job), how)?;
            }
        }
        _ => {}
    }
    cluster.ticks += 1;
    let minutes = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() / 60);
    let job_name = format!("{cron_name}-{}", minutes + cluster.ticks);
    let made = json!({
        "metadata": {
            "name": job_name,
            "labels": owner["spec"]["jobTemplate"]["metadata"]["labels"],
            "annotations": { "batch.kubernetes.io/cronjob-scheduled-timestamp": now() },
            "ownerReferences": [owner_reference(&owner)],
        },
        "spec": owner["spec"]["jobTemplate"]["spec"],
    });
    cluster.store.create(JOBS, space, made)?;
    let message = format!("Created job {job_name}");
    cluster.happened(&owner, false, "SuccessfulCreate", &message);
    let scheduled = stamp(SystemTime::now());
    cluster
        .store
        .edit_status(CRON_JOBS, space, cron_name, |object| {
            set(object, &["status", "lastScheduleTime"], scheduled);
        })?;
    Ok(Some(job_name))
}

fn jobs_of(cluster: &Cluster, owner: &Value) -> Vec<Arc<Value>> {
    let own = uid(owner);
    let jobs = cluster.store.list(JOBS, namespace(owner)).into_iter();
    jobs.filter(|job| controller(job) == own).collect()
}

fn report_cron(cluster: &Cluster, owner: &Arc<Value>) {
    let jobs = jobs_of(cluster, owner);
    let active: Vec<Value> = jobs
        .iter()
        .filter(|job| !is_ended(job))
        .map(|job| {
            json!({
                "apiVersion": "batch/v1", "kind": "Job", "name": name(job),
                "namespace": namespace(job), "uid": uid(job),
            })
        })
        .collect();
    let mut status = owner.get("status").cloned().unwrap_or_else(|| json!({}));
    let last = jobs
        .iter()
        .filter(|job| end(job) == Some(true))
        .map(|job| text(job, "/status/completionTime"))
        .max();
    if let Some(last) = last {
        status["lastSuccessfulTime"] = last.into();
    }
    if active.is_empty() {
        if let Some(status) = status.as_object_mut() {
            status.remove("active");
        }
    } else {
        status["active"] = active.into();
    }
    if status != json!({}) {
        cluster.report(CRON_JOBS, owner, status);
    }
    for (is_good, field, default) in [
        (true, "/spec/successfulJobsHistoryLimit", 3),
        (false, "/spec/failedJobsHistoryLimit", 1),
    ] {
        let limit = number(owner, field).unwrap_or(default);
        let mut ended: Vec<_> = jobs
            .iter()
            .filter(|job| end(job) == Some(is_good))
            .collect();
        ended.sort_by_key(|job| view::name(job).to_owned());
        let surplus = ended
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(0));
        for job in &ended[..surplus] {
            let how = Deletion::default();
            let _ = cluster.store.delete(JOBS, namespace(job), name(job), how);
        }
    }
}
