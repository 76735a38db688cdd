//! What a changed input does: the file in the pod changes and nothing restarts, or pods are
//! replaced behind the gate.

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1::ApplicationState;

use crate::behaviour::Behaviour;
use crate::node::Input;
use crate::witness::Witness;
use crate::world::World;

pub(super) async fn when_a_reloaded_input_changes_then_the_file_changes_and_nothing_restarts(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("limits", &[("limit", "1\n")])?;
    let app = world
        .app("web")
        .copies(2)
        .files("limits", "/etc/limits")
        .behaves(Behaviour::PrintFile("/etc/limits/limit"))
        .ready_by_file();
    node.run(&[app]).await?;
    look.until_all_see(world.space(), "web", "1").await?;
    let before = look.uids(world.space(), "web").await?;

    node.configuration("limits", &[("limit", "2\n")])?;
    node.desire_again()?;

    node.until_healthy("web").await?;
    look.until_all_see(world.space(), "web", "2").await?;
    node.until_converged().await?;
    let after = look.uids(world.space(), "web").await?;
    ensure!(before == after, "pods were replaced: {before:?}, {after:?}");
    let restarts = look.restarts(world.space(), "web").await?;
    ensure!(restarts == 0, "{restarts} containers were started again");
    Ok(())
}

pub(super) async fn when_a_restarting_input_changes_then_pods_are_replaced(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("limits", &[("limit", "1\n")])?;
    let app = world
        .app("web")
        .files("limits", "/etc/limits")
        .restarting()
        .behaves(Behaviour::PrintFile("/etc/limits/limit"))
        .ready_by_file();
    node.run(&[app]).await?;
    look.until_all_see(world.space(), "web", "1").await?;
    let before = look.uids(world.space(), "web").await?;
    let witness = Witness::of(world.client(), world.space(), "web");
    witness.begin(1, world.patience()).await?;

    node.configuration("limits", &[("limit", "2\n")])?;
    node.desire_again()?;

    node.until_converged().await?;
    look.until_ready(world.space(), "web", 1).await?;
    look.until_all_see(world.space(), "web", "2").await?;
    let after = look.uids(world.space(), "web").await?;
    ensure!(before != after, "no pod was replaced");
    ensure!(witness.least() >= 1, "nothing served at one moment");
    let maps = look
        .objects(
            ("v1", "ConfigMap"),
            world.space(),
            "baetyl.io/application=web",
        )
        .await?;
    ensure!(maps.len() == 1, "{} ConfigMaps are left", maps.len());
    Ok(())
}

pub(super) async fn when_a_variable_comes_from_a_changed_input_then_pods_are_replaced(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    node.configuration("limits", &[("limit", "1")])?;
    let app = world
        .app("web")
        .variable_of("LIMIT", "limits", "limit")
        .behaves(Behaviour::PrintVariables(&["LIMIT"]));
    node.run(&[app]).await?;
    node.until_logged("web", "LIMIT=1").await?;

    node.configuration("limits", &[("limit", "2")])?;
    node.desire_again()?;

    node.until_converged().await?;
    node.until_logged("web", "LIMIT=2").await
}

pub(super) async fn when_a_secret_is_reloaded_then_the_file_changes_and_nothing_restarts(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.input(Input::secret("login", &[("password", "first\n")]))?;
    let app = world
        .app("web")
        .secret_files("login", "/etc/login")
        .behaves(Behaviour::PrintFile("/etc/login/password"))
        .ready_by_file();
    node.run(&[app]).await?;
    look.until_all_see(world.space(), "web", "first").await?;
    let before = look.uids(world.space(), "web").await?;

    node.input(Input::secret("login", &[("password", "second\n")]))?;
    node.desire_again()?;

    look.until_all_see(world.space(), "web", "second").await?;
    node.until_converged().await?;
    let after = look.uids(world.space(), "web").await?;
    ensure!(before == after, "pods were replaced: {before:?}, {after:?}");
    Ok(())
}

pub(super) async fn when_a_changed_input_is_bad_then_the_old_one_serves(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.configuration("mode", &[("mode", "good\n")])?;
    let app = world
        .app("web")
        .files("mode", "/etc/mode")
        .restarting()
        .behaves(Behaviour::Script(
            "trap 'exit 0' TERM; cat /etc/mode/mode; grep -q good /etc/mode/mode || exit 3; \
             sleep 86400 & wait"
                .to_owned(),
        ))
        .within(2 * world.deadline());
    node.run(&[app]).await?;
    let before = look.uids(world.space(), "web").await?;

    node.configuration("mode", &[("mode", "bad\n")])?;
    node.desire_again()?;

    let status = node
        .until_state("web", ApplicationState::RolledBack)
        .await?;
    ensure!(status.reason == "CRASH_LOOP", "{status:?}");
    let left = async || look.uids(world.space(), "web").await;
    look.until("only the old pods are there", left, |left| *left == before)
        .await?;
    look.until_all_see(world.space(), "web", "good").await
}
