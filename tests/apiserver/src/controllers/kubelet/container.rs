//! One container: fetched, made, run, probed, ended and started again.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::Instant;

use super::probe::Probe;
use super::running::{Body, Running, body};
use super::{Disks, image, prepare};
use crate::controllers::Cluster;
use crate::controllers::room::Volume;
use crate::controllers::shell::End;
use crate::controllers::view::{name, namespace, text, uid};

/// How long it takes to fetch an image.
const FETCH: Duration = Duration::from_millis(500);

/// How long it takes to make a container.
const MAKE: Duration = Duration::from_millis(200);

/// How long `ErrImagePull` stands before it is `ImagePullBackOff`.
const FETCH_FAILED: Duration = Duration::from_secs(1);

/// How long until something that is missing is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How much of its log says why a container ended.
const LAST_LINES: usize = 80;
const LAST_BYTES: usize = 2048;

/// The first and the longest back-off, of images and of containers.
const BACK_OFF: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(300)];

/// One container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    /// What it shows.
    pub(super) state: State,
    /// How it ended before it was started again.
    pub(super) last: Option<Ended>,
    /// How often it was started again.
    pub(super) restarts: u32,
    pub(super) is_ready: bool,
    pub(super) is_started: bool,
    next: Next,
    fetch_back_off: Duration,
    crash_back_off: Duration,
}

/// What a container shows.
#[derive(Debug)]
pub(super) enum State {
    Waiting {
        reason: &'static str,
        message: String,
    },
    Running(Box<Running>),
    Ended(Ended),
}

/// What comes next, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Fetch(Instant),
    Fetched(Instant),
    BackOffFetch(Instant),
    Make(Instant),
    Restart(Instant),
    Nothing,
}

/// How a container ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) since: SystemTime,
    pub(super) at: SystemTime,
}

/// Where a container stands in its pod.
pub(super) struct Around<'a> {
    pub(super) pod: &'a Value,
    pub(super) spec: &'a Value,
    pub(super) is_init: bool,
    pub(super) volumes: &'a BTreeMap<String, Volume>,
    pub(super) address: &'a str,
}

impl Around<'_> {
    pub(super) fn warn(&self, cluster: &mut Cluster, reason: &str, message: &str) {
        cluster.told(self.pod, &self.part(), true, reason, message);
    }

    pub(super) fn tell(&self, cluster: &mut Cluster, reason: &str, message: &str) {
        cluster.told(self.pod, &self.part(), false, reason, message);
    }

    fn part(&self) -> String {
        let list = if self.is_init {
            "initContainers"
        } else {
            "containers"
        };
        format!("spec.{list}{{{}}}", text(self.spec, "/name"))
    }
}

impl Container {
    pub(super) fn new(spec: &Value) -> Self {
        Self {
            name: text(spec, "/name").to_owned(),
            state: State::Waiting {
                reason: "PodInitializing",
                message: String::new(),
            },
            last: None,
            restarts: 0,
            is_ready: false,
            is_started: false,
            next: Next::Nothing,
            fetch_back_off: BACK_OFF[0],
            crash_back_off: Duration::ZERO,
        }
    }

    /// Lets it begin, when it has not.
    pub(super) fn begin(&mut self, cluster: &Cluster) {
        let is_new = matches!(
            &self.state,
            State::Waiting {
                reason: "PodInitializing" | "ContainerCreating",
                ..
            }
        );
        if self.next == Next::Nothing && is_new {
            self.wait("ContainerCreating", String::new());
            self.next = Next::Fetch(cluster.clock.now());
        }
    }

    pub(super) fn wait(&mut self, reason: &'static str, message: String) {
        self.state = State::Waiting { reason, message };
    }

    /// Whether it has ended for good.
    pub(super) fn end(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(ended) if self.next == Next::Nothing => Some(ended),
            State::Ended(_) | State::Waiting { .. } | State::Running(_) => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Kills its process. Returns whether there was one.
    pub(super) fn kill(&mut self) -> bool {
        match &mut self.state {
            State::Running(running) => {
                running.is_killed = true;
                true
            }
            State::Waiting { .. } | State::Ended(_) => false,
        }
    }

    /// What it finds in a file while it runs.
    pub(super) fn see(&self, path: &str) -> Option<String> {
        match &self.state {
            State::Running(running) => running.room.read(path),
            State::Waiting { .. } | State::Ended(_) => None,
        }
    }

    /// Asks its process to end, and kills it when the time is over.
    pub(super) fn stop(&mut self, cluster: &mut Cluster, grace_seconds: i64) {
        self.next = Next::Nothing;
        if let State::Running(running) = &mut self.state {
            running.stop(cluster, grace_seconds);
        }
    }

    /// Takes every step that is due.
    pub(super) fn step(
        &mut self,
        cluster: &mut Cluster,
        disks: &mut Disks,
        around: &Around<'_>,
        may_restart: bool,
    ) {
        // Each step leads to one that is due later or to none, within a few.
        for _ in 0..8 {
            let due = match self.next {
                Next::Fetch(at)
                | Next::Fetched(at)
                | Next::BackOffFetch(at)
                | Next::Make(at)
                | Next::Restart(at) => at,
                Next::Nothing => break,
            };
            if !cluster.clock.is_over(due) {
                break;
            }
            match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Fetch(_) => self.fetch(cluster, disks, around),
                Next::Fetched(_) => self.fetched(cluster, disks, around),
                Next::BackOffFetch(_) => {
                    let message =
                        format!("Back-off pulling image {:?}", text(around.spec, "/image"));
                    self.wait("ImagePullBackOff", message.clone());
                    around.tell(cluster, "BackOff", &message);
                    around.warn(cluster, "Failed", "Error: ImagePullBackOff");
                    let wait = self.fetch_back_off - FETCH_FAILED;
                    self.fetch_back_off = (self.fetch_back_off * 2).min(BACK_OFF[1]);
                    self.next = Next::Fetch(cluster.clock.after(wait));
                }
                Next::Make(_) => self.make(cluster, disks, around),
                Next::Restart(_) => {
                    if let State::Ended(ended) = &self.state {
                        self.last = Some(ended.clone());
                    }
                    self.restarts += 1;
                    self.next = Next::Fetch(cluster.clock.now());
                }
                Next::Nothing => {}
            }
        }
        self.run(cluster, around, may_restart);
    }

    fn fetch(&mut self, cluster: &mut Cluster, disks: &Disks, around: &Around<'_>) {
        let image = text(around.spec, "/image");
        let again = Next::Fetch(cluster.clock.after(LOOK_AGAIN));
        if !image::is_valid(image) {
            let message = format!(
                "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: \
                 invalid reference format"
            );
            self.wait("InvalidImageName", message.clone());
            around.warn(cluster, "InspectFailed", &message);
            around.warn(cluster, "Failed", "Error: InvalidImageName");
            self.next = again;
            return;
        }
        let machine = text(around.pod, "/spec/nodeName").to_owned();
        let has = disks.images.contains(&(machine, image.to_owned()));
        let policy = match text(around.spec, "/imagePullPolicy") {
            "" if image.ends_with(":latest") || !image.contains(':') => "Always",
            "" => "IfNotPresent",
            policy => policy,
        };
        if has && policy != "Always" {
            let message = format!("Container image {image:?} already present on machine");
            around.tell(cluster, "Pulled", &message);
            self.next = Next::Make(cluster.clock.after(MAKE));
        } else if policy == "Never" {
            let message =
                format!("Container image {image:?} is not present with pull policy of Never");
            self.wait("ErrImageNeverPull", message.clone());
            around.warn(cluster, "ErrImageNeverPull", &message);
            around.warn(cluster, "Failed", "Error: ErrImageNeverPull");
            self.next = again;
        } else {
            let message = format!("Pulling image {image:?}");
            around.tell(cluster, "Pulling", &message);
            self.next = Next::Fetched(cluster.clock.after(FETCH));
        }
    }

    fn fetched(&mut self, cluster: &mut Cluster, disks: &mut Disks, around: &Around<'_>) {
        let image = text(around.spec, "/image");
        let scene = &cluster.scene;
        if scene.images.contains(image) || scene.programs.contains_key(image) {
            let machine = text(around.pod, "/spec/nodeName").to_owned();
            disks.images.insert((machine, image.to_owned()));
            let message = format!("Successfully pulled image {image:?}");
            around.tell(cluster, "Pulled", &message);
            self.fetch_back_off = BACK_OFF[0];
            self.next = Next::Make(cluster.clock.after(MAKE));
            return;
        }
        let refusal = image::refusal(image);
        let message = format!("Failed to pull image {image:?}: {refusal}");
        around.warn(cluster, "Failed", &message);
        around.warn(cluster, "Failed", "Error: ErrImagePull");
        self.wait("ErrImagePull", refusal);
        self.next = Next::BackOffFetch(cluster.clock.after(FETCH_FAILED));
    }

    fn make(&mut self, cluster: &mut Cluster, disks: &mut Disks, around: &Around<'_>) {
        let made = prepare::room(
            cluster,
            around.pod,
            around.spec,
            around.volumes,
            around.address,
        );
        let mut room = match made {
            Ok(room) => room,
            Err(message) => {
                self.wait("CreateContainerConfigError", message.clone());
                around.warn(cluster, "Failed", &format!("Error: {message}"));
                self.next = Next::Make(cluster.clock.after(LOOK_AGAIN));
                return;
            }
        };
        let own = text(around.spec, "/name");
        around.tell(cluster, "Created", &format!("Created container: {own}"));
        let body = match body(cluster, disks, around, &mut room) {
            Ok(body) => body,
            Err(problem) => {
                self.not_started(cluster, around, &problem);
                return;
            }
        };
        room.is_own_program = matches!(body, Body::Unknown);
        around.tell(cluster, "Started", &format!("Started container {own}"));
        let (space, pod) = (namespace(around.pod), name(around.pod));
        if self.restarts > 0 {
            cluster.logs().restart(space, pod, own);
        }
        let clock = &cluster.clock;
        let probe = |field: &str| around.spec.get(field).map(|spec| Probe::new(spec, clock));
        self.is_started = around.spec.get("startupProbe").is_none();
        self.is_ready = false;
        self.state = State::Running(Box::new(Running {
            body,
            room,
            wake: cluster.clock.now(),
            since: SystemTime::now(),
            startup: probe("startupProbe"),
            liveness: probe("livenessProbe"),
            readiness: probe("readinessProbe"),
            kill_at: None,
            is_killed: false,
        }));
    }

    fn not_started(&mut self, cluster: &mut Cluster, around: &Around<'_>, problem: &str) {
        let message = format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to start container process: error during container \
             init: exec: {problem}: unknown"
        );
        around.warn(cluster, "Failed", &format!("Error: {message}"));
        let now = SystemTime::now();
        let ended = Ended {
            code: 128,
            reason: "StartError",
            message,
            since: SystemTime::UNIX_EPOCH,
            at: now,
        };
        self.ended(cluster, around, ended, true);
    }

    /// Runs the process and its probes.
    fn run(&mut self, cluster: &mut Cluster, around: &Around<'_>, may_restart: bool) {
        let State::Running(running) = &mut self.state else {
            return;
        };
        let end = running.run(cluster, around);
        match end {
            Some(end) => {
                let since = running.since;
                let (code, reason) = match end {
                    End::Exit(0) => (0, "Completed"),
                    End::Exit(code) => (code, "Error"),
                    End::OutOfMemory => (137, "OOMKilled"),
                };
                let (space, pod) = (namespace(around.pod), name(around.pod));
                let policy = text(around.spec, "/terminationMessagePolicy");
                let message = match policy == "FallbackToLogsOnError" && code != 0 {
                    true => last_words(cluster, around),
                    false => String::new(),
                };
                let ended = Ended {
                    code,
                    reason,
                    message,
                    since,
                    at: SystemTime::now(),
                };
                cluster.logs().end(space, pod, text(around.spec, "/name"));
                self.ended(cluster, around, ended, may_restart);
            }
            None => {
                let is_probed = |probe: &Option<Probe>| match probe {
                    Some(probe) => probe.verdict == Some(true),
                    None => true,
                };
                self.is_started = is_probed(&running.startup);
                self.is_ready = self.is_started
                    && is_probed(&running.readiness)
                    && !around.is_init
                    && running.kill_at.is_none();
            }
        }
    }

    fn ended(
        &mut self,
        cluster: &mut Cluster,
        around: &Around<'_>,
        ended: Ended,
        may_restart: bool,
    ) {
        self.is_ready = false;
        self.is_started = false;
        let policy = text(around.pod, "/spec/restartPolicy");
        let is_wanted = match policy {
            "Never" => false,
            "OnFailure" => ended.code != 0,
            // An init container is done when it ended well.
            _ => !(around.is_init && ended.code == 0),
        };
        if !is_wanted || !may_restart {
            self.state = State::Ended(ended);
            self.next = Next::Nothing;
            return;
        }
        let wait = self.crash_back_off;
        self.crash_back_off = (wait * 2).clamp(BACK_OFF[0], BACK_OFF[1]);
        if wait.is_zero() {
            self.state = State::Ended(ended);
            self.next = Next::Restart(cluster.clock.after(MAKE));
            return;
        }
        self.last = Some(ended);
        let (own, space, pod) = (
            text(around.spec, "/name"),
            namespace(around.pod),
            name(around.pod),
        );
        let uid = uid(around.pod);
        let message = format!(
            "back-off {}s restarting failed container={own} pod={pod}_{space}({uid})",
            wait.as_secs()
        );
        self.wait("CrashLoopBackOff", message);
        let message =
            format!("Back-off restarting failed container {own} in pod {pod}_{space}({uid})");
        around.warn(cluster, "BackOff", &message);
        self.next = Next::Restart(cluster.clock.after(wait));
    }
}

/// The end of what a container wrote.
fn last_words(cluster: &Cluster, around: &Around<'_>) -> String {
    let (space, pod) = (namespace(around.pod), name(around.pod));
    let own = text(around.spec, "/name");
    let read = cluster.logs().read(space, pod, own, false, 0);
    let lines = read.unwrap_or_default().lines;
    let first = lines.len().saturating_sub(LAST_LINES);
    let text: String = lines[first..]
        .iter()
        .map(|line| format!("{}\n", line.text))
        .collect();
    let cut = text.ceil_char_boundary(text.len().saturating_sub(LAST_BYTES));
    text[cut..].to_owned()
}
