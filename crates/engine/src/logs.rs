//! The log of an application: the output of all of its instances, merged.
//!
//! What exists is merged by time exactly. A follower gathers what comes within a short window and
//! sorts that, so lines of different instances stand in the order of their time as far as that is
//! known. Instances that are started later are followed, too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::runtime_config::split_invocation;
use baetyl_process::InstanceId;
use baetyl_process::logs::{LogQuery as Reading, LogRecord, Output};
use baetyl_proto::node::v1::LogLine;
use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::driver::{Driver, DriverError};

/// How long a follower gathers lines before it sorts and gives them.
const WINDOW: Duration = Duration::from_millis(25);

/// The most lines that are gathered.
const MAX_WINDOW: usize = 1024;

/// The most lines that a tail may ask for.
pub const MAX_TAIL: usize = 10_000;

/// Which lines to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Name of the application.
    pub application: String,
    /// Only this service.
    pub service: Option<String>,
    /// Goes on with new lines until the application is removed.
    pub follow: bool,
    /// Only the last lines of each instance, at most [`MAX_TAIL`]; all when absent.
    pub tail: Option<usize>,
    /// Only lines since then.
    pub since: Option<SystemTime>,
    /// Only lines of invocations whose id starts so.
    pub invocation_id: Option<String>,
}

/// An instance whose log exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSource {
    pub(crate) id: InstanceId,
    pub(crate) service: String,
}

/// Instances with logs, by application.
pub(crate) type Sources = watch::Receiver<Arc<BTreeMap<String, Vec<LogSource>>>>;

/// Lines of a log as they are read.
pub type LogLines = BoxStream<'static, Result<LogLine, DriverError>>;

type Lines = LogLines;

/// Reads the logs of applications, whatever runs them.
pub(crate) trait LogReader: Send + Sync + 'static {
    /// Returns the lines that a query asks for; `None` when nothing of that name is on the node.
    fn read(&self, query: LogQuery) -> Option<LogLines>;
}

/// The instances of one application, as they come and go.
pub(crate) trait Instances: Send + 'static {
    /// Streams of the instances that were not seen before; `None` when the application is gone.
    fn fresh(&mut self, is_first: bool) -> Option<Vec<LogLines>>;

    /// Waits until there may be others; false when there never will. Cancel safe.
    fn changed(&mut self) -> impl Future<Output = bool> + Send;
}

/// Reads the output of processes.
pub(crate) struct ProcessLogs {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) sources: Sources,
}

impl LogReader for ProcessLogs {
    fn read(&self, query: LogQuery) -> Option<LogLines> {
        let is_known = self.sources.borrow().contains_key(&query.application);
        is_known.then(|| read(self.driver.clone(), self.sources.clone(), query))
    }
}

/// Reads the log of an application.
pub(crate) fn read(driver: Arc<dyn Driver>, sources: Sources, query: LogQuery) -> Lines {
    let reader = Reader {
        driver,
        sources,
        query,
        seen: BTreeSet::new(),
    };
    match reader.query.follow {
        true => follow(reader),
        false => existing(reader),
    }
}

struct Reader {
    driver: Arc<dyn Driver>,
    sources: Sources,
    query: LogQuery,
    seen: BTreeSet<InstanceId>,
}

impl Instances for Reader {
    fn fresh(&mut self, is_first: bool) -> Option<Vec<Lines>> {
        let all = self.sources.borrow_and_update().clone();
        let sources = all.get(&self.query.application)?;
        // Ids are never used twice, so what is gone need not be remembered.
        self.seen
            .retain(|id| sources.iter().any(|source| source.id == *id));
        let wanted = |source: &&LogSource| {
            let service = self.query.service.as_ref();
            service.is_none_or(|service| *service == source.service)
        };
        let mut streams = Vec::new();
        for source in sources.iter().filter(wanted) {
            if self.seen.insert(source.id.clone()) {
                streams.push(self.lines(source, is_first));
            }
        }
        Some(streams)
    }

    async fn changed(&mut self) -> bool {
        self.sources.changed().await.is_ok()
    }
}

impl Reader {
    fn lines(&self, source: &LogSource, is_first: bool) -> Lines {
        let tail = self.query.tail.map(|tail| tail.min(MAX_TAIL));
        let invocation = self.query.invocation_id.clone();
        let reading = Reading {
            // What starts while somebody follows is read from its beginning, and lines of an
            // invocation are counted once they are told apart.
            tail_lines: tail
                .filter(|_| is_first && invocation.is_none())
                .and_then(|tail| u64::try_from(tail).ok()),
            since: self.query.since,
            follow: self.query.follow,
            limit_bytes: None,
        };
        let records = self.driver.logs(&source.id, reading);
        let source = source.clone();
        let lines = records.filter_map(move |record| {
            let line = record.map(|record| line(&source, record));
            let is_wanted = match (&line, &invocation) {
                (Ok(line), Some(wanted)) => line.invocation_id.starts_with(wanted.as_str()),
                (Ok(_) | Err(_), _) => true,
            };
            std::future::ready(is_wanted.then_some(line))
        });
        match (tail, &self.query.invocation_id) {
            (Some(tail), Some(_)) if !self.query.follow => last(lines.boxed(), tail),
            _ => lines.boxed(),
        }
    }
}

fn line(source: &LogSource, record: LogRecord) -> LogLine {
    let (invocation_id, text) = split_invocation(&record.text);
    LogLine {
        time: Some(crate::status::timestamp(record.time)),
        service: source.service.clone(),
        instance_id: source.id.to_string(),
        stream: match record.output {
            Output::Stdout => "stdout".to_owned(),
            Output::Stderr => "stderr".to_owned(),
        },
        invocation_id: invocation_id.unwrap_or_default().to_owned(),
        text: text.to_owned(),
    }
}

/// The last lines of a stream that ends.
pub(crate) fn last(lines: Lines, count: usize) -> Lines {
    let kept = async move {
        let mut kept = VecDeque::new();
        let mut lines = lines;
        while let Some(line) = lines.next().await {
            if kept.len() >= count.max(1) {
                kept.pop_front();
            }
            kept.push_back(line);
        }
        stream::iter(kept)
    };
    stream::once(kept).flatten().boxed()
}

fn key(line: &LogLine) -> (i64, i32) {
    line.time
        .as_ref()
        .map_or((0, 0), |time| (time.seconds, time.nanos))
}

/// Merges what exists: always the oldest of the lines that come next.
pub(crate) fn existing(mut reader: impl Instances) -> Lines {
    struct Head {
        next: Option<Result<LogLine, DriverError>>,
        rest: Lines,
    }
    let heads = async move {
        let mut heads = Vec::new();
        for mut rest in reader.fresh(true).unwrap_or_default() {
            let next = rest.next().await;
            heads.push(Head { next, rest });
        }
        heads
    };
    stream::once(heads)
        .flat_map(|heads| {
            stream::unfold(heads, |mut heads: Vec<Head>| async {
                let oldest = heads
                    .iter_mut()
                    .filter(|head| head.next.is_some())
                    // An error comes first, and ends its stream.
                    .min_by_key(|head| match &head.next {
                        Some(Ok(line)) => key(line),
                        Some(Err(_)) | None => (i64::MIN, 0),
                    })?;
                let line = oldest.next.take()?;
                oldest.next = oldest.rest.next().await;
                Some((line, heads))
            })
        })
        .boxed()
}

/// Gives lines as they come, sorted within a short window.
pub(crate) fn follow(reader: impl Instances) -> Lines {
    struct State<R> {
        reader: R,
        streams: SelectAll<Lines>,
        is_first: bool,
    }
    let state = State {
        reader,
        streams: SelectAll::new(),
        is_first: true,
    };
    stream::unfold(Some(state), |state| async {
        let mut state = state?;
        loop {
            if state.is_first {
                state.streams.extend(state.reader.fresh(true)?);
                state.is_first = false;
            }
            // Both are cancel safe: a level, and the next item of streams that stay.
            tokio::select! {
                may_have_more = state.reader.changed() => {
                    may_have_more.then_some(())?;
                    state.streams.extend(state.reader.fresh(false)?);
                }
                Some(first) = state.streams.next() => {
                    let lines = gather(first, &mut state.streams).await;
                    return Some((stream::iter(lines), Some(state)));
                }
            }
        }
    })
    .flatten()
    .boxed()
}

async fn gather(
    first: Result<LogLine, DriverError>,
    streams: &mut SelectAll<Lines>,
) -> Vec<Result<LogLine, DriverError>> {
    let until = Instant::now() + WINDOW;
    let mut lines = vec![first];
    while lines.len() < MAX_WINDOW {
        match timeout_at(until, streams.next()).await {
            Ok(Some(line)) => lines.push(line),
            Ok(None) | Err(_) => break,
        }
    }
    lines.sort_by_key(|line| match line {
        Ok(line) => key(line),
        Err(_) => (i64::MIN, 0),
    });
    lines
}

#[cfg(test)]
mod tests;
