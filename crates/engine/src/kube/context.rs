//! What all applications of one engine share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baetyl_shadow::Digest;
use rand::Rng;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::cluster::Cluster;
use super::settings::KubeSettings;
use super::watch::Watches;
use crate::dependency::{BodySource, CertificateIssuer, StateStore};

/// The longest pause between two attempts of what the cluster may accept later.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many retry periods the last sight counts.
const PATIENCE: u32 = 30;

/// How many applications are rendered and checked at the same time. Each has all of its objects in
/// memory meanwhile, and a helm process where it is a chart. Applying takes no turn: that is bounded
/// by the places for requests.
const TURNS: usize = 8;

/// What the engine needs; the host owns what is behind.
#[derive(Clone)]
pub struct Dependencies {
    /// Where records are durable.
    pub store: Arc<dyn StateStore>,
    /// Where bodies are.
    pub bodies: Arc<dyn BodySource>,
    /// Who certifies workloads.
    pub certificates: Arc<dyn CertificateIssuer>,
}

/// What all applications of one engine share.
pub(super) struct Context {
    pub(super) settings: Arc<KubeSettings>,
    pub(super) dependencies: Dependencies,
    pub(super) cluster: Cluster,
    pub(super) watches: Watches,
    /// What renders applications; see [`rendering`].
    pub(super) rendering: String,
    turns: Semaphore,
}

impl Context {
    pub(super) fn new(
        settings: Arc<KubeSettings>,
        dependencies: Dependencies,
        cluster: Cluster,
        watches: Watches,
    ) -> Self {
        Self {
            rendering: rendering(&settings),
            settings,
            dependencies,
            cluster,
            watches,
            turns: Semaphore::new(TURNS),
        }
    }

    /// Waits for the turn to render, which lasts until what is returned is dropped. Everything that
    /// is done meanwhile has a deadline; pauses between attempts are no part of it.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore; if it were, there would be no turns to wait for.
        self.turns.acquire().await.ok()
    }

    /// How long the last sight counts once nothing new is seen: 30 s by default.
    pub(super) fn patience(&self) -> Duration {
        self.settings.retry_period * PATIENCE
    }

    /// How long to wait before the attempt after so many failures in a row: doubling, capped, with
    /// jitter, since all applications ask the same cluster.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let whole = self.settings.retry_period.saturating_mul(factor);
        let whole = whole.min(LONGEST_PAUSE.max(self.settings.retry_period));
        whole.mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

/// Says what renders applications. Objects are made again, and applied where they differ, when this
/// changes: with other software, or other settings.
fn rendering(settings: &KubeSettings) -> String {
    let functions = settings.functions.as_ref();
    let parts = BTreeMap::from([
        ("version", env!("CARGO_PKG_VERSION")),
        ("owner", &settings.owner),
        ("node", &settings.node),
        ("namespace", &settings.namespace),
        ("image", functions.map_or("", |found| &found.runtime_image)),
        (
            "attach",
            functions.map_or("", |found| &found.attach_address),
        ),
    ]);
    let digest = Digest::of(format!("{parts:?}").as_bytes());
    super::names::hex(&digest, super::names::RELEASE_DIGITS)
}
