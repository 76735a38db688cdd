//! Applications from the command line to the process: deploy, reload, history, rollback, delete.

use anyhow::{Context as _, Result};
use baetyl_tests::{System, instances, wait};
use serde_json::Value;

fn is_healthy(status: &Value) -> bool {
    status["state"] == "healthy"
}

fn pids(status: &Value) -> Vec<Value> {
    let instances = status["instances"].as_array().cloned().unwrap_or_default();
    instances
        .iter()
        .map(|instance| instance["pid"].clone())
        .collect()
}

#[tokio::test]
async fn when_a_configuration_changes_then_the_process_takes_it_and_is_not_restarted() -> Result<()>
{
    let mut system = System::start().await?;
    system
        .cli(&["apply", "-f", "examples/watcher", "--wait"])
        .await?
        .ok()?;
    let before = system.application("watcher", is_healthy).await?;

    let changed =
        std::fs::read_to_string(baetyl_tests::repository().join("examples/watcher/watcher.yaml"))?
            .replace("31.5", "30.25")
            .replace(
                "watcher.py: watcher.py",
                "watcher.py: examples/watcher/watcher.py",
            );
    let dry = system
        .cli_with(&["apply", "-f", "-", "--dry-run"], changed.as_bytes())
        .await?
        .ok()?;
    let applied = system
        .cli_with(&["apply", "-f", "-", "--wait"], changed.as_bytes())
        .await?
        .ok()?;

    assert!(
        dry.contains("31.5 → 30.25") && dry.contains("Nothing was stored"),
        "{dry}"
    );
    assert!(
        applied.contains("thresholds") && applied.contains("changed"),
        "{applied}"
    );
    let look = async || Ok(system.cli(&["logs", "watcher"]).await?.stdout);
    wait::until("the new limit in the log", look, |log| {
        log.contains("30.25")
    })
    .await?;
    let after = system.application("watcher", is_healthy).await?;
    assert_eq!(pids(&before), pids(&after));

    let history = system
        .cli(&["history", "config", "thresholds"])
        .await?
        .ok()?;
    assert!(history.contains("2 (now)"), "{history}");
    system
        .cli(&["rollback", "config", "thresholds"])
        .await?
        .ok()?;
    let look = async || Ok(system.cli(&["logs", "watcher", "--edge"]).await?.stdout);
    let last = |log: &String| log.lines().last().is_some_and(|line| line.contains("31.5"));
    wait::until("the old limit in the log", look, last).await?;
    assert_eq!(
        pids(&before),
        pids(&system.application("watcher", is_healthy).await?)
    );
    assert_eq!(system.stop().await?, 0);
    assert_eq!(instances(system.folder()), Vec::<u32>::new());
    Ok(())
}

#[tokio::test]
async fn when_a_revision_fails_then_the_last_one_serves_and_the_reason_is_told() -> Result<()> {
    let system = System::start().await?;
    let good = process("pump", "while True: time.sleep(1)");
    system
        .cli_with(&["apply", "-f", "-", "--wait"], good.as_bytes())
        .await?
        .ok()?;
    let before = system.application("pump", is_healthy).await?;

    let bad = process("pump", "raise SystemExit(3)");
    let output = system
        .cli_with(&["apply", "-f", "-", "--wait"], bad.as_bytes())
        .await?;

    assert_eq!(output.code, 3, "{output:?}");
    let status = system
        .application("pump", |it| it["state"] == "rolled_back")
        .await?;
    assert_eq!(pids(&before), pids(&status));
    let described = system.cli(&["describe", "app", "pump"]).await?.ok()?;
    let reason = status["reason"].as_str().context("a reason")?;
    assert!(
        !reason.is_empty() && described.contains("rolled"),
        "{described}"
    );
    let why = system.cli(&["get", "nodes"]).await?.ok()?;
    assert!(why.contains("pump"), "{why}");
    system.cli(&["delete", "app", "pump"]).await?.ok()?;
    let look = async || Ok(instances(system.folder()));
    wait::until("the end of pump", look, Vec::is_empty).await?;
    Ok(())
}

#[tokio::test]
async fn given_up_was_killed_when_it_starts_again_then_processes_keep_their_pid() -> Result<()> {
    let mut system = System::start().await?;
    system
        .cli(&["apply", "-f", "examples/watcher", "--wait"])
        .await?
        .ok()?;
    let before = system.application("watcher", is_healthy).await?;

    system.kill().await?;
    assert!(!instances(system.folder()).is_empty());
    system.up().await?;

    let after = system.application("watcher", is_healthy).await?;
    assert_eq!(pids(&before), pids(&after));
    assert_eq!(system.stop().await?, 0);
    Ok(())
}

/// A process application that runs one line of python.
fn process(name: &str, line: &str) -> String {
    format!(
        "apiVersion: baetyl.io/v1\nkind: Configuration\nname: {name}-code\ndata:\n  main.py: |\n    \
         import time\n    {line}\n---\napiVersion: baetyl.io/v1\nkind: Application\nname: {name}\n\
         type: process\nselector: site = demo\nservices:\n  - name: main\n    \
         program: {{configuration: {name}-code, entry: [python3, main.py]}}\n\
         update: {{soak: 1s, deadline: 300s}}\n"
    )
}
