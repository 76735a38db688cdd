//! The log of one container: what the one before said, what it says, and what it will say.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use baetyl_model::runtime_config::split_invocation;
use baetyl_proto::node::v1::LogLine;
use baetyl_service_kit::backoff::{Backoff, Bounds};
use baetyl_service_kit::fault::chain;
use futures::stream::{self, BoxStream};
use futures::{AsyncBufRead, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{LogParams, Request};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::facts::{AppFacts, ContainerFacts, ContainerState};
use super::super::watch::kinds::Kind;
use super::super::watch::wire::time;
use super::pieces::Pieces;
use crate::driver::DriverError;

/// How long the start of a log, or its next part when it is not followed, may take.
const REQUEST_BOUND: Duration = Duration::from_secs(30);

/// A log that is followed and silent for so long is opened anew: its connection may be dead.
const SILENCE: Duration = Duration::from_secs(300);

/// A log that ends well is that of a container that has ended, which the watch tells a moment later.
/// Until then the next one's log could be taken for its own.
const END_BOUND: Duration = Duration::from_secs(10);

/// The most that is kept while it is found out how many lines there are, in bytes.
const MAX_KEPT: usize = 1 << 20;

type Lines = BoxStream<'static, Result<LogLine, DriverError>>;

/// One container of one pod, as it was started.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) restarts: u32,
}

/// How a container's log is read.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) client: Client,
    pub(super) facts: watch::Receiver<Arc<AppFacts>>,
    pub(super) container: Container,
    pub(super) since: Option<SystemTime>,
    pub(super) follow: bool,
}

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// The container that ran before.
    Previous,
    /// The container as it is.
    Present,
}

impl Reading {
    /// Reads the log, with that of the container that ran before when that is wanted.
    pub(super) fn lines(self, with_previous: bool, tail: Option<usize>) -> Lines {
        match (with_previous, tail) {
            (false, tail) => self.log(Which::Present, tail),
            // How many of the last lines are of which cannot be known while it goes on.
            (true, Some(tail)) if self.follow => self.log(Which::Present, Some(tail)),
            (true, Some(tail)) => stream::once(self.last(tail)).flatten().boxed(),
            (true, None) => {
                let previous = self.clone().log(Which::Previous, None);
                previous.chain(self.log(Which::Present, None)).boxed()
            }
        }
    }

    /// The last lines of both.
    async fn last(self, tail: usize) -> Lines {
        let mut present = self.clone().log(Which::Present, Some(tail));
        let mut kept = Vec::new();
        let mut bytes = 0;
        while let Some(line) = present.next().await {
            bytes += line.as_ref().map_or(0, |line| line.text.len());
            kept.push(line);
            if bytes > MAX_KEPT {
                return stream::iter(kept).chain(present).boxed();
            }
        }
        let missing = tail.saturating_sub(kept.len());
        if missing == 0 {
            return stream::iter(kept).boxed();
        }
        let previous = self.log(Which::Previous, Some(missing));
        previous.chain(stream::iter(kept)).boxed()
    }

    fn log(self, which: Which, tail: Option<usize>) -> Lines {
        let log = Log {
            follow: self.follow && which == Which::Present,
            reading: self,
            which,
            tail,
            open: None,
            last: None,
            to_skip: 0,
            backoff: Backoff::new(Bounds {
                initial: Duration::from_secs(1),
                ..Bounds::default()
            }),
        };
        stream::unfold(Some(log), |log| async {
            let mut log = log?;
            match log.next().await {
                Ok(line) => line.map(|line| (Ok(line), Some(log))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// Whether the container is still the one that was started, and in what state it is.
    fn state(&self, facts: &AppFacts) -> Option<ContainerState> {
        let wanted = &self.container;
        let pod = facts.pods.values().find(|pod| pod.uid == wanted.uid)?;
        let mut containers = pod.containers.iter();
        let is_same = |container: &&ContainerFacts| {
            container.name == wanted.name && container.restarts == wanted.restarts
        };
        containers.find(is_same).map(|same| same.state.clone())
    }

    fn is_there(&self) -> bool {
        self.state(&self.facts.borrow()).is_some()
    }

    /// Waits for the end of the container; false when it goes on.
    async fn ends(&self) -> bool {
        let mut facts = self.facts.clone();
        let has_ended = |facts: &Arc<AppFacts>| {
            !matches!(self.state(facts), Some(ContainerState::Running { .. }))
        };
        timeout(END_BOUND, facts.wait_for(has_ended)).await.is_ok()
    }
}

/// A log while it is read.
struct Log {
    reading: Reading,
    which: Which,
    follow: bool,
    tail: Option<usize>,
    open: Option<Pieces<Pin<Box<dyn AsyncBufRead + Send>>>>,
    /// Time of the line that was given last, and how many lines of that time were.
    last: Option<(SystemTime, usize)>,
    to_skip: usize,
    backoff: Backoff,
}

/// Why a log cannot be opened or goes on no longer.
enum Obstacle {
    /// There is no such container, or it has said nothing.
    Nothing,
    /// It may work later.
    Passing(DriverError),
    /// It will not.
    Lasting(DriverError),
}

impl Log {
    async fn next(&mut self) -> Result<Option<LogLine>, DriverError> {
        loop {
            match self.piece().await {
                Ok(Some(line)) => {
                    if let Some(line) = self.accept(&line) {
                        return Ok(Some(line));
                    }
                }
                Ok(None) if !self.follow || self.reading.ends().await => return Ok(None),
                Ok(None) => self.open = None,
                Err(Obstacle::Nothing) => return Ok(None),
                Err(Obstacle::Lasting(error)) => return Err(error),
                Err(Obstacle::Passing(error)) if !self.follow => return Err(error),
                Err(Obstacle::Passing(error)) => {
                    tracing::debug!(error = %chain(&error), "log broke");
                    let delay = self.backoff.next_delay(Instant::now());
                    tokio::time::sleep(delay).await;
                    self.open = None;
                    if !self.reading.is_there() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The next line as it comes; `None` at the end.
    async fn piece(&mut self) -> Result<Option<String>, Obstacle> {
        if self.open.is_none() {
            self.open = Some(self.start().await?);
            self.to_skip = self.last.map_or(0, |(_, count)| count);
        }
        let doing = || format!("read the log of {}", self.reading.container.pod);
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let bound = if self.follow { SILENCE } else { REQUEST_BOUND };
        match timeout(bound, open.next()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(Obstacle::Passing(DriverError::new(doing(), error))),
            Err(_) => {
                let error = DriverError::new(doing(), "nothing came for a while");
                Err(Obstacle::Passing(error))
            }
        }
    }

    async fn start(&mut self) -> Result<Pieces<Pin<Box<dyn AsyncBufRead + Send>>>, Obstacle> {
        let container = &self.reading.container;
        let since = self.last.map(|(last, _)| last).or(self.reading.since);
        let params = LogParams {
            container: Some(container.name.clone()),
            follow: self.follow,
            previous: self.which == Which::Previous,
            since_time: since.and_then(whole_second),
            tail_lines: match self.last {
                None => self.tail.and_then(|tail| i64::try_from(tail).ok()),
                Some(_) => None,
            },
            timestamps: true,
            ..LogParams::default()
        };
        let doing = || format!("read the log of {}", container.pod);
        let path = Kind::pod().path(Some(&container.namespace));
        let request = Request::new(path).logs(&container.pod, &params);
        let request =
            request.map_err(|error| Obstacle::Lasting(DriverError::new(doing(), error)))?;
        let opening = self.reading.client.request_stream(request);
        match timeout(REQUEST_BOUND, opening).await {
            Ok(Ok(reader)) => {
                self.backoff.healthy(Instant::now());
                Ok(Pieces::new(Box::pin(reader)))
            }
            Ok(Err(kube::Error::Api(status))) => match status.code {
                // Not started yet, or no previous one; or removed meanwhile.
                400 | 404 => Err(Obstacle::Nothing),
                403 => Err(Obstacle::Lasting(DriverError::new(doing(), status.message))),
                _ => Err(Obstacle::Passing(DriverError::new(doing(), status.message))),
            },
            Ok(Err(error)) => Err(Obstacle::Passing(DriverError::new(doing(), error))),
            Err(_) => {
                let error = DriverError::new(doing(), "no answer in time");
                Err(Obstacle::Passing(error))
            }
        }
    }

    /// Reads a line: its time, and what was said. `None` for one that is not wanted (again).
    fn accept(&mut self, line: &str) -> Option<LogLine> {
        let (at, text) = line.split_once(' ').unwrap_or((line, ""));
        let (at, text) = match time(Some(&at.to_owned())) {
            Some(at) => (at, text),
            // The cluster speaks itself, for example of a log file that is gone.
            None => (self.last.map_or_else(SystemTime::now, |(at, _)| at), line),
        };
        if self.reading.since.is_some_and(|since| at < since) {
            return None;
        }
        match &mut self.last {
            Some((last, _)) if at < *last && self.to_skip > 0 => return None,
            Some((last, count)) if at == *last => {
                if self.to_skip > 0 {
                    self.to_skip -= 1;
                    return None;
                }
                *count += 1;
            }
            Some(_) | None => {
                self.to_skip = 0;
                self.last = Some((at, 1));
            }
        }
        let (invocation_id, text) = split_invocation(text);
        Some(LogLine {
            time: Some(at.into()),
            service: self.reading.container.name.clone(),
            instance_id: self.reading.container.pod.clone(),
            // The cluster does not tell one from the other.
            stream: String::new(),
            invocation_id: invocation_id.unwrap_or_default().to_owned(),
            text: text.to_owned(),
        })
    }
}

/// The cluster looks at whole seconds only.
fn whole_second(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok()
}
