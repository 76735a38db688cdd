//! A canary secret is found nowhere but where it belongs.

use std::path::Path;

use anyhow::Result;
use baetyl_tests::{System, wait};
use serde_json::Value;

const CANARY: &str = "canary-7f3a91c4-do-not-sing";

const DOCUMENTS: &str = "apiVersion: baetyl.io/v1\nkind: Secret\nname: cage\nstringData:\n  song: \
    canary-7f3a91c4-do-not-sing\n---\napiVersion: baetyl.io/v1\nkind: Configuration\nname: mine-code\n\
    data:\n  main.py: |\n    import os, time\n    assert os.environ['SONG'].startswith('canary')\n    \
    assert open(os.environ['BAETYL_ROOT'] + '/etc/cage/song').read().startswith('canary')\n    \
    print('heard', flush=True)\n    while True: time.sleep(1)\n---\napiVersion: baetyl.io/v1\nkind: Application\n\
    name: mine\ntype: process\nselector: site = demo\nservices:\n  - name: main\n    program: \
    {configuration: mine-code, entry: [python3, main.py]}\n    env: [{name: SONG, valueFrom: \
    {secretKeyRef: {name: cage, key: song}}}]\n    volumeMounts: [{name: cage, mountPath: /etc/cage}]\n\
    volumes:\n  - {name: cage, secret: {name: cage}}\n";

#[tokio::test]
async fn when_a_secret_is_used_then_it_is_in_no_store_log_or_process_list() -> Result<()> {
    let mut system = System::start_with(&[("BAETYL_LOG", "debug")]).await?;
    system
        .cli_with(&["apply", "-f", "-", "--wait"], DOCUMENTS.as_bytes())
        .await?
        .ok()?;
    let look = async || Ok(system.cli(&["logs", "mine"]).await?.stdout);
    wait::until("the secret is heard", look, |log| log.contains("heard")).await?;

    let shown = system
        .cli(&["get", "secret", "cage", "-o", "yaml"])
        .await?
        .ok()?;
    let listed = system.cli(&["get", "secrets", "-o", "json"]).await?.ok()?;
    let history = system
        .cli(&["history", "secret", "cage", "-o", "json"])
        .await?
        .ok()?;
    let values = system
        .cli(&["get", "secret", "cage", "--show-values", "-o", "json"])
        .await?
        .ok()?;

    for text in [&shown, &listed, &history] {
        assert!(
            !text.contains(CANARY) && !text.contains(&base64(CANARY)),
            "{text}"
        );
    }
    let values: Value = serde_json::from_str(&values)?;
    assert_eq!(values["data"]["song"], base64(CANARY));
    let lines = command_lines();
    assert!(
        !lines.contains(CANARY),
        "a process shows it in its arguments"
    );
    system.stop().await?;
    let mut found = Vec::new();
    search(system.folder(), &mut found)?;
    assert_eq!(found, Vec::<String>::new(), "files that hold the secret");
    Ok(())
}

/// Files below a folder that hold the canary, as text or in base64.
fn search(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            search(&entry.path(), found)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path())?;
            if contains(&bytes, CANARY.as_bytes()) || contains(&bytes, base64(CANARY).as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn command_lines() -> String {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines: Vec<_> = lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect();
    lines.join("\n")
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
