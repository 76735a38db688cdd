//! The output of containers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::body::{Bytes, Frame};
use tokio::sync::watch;

use super::call::Call;
use super::{Answer, respond};
use crate::object::{Key, items, meta_text, parse_time, precise, text};
use crate::pod_logs::{Line, Reading};
use crate::refusal::Refusal;
use crate::rest::Target;
use crate::shared::Shared;

/// Reads or follows the output of one container.
pub(super) fn answer(call: Call, target: &Target) -> Result<Answer, Refusal> {
    let key = Key::new(&target.namespace, &target.name);
    let pod = call
        .shared
        .with(|state| state.get("pods", &key).cloned())
        .ok_or_else(|| target.not_found())?;
    let container = container_name(&call, &pod)?;
    let is_previous = call.query.is_true("previous");
    let logs = &call.shared.pod_logs;
    let reading = logs.read(&key.namespace, &key.name, &container, is_previous, 0);
    let reading = match reading {
        Some(reading) => reading,
        None => no_output(&pod, &container, is_previous)?,
    };
    let since = since(&call);
    let has_times = call.query.is_true("timestamps");
    let newest = reading.lines.last().map_or(0, |line| line.number);
    let lines = reading.lines.iter();
    let lines = lines.filter(|line| since.is_none_or(|since| line.at >= since));
    let mut ready: VecDeque<Bytes> = lines.map(|line| format_line(line, has_times)).collect();
    if let Some(tail) = call.query.number("tailLines") {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        let surplus = ready.len().saturating_sub(tail);
        ready.drain(..surplus);
    }
    if !call.query.is_true("follow") || is_previous {
        let mut all: Vec<u8> = ready.into_iter().flatten().collect();
        if let Some(limit) = call.query.number("limitBytes") {
            all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        return Ok(respond::text(200, "text/plain", all));
    }
    let follower = Follower {
        changes: logs.changes(),
        pod_uid: meta_text(&pod, "uid").to_owned(),
        shared: call.shared,
        key,
        container,
        position: newest,
        run: reading.run,
        has_times,
        ready,
        has_ended: reading.has_ended,
    };
    let pieces = futures::stream::unfold(follower, Follower::next);
    Ok(respond::stream("text/plain", pieces))
}

fn since(call: &Call) -> Option<SystemTime> {
    let seconds = call.query.number("sinceSeconds").map(Duration::from_secs);
    seconds
        .and_then(|seconds| SystemTime::now().checked_sub(seconds))
        .or_else(|| parse_time(call.query.get("sinceTime")))
}

fn container_name(call: &Call, pod: &serde_json::Value) -> Result<String, Refusal> {
    let name = meta_text(pod, "name");
    let wanted = call.query.get("container");
    let names = |pointer: &'static str| {
        let containers = items(pod, pointer).iter();
        containers.map(|container| text(container, "/name"))
    };
    let own: Vec<&str> = names("/spec/containers").collect();
    if wanted.is_empty() {
        return match own.as_slice() {
            [only] => Ok((*only).to_owned()),
            many => Err(Refusal::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            ))),
        };
    }
    let is_known = own.contains(&wanted) || names("/spec/initContainers").any(|n| n == wanted);
    if is_known {
        return Ok(wanted.to_owned());
    }
    Err(Refusal::bad_request(format!(
        "container {wanted} is not valid for pod {name}"
    )))
}

/// A container that wrote nothing: refused while it has not run.
fn no_output(
    pod: &serde_json::Value,
    container: &str,
    is_previous: bool,
) -> Result<Reading, Refusal> {
    let name = meta_text(pod, "name");
    if is_previous {
        return Err(Refusal::bad_request(format!(
            "previous terminated container {container:?} in pod {name:?} not found"
        )));
    }
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let mut states = lists.iter().flat_map(|list| items(pod, list));
    let status = states.find(|status| status["name"] == container);
    let waits = status.is_none_or(|status| status["state"]["waiting"].is_object());
    if waits {
        let reason = status.map_or("", |status| text(status, "/state/waiting/reason"));
        let reason = if reason.is_empty() {
            "ContainerCreating"
        } else {
            reason
        };
        return Err(Refusal::bad_request(format!(
            "container {container:?} in pod {name:?} is waiting to start: {reason}"
        )));
    }
    Ok(Reading::default())
}

fn format_line(line: &Line, has_times: bool) -> Bytes {
    if has_times {
        return Bytes::from(format!("{} {}\n", precise(line.at), line.text));
    }
    Bytes::from(format!("{}\n", line.text))
}

/// Somebody who follows a container.
struct Follower {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    key: Key,
    pod_uid: String,
    container: String,
    position: u64,
    run: u64,
    has_times: bool,
    ready: VecDeque<Bytes>,
    has_ended: bool,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, std::io::Error>, Self)> {
        let mut versions = self.shared.versions();
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some((Ok(Frame::data(line)), self));
            }
            if self.has_ended {
                return None;
            }
            self.changes.mark_unchanged();
            versions.mark_unchanged();
            self.read();
            if self.ready.is_empty() && !self.has_ended {
                tokio::select! {
                    // Both only wait for a level.
                    changed = self.changes.changed() => changed.ok()?,
                    changed = versions.changed() => changed.ok()?,
                }
            }
        }
    }

    fn read(&mut self) {
        let Key { namespace, name } = &self.key;
        let logs = &self.shared.pod_logs;
        let reading = logs.read(namespace, name, &self.container, false, self.position);
        let pod = self
            .shared
            .with(|state| state.get("pods", &self.key).cloned());
        let is_same_pod = pod.is_some_and(|pod| meta_text(&pod, "uid") == self.pod_uid);
        match reading {
            Some(reading) if reading.run == self.run => {
                self.has_ended = reading.has_ended || !is_same_pod;
                for line in &reading.lines {
                    self.position = line.number;
                    self.ready.push_back(format_line(line, self.has_times));
                }
            }
            // Forgotten, or it was started again.
            Some(_) => self.has_ended = true,
            None => self.has_ended = !is_same_pod,
        }
    }
}
