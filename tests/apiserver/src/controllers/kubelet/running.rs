//! What runs in a container, and its probes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::Instant;

use super::child::{self, Child};
use super::container::Around;
use super::probe::Probe;
use super::{Disks, prepare};
use crate::controllers::Cluster;
use crate::controllers::room::Room;
use crate::controllers::shell::{self, End, Pause, Process};
use crate::controllers::view::{items, name, namespace, number, text, uid};

/// How often a program of this machine is looked at, by the wall clock.
const LOOK_AT_PROGRAMS: Duration = Duration::from_millis(50);

/// What runs in a container.
#[derive(Debug)]
pub(super) enum Body {
    /// A script, which is played.
    Script(Process),
    /// The image's own program, which stands for one of this machine.
    Real(Box<Child>),
    /// The image's own program, of which nothing is known: it serves for ever.
    Unknown,
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) body: Body,
    pub(super) room: Room,
    pub(super) wake: Instant,
    pub(super) since: SystemTime,
    pub(super) startup: Option<Probe>,
    pub(super) liveness: Option<Probe>,
    pub(super) readiness: Option<Probe>,
    /// It was asked to end, and is killed then.
    pub(super) kill_at: Option<Instant>,
    pub(super) is_killed: bool,
}

impl Running {
    pub(super) fn stop(&mut self, cluster: &mut Cluster, grace_seconds: i64) {
        if self.kill_at.is_some() {
            return;
        }
        let at = cluster.clock.now() + cluster.clock.seconds(grace_seconds);
        self.kill_at = Some(at);
        match &mut self.body {
            Body::Script(process) => {
                if process.terminate() {
                    self.wake = cluster.clock.now();
                }
            }
            Body::Real(child) => child.terminate(),
            // What nothing is known of is taken to end when it is told to.
            Body::Unknown => self.is_killed = true,
        }
    }

    pub(super) fn run(&mut self, cluster: &mut Cluster, around: &Around<'_>) -> Option<End> {
        let end = self.run_body(cluster);
        let (space, pod) = (namespace(around.pod), name(around.pod));
        for line in self.room.take_output().lines() {
            cluster
                .logs()
                .append(space, pod, text(around.spec, "/name"), line);
        }
        if end.is_some() {
            return end;
        }
        if self.is_killed {
            let was_asked = matches!(self.body, Body::Unknown) && self.kill_at.is_some();
            return Some(self.kill(if was_asked { 0 } else { 137 }));
        }
        if let Some(at) = self.kill_at {
            return cluster.clock.is_over(at).then(|| self.kill(137));
        }
        self.probe(cluster, around);
        None
    }

    fn kill(&mut self, code: i32) -> End {
        if let Body::Real(child) = &mut self.body {
            child.kill();
        }
        End::Exit(code)
    }

    fn run_body(&mut self, cluster: &mut Cluster) -> Option<End> {
        let process = match &mut self.body {
            Body::Script(process) => process,
            Body::Real(child) => {
                let next_look = cluster.clock.now() + LOOK_AT_PROGRAMS;
                cluster.clock.wake(next_look);
                return child.look(&mut self.room);
            }
            Body::Unknown => return None,
        };
        while cluster.clock.is_over(self.wake) {
            match process.run(&mut self.room) {
                Pause::Ended(end) => return Some(end),
                Pause::For(time) => {
                    self.wake = cluster.clock.after(time);
                    if time.is_zero() {
                        cluster.clock.wake(self.wake);
                        break;
                    }
                }
            }
        }
        None
    }

    fn probe(&mut self, cluster: &mut Cluster, around: &Around<'_>) {
        let mut is_hanging = false;
        let kinds = [
            ("startupProbe", "Startup", &mut self.startup),
            ("livenessProbe", "Liveness", &mut self.liveness),
            ("readinessProbe", "Readiness", &mut self.readiness),
        ];
        for (field, word, probe) in kinds {
            let (Some(spec), Some(probe)) = (around.spec.get(field), probe.as_mut()) else {
                continue;
            };
            // Nothing else is asked once the startup probe has succeeded, and nothing before.
            if field == "startupProbe" && probe.verdict == Some(true) {
                continue;
            }
            let clock = &mut cluster.clock;
            if let Some(answer) = probe.step(spec, around.spec, &mut self.room, clock)
                && let Some(failure) = answer.failure
            {
                let message = format!("{word} probe failed: {failure}");
                around.warn(cluster, "Unhealthy", &message);
            }
            if field == "startupProbe" && probe.verdict != Some(true) {
                is_hanging |= probe.verdict == Some(false);
                break;
            }
            is_hanging |= field == "livenessProbe" && probe.verdict == Some(false);
        }
        if is_hanging {
            let own = text(around.spec, "/name");
            let message = format!("Container {own} failed liveness probe, will be restarted");
            around.tell(cluster, "Killing", &message);
            self.stop(cluster, grace(around.pod));
        }
    }
}

/// Seconds that the containers of a pod have to end.
pub(super) fn grace(pod: &Value) -> i64 {
    number(pod, "/metadata/deletionGracePeriodSeconds")
        .or_else(|| number(pod, "/spec/terminationGracePeriodSeconds"))
        .unwrap_or(30)
}

/// What a container runs; the error is what the system says when there is no such program.
pub(super) fn body(
    cluster: &Cluster,
    disks: &mut Disks,
    around: &Around<'_>,
    room: &mut Room,
) -> Result<Body, String> {
    let command = words(around.spec, "/command", room);
    let arguments = words(around.spec, "/args", room);
    if let Some(program) = command.first() {
        let all: Vec<String> = command.iter().chain(&arguments).cloned().collect();
        let found = shell::program(&all);
        let found = found
            .ok_or_else(|| format!("{program:?}: stat {program}: no such file or directory"))?;
        return Ok(Body::Script(Process::new(Arc::new(found))));
    }
    let Some(program) = cluster.scene.programs.get(text(around.spec, "/image")) else {
        return Ok(Body::Unknown);
    };
    let mut start = || {
        let all = disks.folder()?;
        let [of_pod, own] = child::folders(all, uid(around.pod), text(around.spec, "/name"));
        let shown = prepare::folders(around.pod, around.spec, room, [&of_pod, &own])?;
        room.is_real = true;
        Child::start(program, &arguments, room, shown, &own)
    };
    let child = start().map_err(|error| format!("{:?}: {error}", program.path))?;
    Ok(Body::Real(Box::new(child)))
}

fn words(spec: &Value, pointer: &str, room: &Room) -> Vec<String> {
    let words = items(spec, pointer).iter().filter_map(Value::as_str);
    words.map(|word| prepare::expand(word, &room.env)).collect()
}
