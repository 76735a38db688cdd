//! Watches one instance: its probes, and its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baetyl_process::InstanceId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::driver::{Driver, Observation, ProbeCall};
use crate::observed::Doom;
use crate::reason;
use crate::spec::{Probe, ServiceSpec};

/// The first pause between looks at an instance that was never ready; doubles up to the period, so
/// that what starts fast serves soon.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Something happened to an instance.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: InstanceId,
    pub(crate) news: News,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum News {
    /// It can serve, or cannot, and why not.
    Ready { is_ready: bool, message: String },
    /// It hangs.
    Doomed(Doom),
    /// It is no longer running, cannot be observed, or runs after all.
    Observed(Observation),
}

/// What to watch.
pub(super) struct Target {
    pub(super) id: InstanceId,
    /// `None` when it is not known what it is: then only its end is watched.
    pub(super) service: Option<Arc<ServiceSpec>>,
    pub(super) ports: BTreeMap<String, u16>,
    /// It was ready when it was adopted.
    pub(super) is_ready: bool,
    /// It is not known whether it runs.
    pub(super) is_unknown: bool,
    pub(super) retry_period: Duration,
}

/// Watches until the instance has ended.
pub(super) async fn watch(target: Target, driver: Arc<dyn Driver>, events: mpsc::Sender<Event>) {
    let prober = Prober {
        target: &target,
        driver: &driver,
        events: &events,
    };
    if target.is_unknown {
        prober.look().await;
    }
    let probing = prober.run();
    tokio::pin!(probing);
    loop {
        // The probing future is pinned outside; waiting for the end is cancel safe.
        let observation = tokio::select! {
            observation = driver.ended(&target.id) => observation,
            () = &mut probing => return,
        };
        let is_unknown = matches!(observation, Observation::Unknown { .. });
        prober.send(News::Observed(observation)).await;
        if !is_unknown {
            return;
        }
        sleep(target.retry_period).await;
        prober.look().await;
    }
}

struct Prober<'a> {
    target: &'a Target,
    driver: &'a Arc<dyn Driver>,
    events: &'a mpsc::Sender<Event>,
}

impl Prober<'_> {
    /// Looks until it is known how the instance is, and tells when it runs; its end tells itself.
    async fn look(&self) {
        loop {
            let observation = self.driver.observe(&self.target.id).await;
            match observation {
                Observation::Unknown { .. } => sleep(self.target.retry_period).await,
                Observation::Running { .. } => {
                    return self.send(News::Observed(observation)).await;
                }
                Observation::Ended(_) | Observation::Vanished | Observation::Broken => return,
            }
        }
    }

    /// Never returns by itself.
    async fn run(&self) {
        let Some(service) = &self.target.service else {
            return std::future::pending().await;
        };
        let probes = &service.probes;
        if let Some(startup) = &probes.startup
            && !self.target.is_ready
        {
            self.until_doomed(startup, "startup", true).await;
        }
        let readiness = async {
            match &probes.readiness {
                Some(readiness) => self.readiness(readiness).await,
                None if !self.target.is_ready => self.ready(true, String::new()).await,
                None => {}
            }
        };
        let liveness = async {
            if let Some(liveness) = &probes.liveness {
                self.until_doomed(liveness, "liveness", false).await;
            }
        };
        tokio::join!(readiness, liveness);
        std::future::pending().await
    }

    /// Probes until it fails for good, or, when `once`, until it succeeds.
    async fn until_doomed(&self, probe: &Probe, what: &str, once: bool) {
        sleep(probe.initial_delay).await;
        let mut failures = 0;
        loop {
            match self.probe(probe).await {
                Ok(()) if once => return,
                Ok(()) => failures = 0,
                Err(message) => {
                    failures += 1;
                    let message = format!("{what} probe: {message}");
                    if failures >= probe.failures {
                        let doom = Doom {
                            reason: reason::PROBE_FAILED,
                            message,
                            is_gentle: true,
                        };
                        self.send(News::Doomed(doom)).await;
                        return std::future::pending().await;
                    }
                    if once {
                        self.ready(false, message).await;
                    }
                }
            }
            sleep(probe.period).await;
        }
    }

    async fn readiness(&self, probe: &Probe) {
        sleep(probe.initial_delay).await;
        let mut is_ready = self.target.is_ready;
        let mut was_ready = is_ready;
        let mut pause = FIRST_PAUSE;
        let mut told = String::new();
        let (mut successes, mut failures) = (0, 0);
        loop {
            match self.probe(probe).await {
                Ok(()) => {
                    (successes, failures) = (successes + 1, 0);
                    if !is_ready && successes >= probe.successes {
                        is_ready = true;
                        was_ready = true;
                        told.clear();
                        self.ready(true, String::new()).await;
                    }
                }
                Err(message) => {
                    (successes, failures) = (0, failures + 1);
                    // One that was never ready says from the first failure on what it waits for.
                    let is_failed = !was_ready || failures >= probe.failures;
                    if is_failed && (is_ready || told != message) {
                        is_ready = false;
                        told.clone_from(&message);
                        self.ready(false, format!("readiness probe: {message}"))
                            .await;
                    }
                }
            }
            if was_ready {
                sleep(probe.period).await;
                continue;
            }
            sleep(pause.min(probe.period)).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn probe(&self, probe: &Probe) -> Result<(), String> {
        let call = ProbeCall {
            id: self.target.id.clone(),
            check: probe.check.clone(),
            ports: self.target.ports.clone(),
            timeout: probe.timeout,
        };
        self.driver.probe(call).await
    }

    async fn ready(&self, is_ready: bool, message: String) {
        self.send(News::Ready { is_ready, message }).await;
    }

    async fn send(&self, news: News) {
        let id = self.target.id.clone();
        // Without a receiver the application's task is gone, and this one goes with it.
        let _ = self.events.send(Event { id, news }).await;
    }
}
