//! The whole system with a cluster as its node.

use anyhow::{Context as _, Result, bail};
use baetyl_e2e::world::Rules;
use baetyl_e2e::{Behaviour, FakeWorld, Need, World};
use baetyl_tests::{Site, repository, wait};

/// An application whose container prints its file whenever that changes.
fn documents(world: &dyn World) -> String {
    let command = serde_json::to_string(&Behaviour::PrintFile("/etc/watcher/limits").command())
        .expect("texts are json");
    format!(
        r#"apiVersion: baetyl.io/v1
kind: Configuration
name: limits
data: {{limits: "temperature 31.5"}}
---
apiVersion: baetyl.io/v1
kind: Registry
name: plant
address: registry.plant.example
username: reader
password: correct horse battery staple
---
apiVersion: baetyl.io/v1
kind: Application
name: watcher
type: container
selector: site = demo
registries: [plant]
services:
  - name: watcher
    image: {image}
    command: {command}
    volumeMounts: [{{name: limits, mountPath: {folder}}}]
volumes:
  - {{name: limits, config: {{name: limits}}, onChange: reload}}
"#,
        image = world.image(),
        folder = "/etc/watcher",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_node_is_a_cluster_then_an_application_runs_in_pods_and_takes_its_changes()
-> Result<()> {
    let world = FakeWorld::start().await?;
    let access = world.access(&Rules::none()).await?;
    let site = Site::on_cluster(&access.kubeconfig).await?;

    let documents = documents(&world);
    site.cli_with(&["apply", "-f", "-", "--wait"], documents.as_bytes())
        .await?
        .ok()?;

    let nodes = site.cli(&["get", "nodes"]).await?.ok()?;
    assert!(nodes.contains("kube") && nodes.contains("1/1"), "{nodes}");
    let node = site.cli(&["describe", "node", "demo"]).await?.ok()?;
    assert!(
        node.contains("machine-1") && node.contains("machine-2"),
        "{node}"
    );
    let application = site.cli(&["describe", "app", "watcher"]).await?.ok()?;
    assert!(application.contains("watcher-"), "{application}");
    assert!(
        !application.contains("correct horse"),
        "a password is shown: {application}"
    );
    let logs = async || Ok(site.cli(&["logs", "watcher"]).await?.stdout);
    wait::until("the first line", logs, |text| {
        text.contains("temperature 31.5")
    })
    .await?;

    let changed = documents.replace("31.5", "30.0");
    site.cli_with(&["apply", "-f", "-", "--wait"], changed.as_bytes())
        .await?
        .ok()?;
    wait::until("the change", logs, |text| text.contains("temperature 30.0")).await?;
    let pods = world.server().store().list("pods", "baetyl-edge");
    assert_eq!(pods.len(), 1, "a reload replaced the pod");

    site.cli(&["delete", "app", "watcher"]).await?.ok()?;
    let left = async || Ok(world.server().store().list("pods", "baetyl-edge").len());
    wait::until("no pod", left, |count| *count == 0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_node_is_a_cluster_then_functions_run_in_pods_and_take_new_code() -> Result<()> {
    let world = FakeWorld::fitting(&[Need::RuntimeImage]).await?;
    if let Some(why) = world.lacks(Need::RuntimeImage) {
        bail!("{why}");
    }
    let access = world.access(&Rules::none()).await?;
    let image = world.runtime_image().context("an image")?;
    let site = Site::on_cluster_with_functions(&access.kubeconfig, &image).await?;
    let rows = r#"{"rows": [{"time": "a", "x": 1}, {"time": "b", "x": 2}, {"time": "c", "x": 6}]}"#;
    let invoke = async || {
        site.cli(&["invoke", "sensors/window", "-d", rows])
            .await?
            .ok()
    };
    let told = || format!("{}\n{}", site.node.log(), site.function_log());

    let apply = async |folder: &str| site.cli(&["apply", "-f", folder, "--wait"]).await?.ok();
    apply("examples/sensors").await.with_context(told)?;
    let answer = invoke().await.with_context(told)?;
    assert!(answer.contains("\"median\":2.0"), "{answer}");

    let changed = site.folder().join("sensors");
    std::fs::create_dir(&changed)?;
    for (file, old, new) in [
        ("sensors.yaml", "", ""),
        ("window.py", "\"median\": round", "\"middle\": round"),
    ] {
        let text = std::fs::read_to_string(repository().join("examples/sensors").join(file))?;
        std::fs::write(changed.join(file), text.replacen(old, new, 1))?;
    }
    let changed = changed.display().to_string();
    apply(&changed).await.with_context(told)?;
    let answer = invoke().await.with_context(told)?;
    assert!(answer.contains("\"middle\":2.0"), "{answer}");

    site.cli(&["delete", "app", "sensors"]).await?.ok()?;
    let store = world.server().store();
    let left = async || {
        let kinds = [
            "pods",
            "deployments.apps",
            "configmaps",
            "secrets",
            "serviceaccounts",
        ];
        let all = kinds
            .iter()
            .flat_map(|kind| store.list(kind, "baetyl-edge"));
        let owned = all.filter(|one| one["metadata"]["labels"]["baetyl.io/owner"].is_string());
        Ok(owned
            .map(|one| one["metadata"]["name"].to_string())
            .collect::<Vec<_>>())
    };
    wait::until("nothing is left", left, Vec::is_empty).await?;
    Ok(())
}
