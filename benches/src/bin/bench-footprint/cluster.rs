//! Core with a cluster as its node: an API server in this process, with many pods of others.

use anyhow::{Context as _, Result, bail};
use baetyl_benches::{Memory, Table, peak, say};
use baetyl_e2e::world::Rules;
use baetyl_e2e::{FakeWorld, World};
use baetyl_tests::{Site, wait};
use serde_json::json;

use crate::Arguments;
use crate::reading::{figures, judged, mebibytes, readings};

/// Target in mebibytes for core with 100 applications: 30 MB.
const TARGET: f64 = 28.6;

/// Measures core with clusters that differ in what others run there.
pub(crate) async fn measure(arguments: &Arguments) -> Result<Table> {
    let applications = arguments.applications;
    let mut table = Table::new(
        format!("**Core with a cluster of {applications} applications, idle**"),
        [
            "process",
            "pods of others",
            "RSS MiB",
            "PSS MiB",
            "own MiB",
            "peak MiB",
            "target MiB",
            "below",
        ],
    );
    for foreign in &arguments.foreign_pods {
        let (memory, peak) = core_with(applications, *foreign).await?;
        let head = ["core".to_owned(), foreign.to_string()];
        let peak = format!("{:.1}", mebibytes(peak));
        let cells = head.into_iter().chain(figures(&[memory])).chain([peak]);
        table.row(cells.chain(judged(&[memory], TARGET)));
    }
    Ok(table)
}

/// The memory of core when all applications are healthy, and the most that it ever had.
async fn core_with(applications: u32, foreign: u32) -> Result<(Memory, u64)> {
    say(&format!(
        "a cluster with {applications} applications and {foreign} pods of others"
    ));
    let world = FakeWorld::start().await?;
    for number in 0..foreign {
        let store = world.server().store();
        let made = store.create("pods", &world.spaces().apps, foreign_pod(number));
        made.context("a pod of others")?;
    }
    let access = world.access(&Rules::none()).await?;
    let mut site = Site::on_cluster(&access.kubeconfig).await?;
    let documents: Vec<String> = (0..applications)
        .map(|number| container(&world, number))
        .collect();
    let documents = documents.join("---\n");
    let applied = site.cli_with(&["apply", "-f", "-"], documents.as_bytes());
    applied.await?.ok()?;
    let all = format!("{applications}/{applications}");
    let look = async || Ok(site.cli(&["get", "nodes"]).await?.stdout);
    wait::until("every application healthy", look, |text| {
        text.contains(&all)
    })
    .await?;
    let largest = readings(site.folder()).await?;
    let mut found = largest.iter().filter(|(_, (name, _))| name == "core");
    let (Some((pid, (_, memory))), None) = (found.next(), found.next()) else {
        bail!("there is not one process that is core");
    };
    let peak = peak(*pid)?;
    site.node.stop().await?;
    site.stop_cloud().await?;
    Ok((*memory, peak))
}

/// A pod that nobody of ours made, on a machine that does not exist, so that nobody runs it.
fn foreign_pod(number: u32) -> serde_json::Value {
    json!({
        "metadata": {
            "name": format!("other-{number}"),
            "labels": { "app": "other" },
        },
        "spec": {
            "nodeName": "elsewhere",
            "containers": [{ "name": "other", "image": "registry.example/other:1" }],
        },
    })
}

/// An application with a configuration of its own.
fn container(world: &FakeWorld, number: u32) -> String {
    let image = world.image();
    format!(
        "apiVersion: baetyl.io/v1
kind: Configuration
name: limits-{number}
data: {{limits: \"temperature 31.5\"}}
---
apiVersion: baetyl.io/v1
kind: Application
name: watcher-{number}
type: container
selector: site = demo
services:
  - name: watcher
    image: {image}
    command: [sh, -c, \"while true; do sleep 60; done\"]
    ports: [{{name: http, containerPort: 8080}}]
    volumeMounts: [{{name: limits, mountPath: /etc/watcher}}]
volumes:
  - {{name: limits, config: {{name: limits-{number}}}, onChange: reload}}
"
    )
}
