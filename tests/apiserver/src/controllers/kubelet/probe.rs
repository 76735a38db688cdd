//! Probes of a running container.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::controllers::clock::Clock;
use crate::controllers::room::Room;
use crate::controllers::shell;
use crate::controllers::view::{items, number, text};

/// How a probe stands.
#[derive(Debug)]
pub(super) struct Probe {
    next: Instant,
    successes: i64,
    failures: i64,
    /// What it says; `None` before the first answer that counts.
    pub(super) verdict: Option<bool>,
}

/// One answer.
pub(super) struct Answer {
    /// What the kubelet writes of a failure; `None` for a success.
    pub(super) failure: Option<String>,
}

impl Probe {
    /// A probe of a container that starts now.
    pub(super) fn new(spec: &Value, clock: &Clock) -> Self {
        let delay = number(spec, "/initialDelaySeconds").unwrap_or(0);
        Self {
            next: clock.now() + clock.seconds(delay),
            successes: 0,
            failures: 0,
            verdict: None,
        }
    }

    /// Asks when it is time, and returns the answer then.
    pub(super) fn step(
        &mut self,
        spec: &Value,
        container: &Value,
        room: &mut Room,
        clock: &mut Clock,
    ) -> Option<Answer> {
        if !clock.is_over(self.next) {
            return None;
        }
        let period = number(spec, "/periodSeconds").unwrap_or(10).max(1);
        self.next = clock.now() + clock.seconds(period);
        clock.wake(self.next);
        let failure = ask(spec, container, room).err();
        if failure.is_none() {
            self.failures = 0;
            self.successes += 1;
            if self.successes >= number(spec, "/successThreshold").unwrap_or(1) {
                self.verdict = Some(true);
            }
        } else {
            self.successes = 0;
            self.failures += 1;
            if self.failures >= number(spec, "/failureThreshold").unwrap_or(3) {
                self.verdict = Some(false);
            }
        }
        Some(Answer { failure })
    }
}

fn ask(spec: &Value, container: &Value, room: &mut Room) -> Result<(), String> {
    if spec.get("exec").is_some() {
        let words: Vec<String> = items(spec, "/exec/command")
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect();
        let seconds = number(spec, "/timeoutSeconds").unwrap_or(1);
        let Some(program) = shell::program(&words) else {
            return Err(format!("exec: {:?}: not found", words.first()));
        };
        return match shell::probe(&Arc::new(program), room) {
            Some(0) => Ok(()),
            // The words after the colon are what the command printed.
            Some(_) => Err(String::new()),
            None => Err(format!("command timed out after {seconds}s")),
        };
    }
    // A program of the image itself listens wherever it is asked.
    let listens = |port: u16| room.is_own_program || room.ports.contains_key(&port);
    if let Some(check) = spec.get("httpGet") {
        let port = port(check, container);
        if room.is_own_program {
            return Ok(());
        }
        let path = text(check, "/path");
        return match room.answer(port, path) {
            Some(200..=399) => Ok(()),
            Some(code) => Err(format!("HTTP probe failed with statuscode: {code}")),
            None => Err(format!(
                "Get \"http://pod:{port}{path}\": dial tcp pod:{port}: connect: connection refused"
            )),
        };
    }
    if let Some(check) = spec.get("tcpSocket") {
        let port = port(check, container);
        return if listens(port) {
            Ok(())
        } else {
            Err(format!("dial tcp pod:{port}: connect: connection refused"))
        };
    }
    Ok(())
}

/// A port by number or by name.
fn port(check: &Value, container: &Value) -> u16 {
    let number_of = |value: i64| u16::try_from(value).unwrap_or(0);
    if let Some(port) = number(check, "/port") {
        return number_of(port);
    }
    let wanted = text(check, "/port");
    let mut ports = items(container, "/ports").iter();
    let found = ports.find(|port| text(port, "/name") == wanted);
    found
        .and_then(|port| number(port, "/containerPort"))
        .map_or_else(|| wanted.parse().unwrap_or(0), number_of)
}
