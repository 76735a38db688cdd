//! The engine comes and goes; the applications stay.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::behaviour::Behaviour;
use crate::witness::Witness;
use crate::world::World;

pub(super) async fn when_the_engine_is_killed_then_the_next_one_adopts_what_runs(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("limits", &[("limit", "1\n")])?;
    let app = world.app("web").copies(2).files("limits", "/etc/limits");
    node.run(&[app.port("http", 8080)]).await?;
    let pods = look.uids(world.space(), "web").await?;
    let versions = async || {
        let mut versions = Vec::new();
        for (api_version, kind) in [("v1", "ConfigMap"), ("v1", "Service"), ("v1", "Secret")] {
            let selector = "baetyl.io/application=web";
            let found = look.objects((api_version, kind), world.space(), selector);
            for object in found.await? {
                let metadata = &object["metadata"];
                versions.push((
                    metadata["name"].clone(),
                    metadata["resourceVersion"].clone(),
                ));
            }
        }
        anyhow::Ok::<Vec<(Value, Value)>>(versions)
    };
    let before = versions().await?;

    node.kill();
    node.start_again().await?;
    node.until_converged().await?;

    ensure!(
        pods == look.uids(world.space(), "web").await?,
        "pods were replaced"
    );
    let after = versions().await?;
    ensure!(
        before == after,
        "objects were written: {before:?}, {after:?}"
    );
    let status = node.until_healthy("web").await?;
    ensure!(status.instances.len() == 2, "{status:?}");
    Ok(())
}

pub(super) async fn when_it_is_killed_in_an_update_then_the_next_one_finishes_it(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world.app("web").ready_by_file();
    node.run(std::slice::from_ref(&app)).await?;
    let witness = Witness::of(world.client(), world.space(), "web");
    witness.begin(1, world.patience()).await?;
    let slow = app.behaves(Behaviour::ServeSlowly(5)).version("2");
    node.desire(&[slow])?;
    let both = async || Ok(look.pods(world.space(), "web").await?.len());
    look.until("both revisions are there", both, |count| *count == 2)
        .await?;

    node.kill();
    node.start_again().await?;
    node.until_converged().await?;

    let status = node.until_healthy("web").await?;
    ensure!(status.serving_revision == 2, "{status:?}");
    look.until_ready(world.space(), "web", 1).await?;
    ensure!(witness.least() >= 1, "nothing served at one moment");
    ensure!(
        witness.pods() == 2,
        "{} pods for two revisions",
        witness.pods()
    );
    Ok(())
}

pub(super) async fn when_objects_vanish_meanwhile_then_the_next_engine_makes_them(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world.app("web").port("http", 8080);
    node.run(&[app, world.app("gone")]).await?;
    node.stop().await?;

    look.delete(("v1", "Service"), world.space(), "web").await?;
    look.delete(("apps/v1", "Deployment"), world.space(), "web")
        .await?;
    node.desire(&[world.app("web").port("http", 8080)])?;
    node.start_again().await?;
    node.until_converged().await?;

    look.there(("v1", "Service"), world.space(), "web").await?;
    look.until_ready(world.space(), "web", 1).await?;
    let left = async || look.pods(world.space(), "gone").await;
    look.until("what is not desired is gone", left, Vec::is_empty)
        .await?;
    Ok(())
}
