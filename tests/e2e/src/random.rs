//! Sequences of desired documents by chance, over the fake cluster, with faults by chance: in the
//! end the cluster is what the last document says, as if nothing else had ever been wanted.
//!
//! What it says is not computed here: a second cluster, in which nothing goes wrong, is given the
//! last document only, and both are compared. A ledger follows every write of the first cluster
//! and counts pods that were replaced although nothing about them had changed.

mod faults;
mod ledger;
mod snapshot;
mod universe;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use baetyl_apiserver::Options;
use baetyl_apiserver::controllers::Scene;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use crate::foreign::Foreign;
use crate::node::{Access, Node};
use crate::world::{FakeWorld, Rules, World};
use faults::Weather;
use ledger::Ledger;
use universe::Universe;

/// What a sequence came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Documents that were desired.
    pub documents: usize,
    /// How often the engine was killed.
    pub kills: usize,
    /// Faults that were switched on.
    pub faults: usize,
    /// Pods that were made.
    pub pods: usize,
    /// Rollouts that were begun.
    pub rollouts: usize,
    /// Pods that were replaced although nothing about them had changed.
    pub needless: usize,
}

/// How fast time passes in the cluster.
const SPEED: u32 = 200;

/// Changes that the server remembers, so that the ledger misses none.
const HISTORY: usize = 1 << 20;

/// Runs a sequence, and checks where it ends.
///
/// # Errors
/// It does not end as the last document says, or something of others was touched.
pub async fn run(seed: u64, documents: usize) -> Result<Report> {
    let world = world().await?;
    let report = run_in(&world, seed, documents).await;
    report.with_context(|| world.story())
}

async fn run_in(world: &FakeWorld, seed: u64, documents: usize) -> Result<Report> {
    let mut chance = StdRng::seed_from_u64(seed);
    let look = (world as &dyn World).look();
    let mut node = Node::start(access(world).await?).await?;
    let foreign = Foreign::plant(&look, world.spaces().apps.as_str(), "ant").await?;
    let mut ledger = Ledger::open(world.server().store());
    let mut weather = Weather::new(world.server());
    let mut universe = Universe::new(world);
    let mut report = Report {
        documents,
        ..Report::default()
    };
    for _ in 0..documents {
        universe.change(&mut chance);
        ledger.wants(&universe);
        universe.tell(&mut node)?;
        weather.change(&mut chance, &ledger).await?;
        if chance.random_ratio(1, 25) {
            // Between any two calls: whatever the engine does at this moment stays half done.
            sleep(Duration::from_millis(chance.random_range(0..15))).await;
            node.kill();
            report.kills += 1;
            node.start_again().await?;
        }
        if chance.random_ratio(1, 40) {
            // Sometimes everything comes to rest; what it comes to is not asked.
            let quiet = Duration::from_millis(800);
            let _ = timeout(quiet, node.until_converged()).await;
        } else {
            sleep(Duration::from_millis(chance.random_range(0..40))).await;
        }
    }
    report.faults = weather.end();
    universe.settle(&mut chance);
    ledger.wants(&universe);
    universe.tell(&mut node)?;
    node.until_converged().await?;
    compare(world, &node).await?;
    foreign.check().await?;
    ledger.caught_up().await?;
    let counted = ledger.close()?;
    report.pods = counted.pods;
    report.rollouts = counted.rollouts;
    report.needless = counted.needless.len();
    ensure!(
        counted.needless.is_empty(),
        "needless: {:#?}",
        counted.needless
    );
    Ok(report)
}

async fn world() -> Result<FakeWorld> {
    let scene = Scene {
        speed: SPEED,
        ..Scene::default()
    };
    let options = Options {
        history: HISTORY,
        ..Options::default()
    };
    FakeWorld::with(scene, options).await
}

/// How a node that never waits for long reaches its cluster.
async fn access(world: &FakeWorld) -> Result<Access> {
    let mut access = world.access(&Rules::none()).await?;
    access.settings.retry_period = Duration::from_millis(20);
    access.settings.watch_silence = Duration::from_secs(2);
    access.settings.usage_period = Duration::from_secs(3600);
    Ok(access)
}

/// Compares a cluster with one in which nothing but the last document was ever wanted.
async fn compare(world: &FakeWorld, node: &Node) -> Result<()> {
    let reference = self::world().await?;
    let mut alone = Node::start_like(access(&reference).await?, node).await?;
    alone.until_converged().await?;
    let wanted = snapshot::settled(&reference, None).await?;
    let found = snapshot::settled(world, Some(&wanted)).await?;
    let difference = snapshot::difference(&wanted, &found);
    ensure!(
        difference.is_empty(),
        "the cluster differs: {difference:#?}"
    );
    alone.stop().await.context("the reference")?;
    Ok(())
}
