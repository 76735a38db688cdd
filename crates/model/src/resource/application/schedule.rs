//! Jobs: how often they run, and when.

use std::time::Duration;

use baetyl_proto::resource::v1 as pb;

use super::cron;
use crate::duration::{self, Limits};
use crate::violation::{Check, Path, reason};

const MAX_RUNS: u32 = 64;
const MAX_FAILURES: u32 = 100;
const DEFAULT_FAILURES: u32 = 6;
const MAX_ZONE_BYTES: usize = 64;

const ACTIVE_DEADLINE: Limits = Limits {
    least: Duration::from_secs(1),
    most: Duration::from_secs(30 * 24 * 3600),
};

const STARTING_DEADLINE: Limits = Limits {
    least: Duration::from_secs(10),
    most: Duration::from_secs(24 * 3600),
};

/// Fills and checks the policies of a job of containers; others must have none.
pub(super) fn normalise(
    message: &mut pb::Application,
    kind: Option<pb::ApplicationType>,
    check: &mut Check,
) {
    let root = Path::root();
    let is_container = kind == Some(pb::ApplicationType::Container);
    let (is_cron, is_job) = match message.workload() {
        pb::Workload::Cronjob => (true, true),
        pb::Workload::Job => (false, true),
        pb::Workload::Unspecified
        | pb::Workload::Deployment
        | pb::Workload::Statefulset
        | pb::Workload::Daemonset => (false, false),
    };
    let path = root.field("job");
    if is_container && is_job {
        normalise_job(message.job.get_or_insert_default(), &path, check);
    } else if is_container {
        check.absent(
            &path,
            message.job.is_some(),
            "belongs to jobs and cron jobs",
        );
    }
    let path = root.field("cron");
    match &mut message.cron {
        Some(cron) if is_container && is_cron => normalise_cron(cron, &path, check),
        None if is_container && is_cron => {
            check.add(&path, reason::REQUIRED, "must say when the job runs");
        }
        cron => {
            let is_set = is_container && cron.is_some();
            check.absent(&path, is_set, "belongs to cron jobs");
        }
    }
}

fn normalise_job(job: &mut pb::JobPolicy, path: &Path, check: &mut Check) {
    let counts = [
        ("completions", &mut job.completions, 1, 1, MAX_RUNS),
        ("parallelism", &mut job.parallelism, 1, 1, MAX_RUNS),
        (
            "backoffLimit",
            &mut job.backoff_limit,
            DEFAULT_FAILURES,
            0,
            MAX_FAILURES,
        ),
    ];
    for (field, count, default, least, most) in counts {
        let count = i64::from(*count.get_or_insert(default));
        check.range(&path.field(field), count, i64::from(least), i64::from(most));
    }
    let deadline = path.field("activeDeadline");
    duration::check(&mut job.active_deadline, ACTIVE_DEADLINE, &deadline, check);
}

fn normalise_cron(cron: &mut pb::CronPolicy, path: &Path, check: &mut Check) {
    let schedule = path.field("schedule");
    if cron.schedule.is_empty() {
        check.add(&schedule, reason::REQUIRED, "must say when the job runs");
    } else if let Err(error) = cron::check(&cron.schedule) {
        check.add(&schedule, reason::INVALID_FORMAT, error.to_string());
    }
    check_time_zone(&cron.time_zone, &path.field("timeZone"), check);
    match pb::ConcurrencyPolicy::try_from(cron.concurrency_policy) {
        Ok(pb::ConcurrencyPolicy::Unspecified) => {
            cron.set_concurrency_policy(pb::ConcurrencyPolicy::Forbid);
        }
        Ok(
            pb::ConcurrencyPolicy::Allow
            | pb::ConcurrencyPolicy::Forbid
            | pb::ConcurrencyPolicy::Replace,
        ) => {}
        Err(_) => {
            let path = path.field("concurrencyPolicy");
            let description = "must be allow, forbid or replace";
            check.add(&path, reason::UNKNOWN_VALUE, description);
        }
    }
    let deadline = path.field("startingDeadline");
    duration::check(
        &mut cron.starting_deadline,
        STARTING_DEADLINE,
        &deadline,
        check,
    );
}

/// The names of the IANA time zone database: `UTC`, `Etc/GMT+5`, `America/Port-au-Prince`.
fn check_time_zone(zone: &str, path: &Path, check: &mut Check) {
    if zone.is_empty() {
        return;
    }
    check.bytes(path, zone.len(), MAX_ZONE_BYTES);
    let is_part = |part: &str| {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
        part.starts_with(|first: char| first.is_ascii_alphabetic()) && part.bytes().all(may_stand)
    };
    // `Local` would be the zone of whichever machine runs the controller.
    if !zone.split('/').all(is_part) || zone.eq_ignore_ascii_case("local") {
        let description = "must be the name of a time zone, such as Europe/Berlin";
        check.add(path, reason::INVALID_FORMAT, description);
    }
}
