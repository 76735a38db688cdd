//! Logs of pods: all containers of an application, merged.
//!
//! An instance is a pod, a service is a container. What the container that ran before said (the
//! cluster keeps that of one) stands before what the present one says. A follower takes up pods and
//! containers that start later, and goes on where it stood when a connection breaks. Dropping the
//! stream ends the requests.

mod container;
mod pieces;

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_proto::node::v1::LogLine;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::Client;
use tokio::sync::watch;

use super::facts::{AppFacts, ContainerFacts, ContainerState, PodFacts};
use super::watch::Watches;
use crate::driver::DriverError;
use crate::logs::{Instances, LogQuery, MAX_TAIL, existing, follow, last};
use container::{Container, Reading};

/// The most containers whose logs are read at a time: each is one connection.
const MAX_CONTAINERS: usize = 64;

type Lines = BoxStream<'static, Result<LogLine, DriverError>>;

/// Reads the log of an application. A follower ends when the application is gone; one that waits
/// for an application that was never seen does so until it is dropped.
///
/// # Errors
/// An item of the stream: a log cannot be read, or there are more than 64 containers and none was
/// chosen.
#[must_use]
pub fn read(watches: Watches, client: Client, query: LogQuery) -> Lines {
    let facts = watches.facts(&query.application);
    let pods = Pods {
        client,
        facts,
        query,
        seen: BTreeMap::new(),
        was_there: false,
    };
    match pods.query.follow {
        true => follow(pods),
        false => existing(pods),
    }
}

/// A container: its pod's uid and its name.
type Id = (String, String);

struct Pods {
    client: Client,
    facts: watch::Receiver<Arc<AppFacts>>,
    query: LogQuery,
    /// How often each container had been started again when its log was last opened.
    seen: BTreeMap<Id, u32>,
    was_there: bool,
}

impl Instances for Pods {
    fn fresh(&mut self, is_first: bool) -> Option<Vec<Lines>> {
        let facts = self.facts.borrow_and_update().clone();
        let is_there = !facts.pods.is_empty() || !facts.objects.is_empty();
        if !is_there && (self.was_there || !self.query.follow) {
            return None;
        }
        self.was_there |= is_there;
        let spoken = self.spoken(&facts);
        let all: Vec<Id> = spoken.iter().map(Spoken::id).collect();
        self.seen.retain(|id, _| all.contains(id));
        let mut streams = Vec::new();
        for spoken in spoken {
            let known = self.seen.get(&spoken.id()).copied();
            let restarts = spoken.container.restarts;
            if known.is_some_and(|known| restarts <= known) {
                continue;
            }
            if known.is_none() && self.seen.len() >= MAX_CONTAINERS {
                streams.push(too_many(all.len()));
                break;
            }
            self.seen.insert(spoken.id(), restarts);
            // What ran between two looks has not been read.
            let has_skipped = known.is_none_or(|known| restarts > known + 1);
            streams.push(self.lines(&spoken, is_first, has_skipped));
        }
        Some(streams)
    }

    async fn changed(&mut self) -> bool {
        self.facts.changed().await.is_ok()
    }
}

impl Pods {
    /// The containers that have said something, and are asked for.
    fn spoken<'a>(&self, facts: &'a AppFacts) -> Vec<Spoken<'a>> {
        let mut all = Vec::new();
        for (id, pod) in &facts.pods {
            let name = id.rsplit_once('/').map_or(id.as_str(), |(_, name)| name);
            for container in &pod.containers {
                let wanted = self.query.service.as_ref();
                let is_wanted = wanted.is_none_or(|service| *service == container.name);
                if is_wanted && has_spoken(container) {
                    all.push(Spoken {
                        name,
                        pod,
                        container,
                    });
                }
            }
        }
        all
    }

    fn lines(&self, spoken: &Spoken<'_>, is_first: bool, has_skipped: bool) -> Lines {
        let Spoken {
            name,
            pod,
            container,
        } = *spoken;
        // While it waits, the last one is the present one.
        let has_previous = container.last_termination.is_some()
            && !matches!(container.state, ContainerState::Waiting { .. });
        let reading = Reading {
            client: self.client.clone(),
            facts: self.facts.clone(),
            container: Container {
                namespace: pod.namespace.clone(),
                pod: name.to_owned(),
                uid: pod.uid.clone(),
                name: container.name.clone(),
                restarts: container.restarts,
            },
            since: self.query.since,
            follow: self.query.follow,
        };
        let invocation = self.query.invocation_id.clone();
        // What starts while somebody follows is read from its beginning, and lines of an invocation
        // are counted once they are told apart.
        let tail = self.query.tail.filter(|_| is_first);
        let tail = tail.map(|tail| tail.min(MAX_TAIL));
        let cut = tail.filter(|_| invocation.is_none());
        let lines = reading.lines(has_previous && has_skipped, cut);
        let Some(wanted) = invocation else {
            return lines;
        };
        let lines = lines.filter(move |line| {
            let is_wanted = match line {
                Ok(line) => line.invocation_id.starts_with(&wanted),
                Err(_) => true,
            };
            std::future::ready(is_wanted)
        });
        match tail {
            Some(tail) if !self.query.follow => last(lines.boxed(), tail),
            Some(_) | None => lines.boxed(),
        }
    }
}

/// A container that has said something.
struct Spoken<'a> {
    name: &'a str,
    pod: &'a PodFacts,
    container: &'a ContainerFacts,
}

impl Spoken<'_> {
    fn id(&self) -> Id {
        (self.pod.uid.clone(), self.container.name.clone())
    }
}

/// Whether a container runs or ran, so that there is a log.
fn has_spoken(container: &ContainerFacts) -> bool {
    match &container.state {
        ContainerState::Running { .. } | ContainerState::Ended(_) => true,
        ContainerState::Waiting { .. } => container.last_termination.is_some(),
    }
}

fn too_many(count: usize) -> Lines {
    let text =
        format!("there are {count} containers, {MAX_CONTAINERS} can be read: name a service");
    let error = DriverError::new("read the logs of all containers", text);
    stream::iter([Err(error)]).boxed()
}
