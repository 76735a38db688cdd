//! What containers wrote: filled in by whoever plays the kubelet, read by requests.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::watch;

/// Lines kept of one run of a container.
const MOST_LINES: usize = 10_000;

/// Which container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct ContainerKey {
    namespace: String,
    pod: String,
    container: String,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) at: SystemTime,
    pub(crate) text: String,
}

/// What one run of a container wrote.
#[derive(Clone, Debug, Default)]
struct Run {
    lines: VecDeque<Line>,
    newest: u64,
    has_ended: bool,
}

#[derive(Debug, Default)]
struct Container {
    current: Run,
    previous: Option<Run>,
    /// Counts runs, so that followers of an old one end.
    runs: u64,
}

/// The output of all containers.
#[derive(Debug, Default)]
pub struct PodLogs {
    containers: Mutex<BTreeMap<ContainerKey, Container>>,
    /// Rises with every line.
    changes: watch::Sender<u64>,
}

/// What a reader gets.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) lines: Vec<Line>,
    /// Which run was read.
    pub(crate) run: u64,
    /// Whether no more lines come.
    pub(crate) has_ended: bool,
}

fn key(namespace: &str, pod: &str, container: &str) -> ContainerKey {
    ContainerKey {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
    }
}

impl PodLogs {
    /// Adds a line that is written now.
    pub fn append(&self, namespace: &str, pod: &str, container: &str, line: &str) {
        self.append_at(namespace, pod, container, SystemTime::now(), line);
    }

    /// Adds a line that was written at a time.
    pub fn append_at(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        at: SystemTime,
        line: &str,
    ) {
        self.change(key(namespace, pod, container), |container| {
            let run = &mut container.current;
            run.newest += 1;
            run.lines.push_back(Line {
                number: run.newest,
                at,
                text: line.to_owned(),
            });
            if run.lines.len() > MOST_LINES {
                run.lines.pop_front();
            }
        });
    }

    /// Starts a container again: what it wrote is then its previous output.
    pub fn restart(&self, namespace: &str, pod: &str, container: &str) {
        self.change(key(namespace, pod, container), |container| {
            let mut ended = std::mem::take(&mut container.current);
            ended.has_ended = true;
            container.previous = Some(ended);
            container.runs += 1;
        });
    }

    /// Ends a container: whoever follows it has read all.
    pub fn end(&self, namespace: &str, pod: &str, container: &str) {
        self.change(key(namespace, pod, container), |container| {
            container.current.has_ended = true;
        });
    }

    /// Forgets all containers of a pod; whoever follows them has read all.
    pub fn forget(&self, namespace: &str, pod: &str) {
        self.containers
            .lock()
            .retain(|key, _| key.namespace != namespace || key.pod != pod);
        self.changes.send_modify(|count| *count += 1);
    }

    fn change(&self, key: ContainerKey, change: impl FnOnce(&mut Container)) {
        change(self.containers.lock().entry(key).or_default());
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Reads the lines after a number; `None` when the container, or its previous run, wrote
    /// nothing.
    pub(crate) fn read(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        is_previous: bool,
        after: u64,
    ) -> Option<Reading> {
        let containers = self.containers.lock();
        let found = containers.get(&key(namespace, pod, container))?;
        let run = if is_previous {
            found.previous.as_ref()?
        } else {
            &found.current
        };
        let lines = run.lines.iter().filter(|line| line.number > after);
        Some(Reading {
            lines: lines.cloned().collect(),
            run: found.runs,
            has_ended: run.has_ended,
        })
    }
}
