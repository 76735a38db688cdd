//! The log of an application, as the sync stream carries it.

use anyhow::{Context as _, Result, ensure};
use baetyl_engine::LogQuery;
use futures::StreamExt as _;
use tokio::time::timeout;

use crate::behaviour::Behaviour;
use crate::world::World;

pub(super) async fn when_logs_are_read_then_lines_of_all_instances_come(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world
        .app("web")
        .copies(2)
        .behaves(Behaviour::PrintVariables(&["HOSTNAME"]))
        .ready_by_file();
    node.run(&[app]).await?;

    let pods = world.look().until_ready(world.space(), "web", 2).await?;
    for pod in pods {
        let name = pod.metadata.name.unwrap_or_default();
        node.until_logged("web", &format!("HOSTNAME={name}"))
            .await?;
    }

    let unknown = LogQuery {
        application: "nobody".to_owned(),
        ..LogQuery::default()
    };
    ensure!(node.engine()?.logs(unknown).is_err());
    Ok(())
}

pub(super) async fn when_logs_are_followed_then_new_lines_come(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    node.configuration("word", &[("word", "first\n")])?;
    let app = world
        .app("web")
        .files("word", "/etc/word")
        .behaves(Behaviour::PrintFile("/etc/word/word"))
        .ready_by_file();
    node.run(&[app]).await?;
    let query = LogQuery {
        application: "web".to_owned(),
        follow: true,
        tail: Some(1),
        ..LogQuery::default()
    };
    let mut lines = node.engine()?.logs(query)?;
    let line = timeout(world.patience(), lines.next()).await?;
    let line = line.context("the log ended")??;
    ensure!(line.text == "first", "{line:?}");

    node.configuration("word", &[("word", "second\n")])?;
    node.desire_again()?;

    let until_second = async {
        loop {
            let line = lines.next().await.context("the log ended")??;
            if line.text == "second" {
                return anyhow::Ok(line);
            }
        }
    };
    let line = timeout(world.patience(), until_second).await??;
    ensure!(line.service == "main", "{line:?}");
    Ok(())
}
