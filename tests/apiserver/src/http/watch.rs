//! Watches: what changed since a version, line by line, until the time is over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::accept::Form;
use super::call::Call;
use super::{Answer, respond};
use crate::faults::{Facts, Fault};
use crate::history::{ChangeKind, Record};
use crate::log::OpenWatch;
use crate::refusal::{About, Cause, Refusal};
use crate::rest::{ListQuery, Target, read_list_version};
use crate::shared::Shared;
use crate::state::State;

/// How long a watch lasts that says nothing.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// How long what is sent has to leave before the connection breaks.
const FLUSH: Duration = Duration::from_millis(10);
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// One line that is to be sent.
#[derive(Clone, Debug)]
enum Line {
    Event(&'static str, Arc<Value>),
    /// An object that no longer matches: as it was, with the version of the change.
    Departed(Arc<Value>, u64),
    Bookmark {
        version: u64,
        ends_initial: bool,
    },
    Error(Refusal),
}

/// How a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// When everything is sent.
    Ending,
    /// The connection breaks next.
    Broken,
}

struct Watch {
    shared: Arc<Shared>,
    facts: Facts,
    target: Target,
    query: ListQuery,
    form: Form,
    has_bookmarks: bool,
    /// The newest version that was looked at.
    position: u64,
    ready: VecDeque<Line>,
    phase: Phase,
    deadline: Instant,
    bookmark_at: Instant,
    bookmark_period: Duration,
    versions: watch::Receiver<u64>,
    bookmarks: watch::Receiver<u64>,
    fault_changes: watch::Receiver<u64>,
    _open: OpenWatch,
}

/// Starts a watch.
pub(super) fn answer(call: Call, target: Target) -> Result<Answer, Refusal> {
    let query = call.query.list(&target)?;
    check_initial(&call)?;
    let asked = read_list_version(&query.version)?.unwrap_or(0);
    let has_bookmarks = call.query.is_true("allowWatchBookmarks");
    let sends_initial = match call.query.get("sendInitialEvents") {
        "" => asked == 0,
        _ => call.query.is_true("sendInitialEvents"),
    };
    let marks_end = call.query.is_true("sendInitialEvents");
    let (ready, position, bookmark_period) = call.shared.with(|state| {
        let newest = state.version();
        if asked > newest {
            return Err(Refusal::too_new(asked, newest));
        }
        let mut ready = VecDeque::new();
        let mut position = if asked == 0 { newest } else { asked };
        if sends_initial {
            ready = initial(state, &target, &query);
            position = newest;
            if marks_end {
                ready.push_back(Line::Bookmark {
                    version: newest,
                    ends_initial: true,
                });
            }
        } else {
            let old = state
                .history
                .before(&target.kind.resource, position, call.repeats);
            ready.extend(old.iter().filter_map(|r| line_of(&target, &query, r)));
        }
        Ok((ready, position, state.options.bookmark_period))
    })?;
    let timeout = call.query.number("timeoutSeconds").filter(|t| *t > 0);
    let timeout = timeout.map_or(LONGEST, Duration::from_secs);
    let now = Instant::now();
    let watch = Watch {
        facts: call.facts,
        target,
        query,
        form: call.form,
        has_bookmarks,
        position,
        ready,
        phase: Phase::Open,
        deadline: now + timeout,
        bookmark_at: now + bookmark_period,
        bookmark_period,
        versions: call.shared.versions(),
        bookmarks: call.shared.bookmarks.subscribe(),
        fault_changes: call.shared.faults.changes(),
        _open: call.shared.log.open_watch(),
        shared: call.shared,
    };
    let pieces = futures::stream::unfold(watch, Watch::next);
    Ok(respond::stream("application/json", pieces))
}

/// Events that begin with what is there need bookmarks and a version that is not older.
fn check_initial(call: &Call) -> Result<(), Refusal> {
    if !call.query.has("sendInitialEvents") {
        return Ok(());
    }
    let mut causes = Vec::new();
    if call.query.get("resourceVersionMatch") != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(Cause::forbidden("resourceVersionMatch", detail));
    }
    if call.query.is_true("sendInitialEvents") && !call.query.is_true("allowWatchBookmarks") {
        let detail = "sendInitialEvents requires allowWatchBookmarks";
        causes.push(Cause::forbidden("allowWatchBookmarks", detail));
    }
    if causes.is_empty() {
        return Ok(());
    }
    let about = About {
        group: "meta.k8s.io",
        noun: "ListOptions",
    };
    Err(Refusal::invalid(about, "", &causes))
}

fn initial(state: &State, target: &Target, query: &ListQuery) -> VecDeque<Line> {
    state
        .objects(&target.kind.resource, &target.namespace)
        .filter(|(_, object)| query.labels.matches(object) && query.fields.matches(object))
        .map(|(_, object)| Line::Event("ADDED", Arc::clone(object)))
        .collect()
}

/// What a watch says of a change: objects that begin to match are added, those that no longer
/// match are deleted.
fn line_of(target: &Target, query: &ListQuery, record: &Record) -> Option<Line> {
    let is_meant = record.resource == target.kind.resource
        && (target.namespace.is_empty() || record.key.namespace == target.namespace);
    if !is_meant {
        return None;
    }
    let matches = |object: &Value| query.labels.matches(object) && query.fields.matches(object);
    let matched = record.before.as_ref().filter(|before| matches(before));
    let is_gone = record.kind == ChangeKind::Deleted;
    let now = Some(&record.object).filter(|object| !is_gone && matches(object));
    match (matched, now) {
        (None, Some(object)) => Some(Line::Event("ADDED", Arc::clone(object))),
        (Some(_), Some(object)) => Some(Line::Event("MODIFIED", Arc::clone(object))),
        (Some(_), None) if is_gone => Some(Line::Event("DELETED", Arc::clone(&record.object))),
        (Some(before), None) => Some(Line::Departed(Arc::clone(before), record.version)),
        (None, None) => None,
    }
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, std::io::Error>, Self)> {
        if self.phase == Phase::Broken {
            tokio::time::sleep(FLUSH).await;
            let cut = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            return Some((Err(cut), self));
        }
        loop {
            self.versions.mark_unchanged();
            self.fault_changes.mark_unchanged();
            let is_stalled = self.shared.faults.is_stalled(&self.facts);
            if !is_stalled {
                self.fetch();
                if !self.ready.is_empty() {
                    return self.send();
                }
                if self.phase == Phase::Ending {
                    return None;
                }
            }
            self.wait(is_stalled).await;
        }
    }

    /// Sends the next line, or what a fault makes of it.
    fn send(mut self) -> Option<(Result<Frame<Bytes>, std::io::Error>, Self)> {
        let fault = self.shared.faults.event(&self.facts);
        let line = self.ready.pop_front()?;
        let mut bytes = self.write(&line);
        match fault {
            Some(Fault::WatchEnd) => return None,
            Some(Fault::WatchBreak) => {
                bytes.truncate(bytes.len() / 2);
                self.phase = Phase::Broken;
            }
            Some(Fault::WatchExpire) => {
                let refusal = Refusal::too_old(self.position, self.position);
                bytes = self.write(&Line::Error(refusal));
                self.ready.clear();
                self.phase = Phase::Ending;
            }
            _ => {}
        }
        Some((Ok(Frame::data(Bytes::from(bytes))), self))
    }

    /// Waits until there may be something to do. Every arm only waits for a level or a time.
    async fn wait(&mut self, is_stalled: bool) {
        let bookmarks_on = self.has_bookmarks && !is_stalled;
        tokio::select! {
            changed = self.versions.changed() => self.end_if(changed.is_err()),
            changed = self.fault_changes.changed() => self.end_if(changed.is_err()),
            changed = self.bookmarks.changed(), if bookmarks_on => {
                self.end_if(changed.is_err());
                self.add_bookmark();
            }
            () = tokio::time::sleep_until(self.bookmark_at), if bookmarks_on => {
                self.add_bookmark();
            }
            () = tokio::time::sleep_until(self.deadline), if !is_stalled => {
                if self.has_bookmarks {
                    self.add_bookmark();
                }
                self.phase = Phase::Ending;
            }
        }
    }

    fn end_if(&mut self, is_over: bool) {
        if is_over {
            self.phase = Phase::Ending;
        }
    }

    fn add_bookmark(&mut self) {
        self.bookmark_at = Instant::now() + self.bookmark_period;
        // What came in between goes first.
        self.fetch();
        self.ready.push_back(Line::Bookmark {
            version: self.position,
            ends_initial: false,
        });
    }

    /// Reads what happened since the last look.
    fn fetch(&mut self) {
        if self.phase != Phase::Open {
            return;
        }
        let (target, query) = (&self.target, &self.query);
        let position = self.position;
        let (found, newest, is_served) = self.shared.with(|state| {
            let found = state.history.since(position).map(|records| {
                let lines = records.filter_map(|record| line_of(target, query, record));
                lines.collect::<Vec<_>>()
            });
            let is_served = state.kinds.get(&target.kind.resource).is_some();
            (found, state.version(), is_served)
        });
        match found {
            Ok(lines) => {
                self.position = newest;
                self.ready.extend(lines);
                if !is_served {
                    self.phase = Phase::Ending;
                }
            }
            Err(too_old) => {
                let refusal = Refusal::too_old(position, too_old.oldest);
                self.ready.push_back(Line::Error(refusal));
                self.phase = Phase::Ending;
            }
        }
    }

    fn write(&self, line: &Line) -> Vec<u8> {
        let (kind, object) = match line {
            Line::Event(kind, object) => (*kind, self.present(object)),
            Line::Departed(object, version) => {
                let mut object = self.present(object);
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                ("DELETED", object)
            }
            Line::Bookmark {
                version,
                ends_initial,
            } => ("BOOKMARK", self.bookmark(*version, *ends_initial)),
            Line::Error(refusal) => ("ERROR", refusal.to_value()),
        };
        let mut bytes = json!({ "type": kind, "object": object })
            .to_string()
            .into_bytes();
        bytes.push(b'\n');
        bytes
    }

    fn present(&self, object: &Arc<Value>) -> Value {
        if self.form == Form::Metadata {
            return respond::partial(object);
        }
        Value::clone(&self.target.present(object))
    }

    fn bookmark(&self, version: u64, ends_initial: bool) -> Value {
        let mut metadata =
            json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if ends_initial {
            metadata["annotations"] = json!({ (INITIAL_END): "true" });
        }
        let (kind, api_version) = match self.form {
            Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            Form::Whole | Form::Aggregated => {
                (self.target.kind.kind.as_str(), self.target.api_version())
            }
        };
        json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata })
    }
}
