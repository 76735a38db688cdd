//! The API server is away, or has forgotten.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::node::Node;
use crate::witness::Witness;
use crate::world::{Line, Rules, World};

pub(super) async fn when_the_server_goes_away_then_nothing_is_decided_and_everything_resumes(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world.app("web").copies(2).ready_by_file();
    node.run(&[app.clone(), world.app("old")]).await?;
    let old = look.uids(world.space(), "old").await?;

    world.set_line(Line::Cut).await?;
    node.desire(&[app.clone().version("2"), world.app("new")])?;
    let is_asked = |status: &baetyl_engine::EngineStatus| {
        let web = status.applications.get("web");
        web.is_some_and(|web| web.desired_revision == 2)
    };
    node.until_all("the wish is known", is_asked).await?;
    let status = node.now()?;
    ensure!(
        status.converged != node.documents().fence(),
        "nobody could see it"
    );
    world.set_line(Line::Open).await?;

    node.until_converged().await?;
    let status = node.until_healthy("web").await?;
    ensure!(status.serving_revision == 2, "{status:?}");
    node.until_healthy("new").await?;
    let left = async || look.uids(world.space(), "old").await;
    look.until("what is not desired is gone", left, |left| left.is_empty())
        .await?;
    ensure!(!old.is_empty());
    Ok(())
}

pub(super) async fn when_the_server_falls_silent_then_it_is_noticed_and_everything_resumes(
    world: &dyn World,
) -> Result<()> {
    let mut access = world.access(&Rules::none()).await?;
    access.settings.watch_silence = Duration::from_secs(5);
    let mut node = Node::start(access).await?;
    let app = world.app("web").port("http", 8080).ready_by_file();
    node.run(std::slice::from_ref(&app)).await?;
    let look = world.look();
    let before = look.uids(world.space(), "web").await?;

    // Nothing tells of the end of these connections: only the time without a word does.
    world.set_line(Line::Silent).await?;
    node.desire(&[app.clone(), world.app("new")])?;
    let is_said = |status: &baetyl_engine::EngineStatus| {
        let web = status.applications.get("web");
        web.is_some_and(|web| web.reason == "OBSERVATION_FAILED")
    };
    node.until_all("it says that it sees nothing", is_said)
        .await?;
    world.set_line(Line::Open).await?;

    node.until_healthy("web").await?;
    node.until_healthy("new").await?;
    ensure!(before == look.uids(world.space(), "web").await?);
    // What it sees now is what there is.
    look.delete(("v1", "Service"), world.space(), "web").await?;
    let back = async || look.object(("v1", "Service"), world.space(), "web").await;
    look.until("the service is back", back, Option::is_some)
        .await?;
    Ok(())
}

pub(super) async fn when_the_history_is_forgotten_then_nothing_is_missed(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world.app("web").port("http", 8080).ready_by_file();
    node.run(std::slice::from_ref(&app)).await?;
    let witness = Witness::of(world.client(), world.space(), "web");
    witness.begin(1, world.patience()).await?;

    // What happens while nobody can watch must be found by listing.
    world.set_line(Line::Cut).await?;
    world.forget_history().await?;
    world.set_line(Line::Open).await?;
    look.delete(("v1", "Service"), world.space(), "web").await?;

    let back = async || look.object(("v1", "Service"), world.space(), "web").await;
    look.until("the service is back", back, Option::is_some)
        .await?;
    node.run(&[app.version("2")]).await?;
    look.until_ready(world.space(), "web", 1).await?;
    ensure!(witness.least() >= 1, "nothing served at one moment");
    Ok(())
}
