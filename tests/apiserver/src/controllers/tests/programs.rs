//! Images that stand for a program of this machine: here a shell.

use std::path::Path;

use serde_json::{Value, json};

use super::{Cluster, SPACE};
use crate::controllers::Program;
use crate::controllers::view::{is_ready, text};
use crate::{Deletion, Store};

const SHELL: &str = "registry.example/shell:1";

async fn cluster() -> Cluster {
    Cluster::with(|scene| {
        let path = std::env::var("PATH").unwrap_or_default();
        let shell = Program::new("/bin/sh").variable("PATH", &path);
        scene.programs.insert(SHELL.to_owned(), shell);
        // What is real takes as long as it takes.
        scene.speed = 1;
    })
    .await
}

fn pod(script: &str) -> Value {
    json!({
        "metadata": { "name": "real" },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 60,
            "containers": [{
                "name": "main", "image": SHELL, "args": ["-c", script], "workingDir": "/scratch",
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "env": [{ "name": "WORD", "value": "/etc/word/word" }],
                "readinessProbe": {
                    "exec": { "command": ["test", "-f", "/scratch/ready"] }, "periodSeconds": 1,
                },
                "volumeMounts": [
                    { "name": "word", "mountPath": "/etc/word", "readOnly": true },
                    { "name": "work", "mountPath": "/scratch" },
                ],
            }],
            "volumes": [
                { "name": "word", "configMap": { "name": "word" } },
                { "name": "work", "emptyDir": {} },
            ],
        },
    })
}

fn word(store: &Store, word: &str) {
    let data = json!({ "word": word, "at": "/scratch/ready" });
    if store.get("configmaps", SPACE, "word").is_none() {
        let map = json!({ "metadata": { "name": "word" }, "data": data });
        store.create("configmaps", SPACE, map).unwrap();
        return;
    }
    store
        .edit("configmaps", SPACE, "word", |map| map["data"] = data)
        .unwrap();
}

fn lines(cluster: &Cluster) -> Vec<String> {
    let read = cluster
        .server
        .pod_logs()
        .read(SPACE, "real", "main", false, 0);
    let lines = read.unwrap_or_default().lines.into_iter();
    lines.map(|line| line.text).collect()
}

fn terminated(cluster: &Cluster) -> Option<Value> {
    let pod = cluster.store.get("pods", SPACE, "real")?;
    let state = pod.pointer("/status/containerStatuses/0/state/terminated");
    state.cloned()
}

#[tokio::test]
async fn when_an_image_stands_for_a_program_then_it_sees_its_volumes_and_probes_see_its_files() {
    let cluster = cluster().await;
    word(&cluster.store, "first");

    cluster.create(
        "pods",
        pod("echo $$$$; cat $WORD; echo; touch $(cat /etc/word/at); \
             until grep -q second /etc/word/word; do sleep 0.05; done; echo changed; \
             exec sleep 1000"),
    );

    let is_up = |cluster: &Cluster| {
        let pod = cluster.store.get("pods", SPACE, "real");
        pod.is_some_and(|pod| is_ready(&pod))
    };
    cluster.until("it is ready", is_up).await;
    assert_eq!(lines(&cluster)[1..], ["first"]);
    let process = Path::new("/proc").join(&lines(&cluster)[0]);
    assert!(process.exists());
    let seen = |path| cluster.controllers.see(SPACE, "real", "main", path);
    assert_eq!(seen("/etc/word/word").as_deref(), Some("first"));
    assert_eq!(seen("/etc/passwd"), None);

    word(&cluster.store, "second");
    cluster
        .store
        .edit("pods", SPACE, "real", |pod| {
            pod["metadata"]["annotations"] = json!({ "look": "now" });
        })
        .unwrap();
    for _ in 0..600 {
        if lines(&cluster).len() > 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(lines(&cluster)[2..], ["changed"]);

    let how = Deletion::default();
    cluster.store.delete("pods", SPACE, "real", how).unwrap();
    let is_gone = |cluster: &Cluster| cluster.store.get("pods", SPACE, "real").is_none();
    cluster.until("it is gone", is_gone).await;
    assert!(!process.exists(), "the process outlives its pod");
}

#[tokio::test]
async fn when_a_program_ends_badly_then_code_and_last_words_stand_in_the_status() {
    let cluster = cluster().await;
    word(&cluster.store, "word");

    cluster.create("pods", pod("echo begun; printf 'no such pump' >&2; exit 3"));

    cluster
        .until("it has ended", |cluster| terminated(cluster).is_some())
        .await;
    let ended = terminated(&cluster).unwrap();
    assert_eq!(ended["exitCode"], 3, "{ended}");
    assert_eq!(text(&ended, "/message"), "begun\nno such pump\n");
}

#[tokio::test]
async fn when_a_program_is_killed_then_the_signal_is_its_code() {
    let cluster = cluster().await;
    word(&cluster.store, "word");

    cluster.create("pods", pod("kill -9 $$$$"));

    cluster
        .until("it has ended", |cluster| terminated(cluster).is_some())
        .await;
    assert_eq!(terminated(&cluster).unwrap()["exitCode"], 137);
}

#[tokio::test]
async fn when_there_is_no_such_program_then_the_container_does_not_start() {
    let cluster = Cluster::with(|scene| {
        let nothing = Program::new("/nowhere/at/all");
        scene.programs.insert(SHELL.to_owned(), nothing);
    })
    .await;
    word(&cluster.store, "word");

    cluster.create("pods", pod("true"));

    cluster
        .until("it has ended", |cluster| terminated(cluster).is_some())
        .await;
    let ended = terminated(&cluster).unwrap();
    assert_eq!(ended["reason"], "StartError", "{ended}");
    assert!(
        text(&ended, "/message").contains("/nowhere/at/all"),
        "{ended}"
    );
}
