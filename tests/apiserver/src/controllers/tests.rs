//! The controllers over the store: what somebody who only reads objects sees.

mod programs;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::view::{condition, is_active, is_ready, items, name, number, text};
use super::{Controllers, Machine, Scene, StorageClass};
use crate::{ApiServer, Deletion, Options, Store};

const IMAGE: &str = "registry.example/busybox:1";
const SPACE: &str = "default";

/// A cluster of two machines.
struct Cluster {
    server: Arc<ApiServer>,
    controllers: Controllers,
    store: Store,
}

impl Cluster {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Scene)) -> Self {
        let options = Options {
            kubelet: true,
            ..Options::default()
        };
        let server = Arc::new(ApiServer::start(options).await.unwrap());
        let mut scene = Scene {
            machines: vec![
                Machine::new("one"),
                Machine::new("two").label("disk", "ssd"),
            ],
            images: [IMAGE.to_owned()].into(),
            speed: 50,
            ..Scene::default()
        };
        change(&mut scene);
        let controllers = Controllers::start(&server, scene).unwrap();
        Self {
            store: server.store(),
            server,
            controllers,
        }
    }

    fn create(&self, resource: &str, object: Value) {
        self.store.create(resource, SPACE, object).unwrap();
    }

    fn pods(&self) -> Vec<Arc<Value>> {
        let pods = self.store.list("pods", SPACE).into_iter();
        pods.filter(|pod| is_active(pod)).collect()
    }

    async fn until(&self, what: &str, mut good: impl FnMut(&Self) -> bool) {
        let waited = self
            .store
            .wait_for(Duration::from_secs(30), |_| good(self).then_some(()))
            .await;
        if waited.is_err() {
            let pods = self.store.list("pods", SPACE);
            let states: Vec<_> = pods.iter().map(|pod| (name(pod), &pod["status"])).collect();
            panic!("{what}: does not happen: {states:#?}");
        }
    }

    async fn until_ready(&self, count: usize) {
        self.until("pods are ready", |cluster| {
            let pods = cluster.pods();
            pods.len() == count && pods.iter().all(|pod| is_ready(pod))
        })
        .await;
    }

    async fn until_waiting(&self, reason: &str) {
        self.until(reason, |cluster| {
            cluster.pods().iter().any(|pod| waiting(pod) == reason)
        })
        .await;
    }

    fn has_event(&self, reason: &str, part: &str) -> bool {
        let events = self.store.list("events", SPACE);
        events
            .iter()
            .any(|event| text(event, "/reason") == reason && text(event, "/message").contains(part))
    }
}

fn waiting(pod: &Value) -> &str {
    let statuses = items(pod, "/status/containerStatuses");
    statuses
        .first()
        .map_or("", |one| text(one, "/state/waiting/reason"))
}

fn template(script: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main", "image": IMAGE, "command": ["sh", "-c", script],
            }],
        },
    })
}

fn deployment(script: &str, replicas: i64) -> Value {
    json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "progressDeadlineSeconds": 20,
            "template": template(script),
        },
    })
}

const SERVE: &str = "trap 'exit 0' TERM; echo serving; sleep 86400 & wait";

#[tokio::test]
async fn when_a_deployment_is_made_then_its_pods_run_and_it_is_available() {
    let cluster = Cluster::start().await;

    cluster.create("deployments.apps", deployment(SERVE, 3));

    cluster.until_ready(3).await;
    cluster
        .until("it is complete", |cluster| {
            let web = cluster.store.get("deployments.apps", SPACE, "web").unwrap();
            let progress = condition(&web, "Progressing");
            number(&web, "/status/availableReplicas") == Some(3)
                && progress.is_some_and(|one| text(one, "/reason") == "NewReplicaSetAvailable")
                && web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        })
        .await;
    let hash = &cluster.pods()[0]["metadata"]["labels"]["pod-template-hash"];
    assert!(hash.is_string());
    assert!(cluster.has_event("Scheduled", "Successfully assigned default/web-"));
}

#[tokio::test]
async fn when_a_template_changes_then_never_fewer_pods_are_available_and_the_old_set_stays_empty() {
    let cluster = Cluster::start().await;
    cluster.create("deployments.apps", deployment(SERVE, 2));
    cluster.until_ready(2).await;
    let mut changes = cluster.store.changes();

    let edit = |web: &mut Value| web["spec"]["template"] = template(&format!("{SERVE}; true"));
    cluster
        .store
        .edit("deployments.apps", SPACE, "web", edit)
        .unwrap();

    let mut least = 2;
    loop {
        changes.next().await;
        let pods = cluster.pods();
        least = least.min(pods.iter().filter(|pod| is_ready(pod)).count());
        let sets = cluster.store.list("replicasets.apps", SPACE);
        let done = sets.len() == 2
            && sets
                .iter()
                .any(|set| number(set, "/spec/replicas") == Some(0))
            && sets
                .iter()
                .any(|set| number(set, "/status/availableReplicas") == Some(2));
        if done && pods.len() == 2 {
            break;
        }
    }
    assert!(least >= 2, "{least}");
}

#[tokio::test]
async fn when_a_deployment_is_orphaned_and_made_anew_then_it_adopts_its_pods() {
    let cluster = Cluster::start().await;
    cluster.create("deployments.apps", deployment(SERVE, 1));
    cluster.until_ready(1).await;
    let before = cluster.pods()[0]["metadata"]["uid"].clone();
    let how = Deletion {
        propagation: Some(crate::Propagation::Orphan),
        ..Deletion::default()
    };
    cluster
        .store
        .delete("deployments.apps", SPACE, "web", how)
        .unwrap();

    cluster.create("deployments.apps", deployment(SERVE, 1));

    cluster
        .until("it is available", |cluster| {
            let web = cluster.store.get("deployments.apps", SPACE, "web").unwrap();
            number(&web, "/status/availableReplicas") == Some(1)
        })
        .await;
    assert_eq!(cluster.pods()[0]["metadata"]["uid"], before);
}

#[tokio::test]
async fn when_a_container_crashes_then_it_backs_off_and_counts() {
    let cluster = Cluster::start().await;

    cluster.create("deployments.apps", deployment("echo no; exit 3", 1));

    cluster.until_waiting("CrashLoopBackOff").await;
    let pod = &cluster.pods()[0];
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 3);
    assert!(cluster.has_event(
        "BackOff",
        "Back-off restarting failed container main in pod"
    ));
    cluster
        .until("it is restarted again", |cluster| {
            let pod = &cluster.pods()[0];
            number(pod, "/status/containerStatuses/0/restartCount") >= Some(2)
        })
        .await;
    cluster
        .until("the deadline is over", |cluster| {
            let web = cluster.store.get("deployments.apps", SPACE, "web").unwrap();
            let progress = condition(&web, "Progressing");
            progress.is_some_and(|one| text(one, "/reason") == "ProgressDeadlineExceeded")
        })
        .await;
}

#[tokio::test]
async fn when_an_image_or_a_key_is_missing_then_the_kubelet_says_so() {
    let cases = [
        (
            json!({ "image": "registry.example/none:1" }),
            "ImagePullBackOff",
        ),
        (
            json!({ "image": "registry.example/none:1", "imagePullPolicy": "Never" }),
            "ErrImageNeverPull",
        ),
        (json!({ "image": "Not/An Image" }), "InvalidImageName"),
        (
            json!({ "env": [{ "name": "A", "valueFrom": {
                "configMapKeyRef": { "name": "none", "key": "a" } } }] }),
            "CreateContainerConfigError",
        ),
    ];
    for (change, reason) in cases {
        let cluster = Cluster::start().await;
        let mut made = deployment(SERVE, 1);
        let container = &mut made["spec"]["template"]["spec"]["containers"][0];
        for (field, value) in change.as_object().unwrap() {
            container[field] = value.clone();
        }

        cluster.create("deployments.apps", made);

        cluster.until_waiting(reason).await;
    }
}

#[tokio::test]
async fn when_no_machine_fits_then_the_scheduler_says_why() {
    let cluster = Cluster::start().await;
    let mut made = deployment(SERVE, 1);
    made["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "none" });

    cluster.create("deployments.apps", made);

    cluster
        .until("it is unschedulable", |cluster| {
            let pods = cluster.pods();
            let scheduled = pods.first().and_then(|pod| condition(pod, "PodScheduled"));
            scheduled.is_some_and(|one| {
                text(one, "/message").starts_with(
                    "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector",
                )
            })
        })
        .await;
    assert!(cluster.has_event("FailedScheduling", "0/2 nodes are available"));
}

#[tokio::test]
async fn when_a_pod_is_touched_then_its_files_change_and_only_then() {
    let cluster = Cluster::start().await;
    let map = |value: &str| json!({ "metadata": { "name": "limits" }, "data": { "limit": value } });
    cluster.create("configmaps", map("1"));
    let mut made = deployment("while true; do cat /etc/limits/limit; sleep 1; done", 1);
    let spec = &mut made["spec"]["template"]["spec"];
    spec["volumes"] = json!([{ "name": "limits", "configMap": { "name": "limits" } }]);
    spec["containers"][0]["volumeMounts"] =
        json!([{ "name": "limits", "mountPath": "/etc/limits" }]);
    cluster.create("deployments.apps", made);
    cluster.until_ready(1).await;
    let pod = name(&cluster.pods()[0]).to_owned();
    let see = |cluster: &Cluster| {
        cluster
            .controllers
            .see(SPACE, &pod, "main", "/etc/limits/limit")
    };
    assert_eq!(see(&cluster).as_deref(), Some("1"));

    let edit = |map: &mut Value| map["data"]["limit"] = "2".into();
    cluster
        .store
        .edit("configmaps", SPACE, "limits", edit)
        .unwrap();
    // A write that the kubelet has certainly looked at.
    cluster.create("deployments.apps", {
        let mut other = deployment(SERVE, 1);
        other["metadata"]["name"] = "other".into();
        other["spec"]["selector"] = json!({ "matchLabels": { "app": "other" } });
        other["spec"]["template"]["metadata"]["labels"] = json!({ "app": "other" });
        other
    });
    cluster.until_ready(2).await;
    assert_eq!(see(&cluster).as_deref(), Some("1"));
    let touch = |pod: &mut Value| pod["metadata"]["annotations"] = json!({ "told": "2" });
    cluster.store.edit("pods", SPACE, &pod, touch).unwrap();

    // What a container sees is no object, so that nobody tells of it.
    let seen = async {
        while see(&cluster).as_deref() != Some("2") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .unwrap();
}

#[tokio::test]
async fn when_a_stateful_set_is_made_then_pods_come_in_order_with_claims_of_their_own() {
    let cluster = Cluster::start().await;
    let set = json!({
        "metadata": { "name": "db" },
        "spec": {
            "serviceName": "db", "replicas": 2,
            "selector": { "matchLabels": { "app": "web" } },
            "template": template(SERVE),
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"],
                    "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    });

    cluster.create("statefulsets.apps", set);

    cluster.until_ready(2).await;
    let pods = cluster.pods();
    let names: Vec<&str> = pods.iter().map(|pod| name(pod)).collect();
    assert_eq!(names, ["db-0", "db-1"]);
    for claim in ["data-db-0", "data-db-1"] {
        let claim = cluster
            .store
            .get("persistentvolumeclaims", SPACE, claim)
            .unwrap();
        assert_eq!(text(&claim, "/status/phase"), "Bound");
    }
    let edit = |set: &mut Value| set["spec"]["template"] = template("exit 1");
    cluster
        .store
        .edit("statefulsets.apps", SPACE, "db", edit)
        .unwrap();
    cluster.until_waiting("CrashLoopBackOff").await;
    let set = cluster.store.get("statefulsets.apps", SPACE, "db").unwrap();
    assert_ne!(
        text(&set, "/status/currentRevision"),
        text(&set, "/status/updateRevision")
    );
    let first = cluster.store.get("pods", SPACE, "db-0").unwrap();
    assert!(is_ready(&first));
}

#[tokio::test]
async fn when_a_claim_cannot_be_bound_then_its_pod_waits() {
    let cluster = Cluster::with(|scene| {
        scene.storage.push(StorageClass {
            largest: "1Mi".into(),
            ..StorageClass::new("small")
        });
    })
    .await;
    for (claim, class) in [("none", "nobody-has-this"), ("large", "small")] {
        let claim = json!({
            "metadata": { "name": claim },
            "spec": { "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "resources": { "requests": { "storage": "1Gi" } } },
        });
        cluster.create("persistentvolumeclaims", claim);
    }
    let mut made = deployment(SERVE, 1);
    made["spec"]["template"]["spec"]["volumes"] = json!([
        { "name": "a", "persistentVolumeClaim": { "claimName": "none" } },
    ]);

    cluster.create("deployments.apps", made);

    cluster
        .until("it is said", |cluster| {
            cluster.has_event(
                "FailedScheduling",
                "unbound immediate PersistentVolumeClaims",
            ) && cluster.has_event("ProvisioningFailed", "\"nobody-has-this\" not found")
        })
        .await;
}

#[tokio::test]
async fn when_a_daemon_set_is_made_then_every_machine_has_a_pod_also_new_ones() {
    let cluster = Cluster::start().await;
    let set = json!({
        "metadata": { "name": "agent" },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "updateStrategy": { "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": template(SERVE),
        },
    });
    cluster.create("daemonsets.apps", set);
    cluster.until_ready(2).await;

    cluster
        .controllers
        .add_machine(&Machine::new("three"))
        .unwrap();
    let tainted = Machine::new("four").taint("only", "others", "NoSchedule");
    cluster.controllers.add_machine(&tainted).unwrap();
    cluster.until_ready(3).await;
    let edit = |set: &mut Value| set["spec"]["template"] = template(&format!("{SERVE}; true"));
    cluster
        .store
        .edit("daemonsets.apps", SPACE, "agent", edit)
        .unwrap();

    cluster
        .until("it is rolled out", |cluster| {
            let set = cluster
                .store
                .get("daemonsets.apps", SPACE, "agent")
                .unwrap();
            number(&set, "/status/updatedNumberScheduled") == Some(3)
                && number(&set, "/status/numberAvailable") == Some(3)
                && cluster.pods().len() == 3
        })
        .await;
}

#[tokio::test]
async fn when_jobs_run_then_they_succeed_or_give_up() {
    let cluster = Cluster::start().await;
    let job = |name: &str, script: &str| {
        let mut template = template(script);
        template["spec"]["restartPolicy"] = "Never".into();
        json!({
            "metadata": { "name": name },
            "spec": { "completions": 2, "backoffLimit": 1, "template": template },
        })
    };
    cluster.create("jobs.batch", job("good", "echo done"));
    cluster.create("jobs.batch", job("bad", "exit 2"));

    let ends = |name: &'static str, kind: &'static str, reason: &'static str| {
        move |cluster: &Cluster| {
            let job = cluster.store.get("jobs.batch", SPACE, name).unwrap();
            condition(&job, kind).is_some_and(|one| text(one, "/reason") == reason)
        }
    };
    cluster
        .until(
            "one succeeds",
            ends("good", "Complete", "CompletionsReached"),
        )
        .await;
    cluster
        .until(
            "one gives up",
            ends("bad", "Failed", "BackoffLimitExceeded"),
        )
        .await;
    let good = cluster.store.get("jobs.batch", SPACE, "good").unwrap();
    assert_eq!(number(&good, "/status/succeeded"), Some(2));
}

#[tokio::test]
async fn when_it_is_time_for_a_cron_job_then_a_job_runs_and_forbidden_ones_do_not() {
    let cluster = Cluster::start().await;
    let mut template = template("sleep 30");
    template["spec"]["restartPolicy"] = "Never".into();
    let cron = json!({
        "metadata": { "name": "cleaner" },
        "spec": {
            "schedule": "* * * * *", "concurrencyPolicy": "Forbid",
            "jobTemplate": { "spec": { "template": template } },
        },
    });
    cluster.create("cronjobs.batch", cron);

    let first = cluster.controllers.tick(SPACE, "cleaner").unwrap();
    let second = cluster.controllers.tick(SPACE, "cleaner").unwrap();

    assert!(first.is_some());
    assert_eq!(second, None);
    assert!(cluster.controllers.tick(SPACE, "nobody").is_err());
}

#[tokio::test]
async fn when_a_pod_is_deleted_then_it_ends_in_good_order_or_is_killed() {
    let cluster = Cluster::start().await;
    let pod = |name: &str, script: &str| {
        let mut pod = template(script);
        pod["metadata"]["name"] = name.into();
        pod
    };
    cluster.create("pods", pod("polite", SERVE));
    cluster.create("pods", pod("deaf", "sleep 86400"));
    cluster.until_ready(2).await;

    for pod in ["polite", "deaf"] {
        cluster
            .store
            .delete("pods", SPACE, pod, Deletion::default())
            .unwrap();
    }

    cluster
        .until("both are gone", |cluster| {
            cluster.store.list("pods", SPACE).is_empty()
        })
        .await;
    assert!(cluster.has_event("Killing", "Stopping container main"));
}

#[tokio::test]
async fn when_probes_fail_then_it_is_not_ready_or_starts_anew() {
    let cluster = Cluster::start().await;
    let mut made = deployment(
        "trap 'exit 0' TERM; touch /tmp/up; sleep 5; touch /tmp/hangs; sleep 86400 & wait",
        1,
    );
    let container = &mut made["spec"]["template"]["spec"]["containers"][0];
    let probe = |words: Value| json!({ "exec": { "command": words }, "periodSeconds": 1, "failureThreshold": 2 });
    container["readinessProbe"] = probe(json!(["test", "-e", "/tmp/up"]));
    container["livenessProbe"] = probe(json!(["test", "!", "-e", "/tmp/hangs"]));

    cluster.create("deployments.apps", made);

    cluster.until_ready(1).await;
    cluster
        .until("it starts anew", |cluster| {
            let pod = &cluster.pods()[0];
            number(pod, "/status/containerStatuses/0/restartCount") >= Some(1)
        })
        .await;
    assert!(cluster.has_event("Unhealthy", "Liveness probe failed"));
    assert!(cluster.has_event("Killing", "failed liveness probe, will be restarted"));
}

#[tokio::test]
async fn when_a_volume_is_overfilled_then_the_pod_is_evicted_and_another_one_comes() {
    let cluster = Cluster::start().await;
    let mut made = deployment(
        "dd if=/dev/zero of=/scratch/full bs=1M count=8; sleep 100",
        1,
    );
    let spec = &mut made["spec"]["template"]["spec"];
    spec["volumes"] = json!([{ "name": "scratch", "emptyDir": { "sizeLimit": "4Mi" } }]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "scratch", "mountPath": "/scratch" }]);

    cluster.create("deployments.apps", made);

    cluster
        .until("pods are evicted", |cluster| {
            let pods = cluster.store.list("pods", SPACE);
            let evicted = pods
                .iter()
                .filter(|pod| text(pod, "/status/reason") == "Evicted");
            evicted.count() >= 2
        })
        .await;
}

#[tokio::test]
async fn when_containers_write_then_their_logs_are_served() {
    let cluster = Cluster::start().await;
    cluster.create("deployments.apps", deployment(SERVE, 1));
    cluster.until_ready(1).await;

    let pod = name(&cluster.pods()[0]).to_owned();

    assert!(cluster.controllers.kill(SPACE, &pod, "main"));
    cluster
        .until("it is started again", |cluster| {
            let pod = &cluster.pods()[0];
            number(pod, "/status/containerStatuses/0/restartCount") == Some(1)
        })
        .await;
    assert!(cluster.server.url().starts_with("http://127.0.0.1:"));
}
