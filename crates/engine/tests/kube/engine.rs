//! The whole engine against an API server, with controllers that are played by hand.

use baetyl_apiserver::Outage;
use baetyl_engine::{EngineError, reason};
use baetyl_proto::resource::v1 as pb;
use pb::{ApplicationState, ConditionStatus};
use serde_json::json;

use crate::observe::rig::{BOUND, EDGE};
use rig::{Bench, Conduct, app, label, mounting, version};

mod functions;
mod many;
mod rig;

fn condition<'a>(app: &'a pb::ApplicationStatus, kind: &str) -> Option<&'a pb::Condition> {
    app.conditions.iter().find(|one| one.r#type == kind)
}

fn reasons(app: &pb::ApplicationStatus) -> Vec<&str> {
    app.events
        .iter()
        .map(|event| event.reason.as_str())
        .collect()
}

#[tokio::test]
async fn when_an_application_is_wanted_then_it_is_applied_and_serves() {
    let mut bench = Bench::start().await;
    let fence = bench.desire([app("web")]);

    bench.rolled("web", "").await;

    let status = bench.healthy("web", 1).await;
    bench.converged(fence).await;
    assert_eq!(status.instances.len(), 1);
    assert_eq!(status.instances[0].revision, 1);
    assert_eq!(status.instances[0].state(), pb::InstanceState::Ready);
    assert_eq!(status.instances[0].containers[0].service, "main");
    let available = condition(&status, "Available").unwrap();
    assert_eq!(available.status(), ConditionStatus::True);
    assert!(reasons(&status).contains(&reason::PROMOTED));
    let kinds: Vec<_> = status.objects.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["Deployment", "Secret", "Service", "ServiceAccount"]);
    assert!(status.objects.iter().all(|object| object.is_ready));
}

#[tokio::test]
async fn when_nothing_changes_then_nothing_is_asked() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    bench.rolled("web", "").await;
    bench.healthy("web", 1).await;
    bench.server.log().clear();

    // All that happens to another application is a clock.
    let fence = bench.desire([app("web"), app("other")]);
    bench.rolled("other", "").await;
    bench.healthy("other", 1).await;
    bench.converged(fence).await;

    let about_web = |name: &str| name == "web" || name.starts_with("web-");
    let asked = bench.server.log().count(|request| about_web(&request.name));
    assert_eq!(asked, 0, "{:#?}", bench.server.log().entries());
}

#[tokio::test]
async fn when_an_update_fails_then_the_last_good_revision_comes_back() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    let good = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;

    bench.desire([version(app("web"), "two"), app("other")]);
    let bad = bench.applied("web", &good).await;
    bench.play("web", Conduct::Waits("ImagePullBackOff"));

    let status = bench.state("web", ApplicationState::RolledBack).await;
    assert_eq!(status.reason, reason::IMAGE_PULL_FAILED);
    assert_eq!((status.desired_revision, status.serving_revision), (2, 1));
    let rolled_back = condition(&status, "RolledBack").unwrap();
    assert_eq!(rolled_back.reason, reason::IMAGE_PULL_FAILED);
    assert!(reasons(&status).contains(&reason::ROLLED_BACK));
    assert_eq!(bench.applied("web", &bad).await, good);
    // Others go on meanwhile.
    bench.rolled("other", "").await;
    bench.healthy("other", 1).await;

    bench.play("web", Conduct::Ready);
    bench.desire([version(app("web"), "three"), app("other")]);
    bench.rolled("web", &good).await;
    let status = bench.healthy("web", 3).await;
    assert!(condition(&status, "RolledBack").is_none());
}

#[tokio::test]
async fn when_the_first_revision_fails_then_it_stays_and_serves_once_it_can() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    let label = bench.applied("web", "").await;
    bench.play("web", Conduct::Waits("CreateContainerConfigError"));

    let status = bench.state("web", ApplicationState::Failed).await;
    assert_eq!(status.reason, reason::CONFIG_ERROR);
    assert!(reasons(&status).contains(&reason::REVISION_FAILED));

    bench.play("web", Conduct::Ready);
    bench.healthy("web", 1).await;
    assert_eq!(bench.applied("web", "").await, label);
}

#[tokio::test]
async fn when_files_are_reloaded_then_pods_are_told_and_nothing_is_restarted() {
    let mut bench = Bench::start().await;
    bench.configure("limits", "limits.json", "30");
    let web = || mounting(app("web"), "limits", pb::OnChange::Reload);
    bench.desire([web()]);
    let before = bench.rolled("web", "").await;
    let pod = bench.healthy("web", 1).await.instances[0].id.clone();

    bench.configure("limits", "limits.json", "31");
    let fence = bench.desire([web()]);
    bench.converged(fence).await;

    let status = bench.healthy("web", 1).await;
    let taken = &status.input_digests["configuration/limits"];
    assert_eq!(*taken, bench.input("configuration/limits").to_string());
    assert_eq!(status.instances[0].id, pod);
    assert_eq!(label(&bench.store(), "web"), Some(before));
    let told = bench.store().get("pods", EDGE, &pod).unwrap();
    assert!(told["metadata"]["annotations"]["baetyl.io/inputs"].is_string());
    let maps = bench.store().list("configmaps", EDGE);
    let texts: Vec<_> = maps
        .iter()
        .map(|map| map["data"]["limits.json"].clone())
        .collect();
    assert_eq!(texts, [json!("31")]);
}

#[tokio::test]
async fn when_an_input_restarts_then_it_rolls_and_the_old_content_goes() {
    let mut bench = Bench::start().await;
    bench.configure("limits", "limits.json", "30");
    let web = || mounting(app("web"), "limits", pb::OnChange::Restart);
    bench.desire([web()]);
    let before = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;

    bench.configure("limits", "limits.json", "31");
    let fence = bench.desire([web()]);
    bench.rolled("web", &before).await;
    bench.converged(fence).await;

    let maps = bench.store().list("configmaps", EDGE);
    let texts: Vec<_> = maps
        .iter()
        .map(|map| map["data"]["limits.json"].clone())
        .collect();
    assert_eq!(texts, [json!("31")]);
}

#[tokio::test]
async fn when_an_application_is_no_longer_wanted_then_its_objects_go_and_its_data_stays() {
    let mut bench = Bench::start().await;
    let mut web = app("web");
    web.volumes.push(pb::Volume {
        name: "data".into(),
        source: Some(pb::volume::Source::Persistent(
            pb::PersistentFolder::default(),
        )),
        ..pb::Volume::default()
    });
    bench.desire([web]);
    bench.applied("web", "").await;
    let store = bench.store();
    let claims = || store.list("persistentvolumeclaims", EDGE);
    let claim = claims()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let bind = |claim: &mut serde_json::Value| claim["status"] = json!({"phase": "Bound"});
    bench
        .store()
        .edit_status("persistentvolumeclaims", EDGE, &claim, bind)
        .unwrap();
    bench.play("web", Conduct::Ready);
    bench.healthy("web", 1).await;

    let fence = bench.desire([]);
    bench.converged(fence).await;

    for resource in [
        "deployments.apps",
        "services",
        "secrets",
        "serviceaccounts",
        "pods",
    ] {
        let ours = bench
            .store()
            .select(resource, EDGE, "baetyl.io/owner=owner-1");
        assert!(ours.is_empty(), "{resource}: {ours:#?}");
    }
    assert_eq!(claims().len(), 1);
    assert!(bench.records.stored("web").is_none());

    bench.engine().decommission(true).await.unwrap();
    assert!(claims().is_empty());
}

#[tokio::test]
async fn when_the_engine_starts_again_then_it_takes_over_without_a_write() {
    let mut bench = Bench::start().await;
    bench.configure("limits", "limits.json", "30");
    let web = || mounting(app("web"), "limits", pb::OnChange::Reload);
    bench.desire([web()]);
    bench.rolled("web", "").await;
    let before = bench.healthy("web", 1).await;
    let issued = bench.issuer.issued();
    bench.stop_engine().await;
    bench.server.log().clear();

    bench.start_engine().await;
    let fence = bench.desire([web()]);
    bench.converged(fence).await;

    let after = bench.healthy("web", 1).await;
    assert_eq!(after.transition_time, before.transition_time);
    assert_eq!(bench.writes().len(), 0, "{:#?}", bench.writes());
    assert_eq!(bench.issuer.issued(), issued);
}

#[tokio::test]
async fn when_the_engine_is_gone_in_the_middle_then_the_next_one_goes_on() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    let old = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;
    bench.desire([version(app("web"), "two")]);
    bench.applied("web", &old).await;
    bench.stop_engine().await;

    bench.play("web", Conduct::Ready);
    bench.start_engine().await;

    // Nothing was said to it yet: the record knows what was tried.
    let status = bench.healthy("web", 2).await;
    assert_eq!(status.instances.len(), 1);
}

#[tokio::test]
async fn when_it_leaves_then_everything_of_ours_goes_and_nothing_of_others() {
    let mut bench = Bench::start().await;
    let foreign = json!({"metadata": {"name": "foreign"}, "data": {"key": "value"}});
    bench.store().create("configmaps", EDGE, foreign).unwrap();
    bench.desire([app("web"), app("other")]);
    for name in ["web", "other"] {
        bench.rolled(name, "").await;
        bench.healthy(name, 1).await;
    }

    bench.engine().decommission(false).await.unwrap();

    for resource in ["deployments.apps", "services", "secrets", "pods"] {
        assert!(bench.store().list(resource, EDGE).is_empty(), "{resource}");
    }
    assert_eq!(bench.store().list("configmaps", EDGE).len(), 1);
}

#[tokio::test]
async fn when_records_are_lost_then_what_is_left_is_removed() {
    let mut bench = Bench::start().await;
    bench.desire([app("web"), app("lost")]);
    for name in ["web", "lost"] {
        bench.rolled(name, "").await;
        bench.healthy(name, 1).await;
    }
    bench.stop_engine().await;
    bench.records = Default::default();

    bench.start_engine().await;
    let fence = bench.desire([app("web")]);
    bench.play("web", Conduct::Ready);
    bench.converged(fence).await;

    let ours = bench.store().list("deployments.apps", EDGE);
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0]["metadata"]["name"], "web");
}

#[tokio::test]
async fn when_somebody_removes_or_edits_an_object_then_it_is_made_right() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    bench.rolled("web", "").await;
    bench.healthy("web", 1).await;

    let by_hand = bench.store().named("kubectl-edit");
    by_hand
        .delete("services", EDGE, "web", baetyl_apiserver::Deletion::now())
        .unwrap();
    by_hand
        .edit("deployments.apps", EDGE, "web", |web| {
            web["spec"]["template"]["spec"]["containers"][0]["image"] = json!("evil:1");
        })
        .unwrap();

    bench
        .cluster("both are as they were", |store| {
            store.get("services", EDGE, "web")?;
            let web = store.get("deployments.apps", EDGE, "web")?;
            let image = &web["spec"]["template"]["spec"]["containers"][0]["image"];
            (image == "busybox:1").then_some(())
        })
        .await;
    bench.play("web", Conduct::Ready);
    let status = bench.healthy("web", 1).await;
    assert!(reasons(&status).contains(&reason::REPAIRED));
}

#[tokio::test]
async fn when_an_object_belongs_to_somebody_else_then_it_is_not_touched() {
    let mut bench = Bench::start().await;
    let foreign = json!({
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "foreign"}},
    });
    let before = bench.store().create("services", EDGE, foreign).unwrap();

    bench.desire([app("web")]);

    let status = bench.state("web", ApplicationState::Failed).await;
    assert_eq!(status.reason, reason::OBJECT_NOT_OURS);
    assert!(
        status.message.contains("Service baetyl-edge/web"),
        "{}",
        status.message
    );
    let after = bench.store().get("services", EDGE, "web").unwrap();
    assert_eq!(before, after);
    assert!(bench.store().list("deployments.apps", EDGE).is_empty());
}

#[tokio::test]
async fn when_two_want_the_same_node_port_then_the_second_is_told() {
    let mut bench = Bench::start().await;
    let with_port = |name: &str| {
        let mut app = app(name);
        app.services[0].ports[0].node_port = 30080;
        app
    };
    bench.desire([with_port("one"), with_port("two")]);

    let status = bench
        .app("two", "it is refused", |app| {
            app.reason == reason::PORT_CONFLICT
        })
        .await;
    assert!(condition(&status, "Conflict").is_some());
    bench.rolled("one", "").await;
    bench.healthy("one", 1).await;

    bench.desire([with_port("two")]);
    bench.rolled("two", "").await;
    bench.healthy("two", 1).await;
}

#[tokio::test]
async fn when_the_cluster_cannot_be_seen_then_nothing_is_done_and_it_is_said() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    let good = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;

    bench.server.faults().go_away(Outage::Reset);
    let status = bench.state("web", ApplicationState::Unknown).await;
    assert_eq!(status.reason, reason::OBSERVATION_FAILED);
    assert_eq!(status.instances.len(), 1, "the last facts stay");
    bench.desire([version(app("web"), "two")]);

    bench.server.faults().come_back();
    bench.rolled("web", &good).await;
    bench.healthy("web", 2).await;
}

#[tokio::test]
async fn when_a_certificate_gets_old_then_its_secret_is_renewed_in_place() {
    let mut bench = Bench::start().await;
    bench.stop_engine().await;
    bench.issuer = baetyl_engine::memory::MemoryIssuer::new(std::time::Duration::from_secs(3));
    bench.start_engine().await;
    bench.desire([app("web")]);
    let before = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;
    let secret = |store: &baetyl_apiserver::Store| {
        let secrets = store.list("secrets", EDGE);
        secrets[0]["data"]["tls.crt"].as_str().unwrap().to_owned()
    };
    let first = secret(&bench.store());

    bench
        .cluster("another certificate", |store| {
            (secret(store) != first).then_some(())
        })
        .await;

    assert_eq!(label(&bench.store(), "web"), Some(before));
    bench.healthy("web", 1).await;
}

#[tokio::test]
async fn when_only_the_number_of_replicas_changes_then_nothing_goes_through_the_gate() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    let before = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;

    let mut two = app("web");
    two.replicas = Some(2);
    bench.desire([two]);

    bench
        .cluster("two replicas", |store| {
            let web = store.get("deployments.apps", EDGE, "web")?;
            (web["spec"]["replicas"] == 2).then_some(())
        })
        .await;
    assert_eq!(label(&bench.store(), "web"), Some(before));
    let status = bench
        .app("web", "revision 2 is taken", |app| {
            app.serving_revision == 2
        })
        .await;
    assert!(!reasons(&status)[1..].contains(&reason::PROMOTED));
}

#[tokio::test]
async fn when_a_retry_is_asked_for_then_the_failed_revision_gets_its_time_again() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    bench.applied("web", "").await;
    bench.play("web", Conduct::Waits("ImagePullBackOff"));
    bench.state("web", ApplicationState::Failed).await;
    let waiting = bench.store().list("pods", EDGE)[0].clone();

    bench.engine().retry("web").await.unwrap();

    bench
        .cluster("the pod that waited is gone", |store| {
            let pods = store.list("pods", EDGE);
            let is_it = |pod: &&std::sync::Arc<serde_json::Value>| {
                pod["metadata"]["uid"] == waiting["metadata"]["uid"]
            };
            pods.iter().find(is_it).is_none().then_some(())
        })
        .await;
    bench.play("web", Conduct::Ready);
    bench.healthy("web", 1).await;
    let unknown = bench.engine().retry("nobody").await;
    assert!(matches!(unknown, Err(EngineError::UnknownApplication(_))));
}

#[tokio::test]
async fn when_raw_objects_are_wanted_then_they_are_applied_followed_and_pruned() {
    let mut bench = Bench::start().await;
    let text = |names: &[&str]| {
        let documents: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n"
                )
            })
            .collect();
        documents.join("---\n")
    };
    let raw = || pb::Application {
        name: "raw".into(),
        r#type: pb::ApplicationType::Manifest.into(),
        manifest: Some(pb::ManifestSource {
            configuration: "objects".into(),
            keys: Vec::new(),
        }),
        ..pb::Application::default()
    };
    bench.configure("objects", "all.yaml", &text(&["one", "two"]));
    let fence = bench.desire([raw()]);
    bench.converged(fence).await;
    assert_eq!(bench.store().list("configmaps", EDGE).len(), 2);

    bench.configure("objects", "all.yaml", &text(&["two", "three"]));
    let fence = bench.desire([raw()]);
    bench.converged(fence).await;

    let maps = bench.store().list("configmaps", EDGE);
    let names: Vec<_> = maps
        .iter()
        .map(|map| map["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, [json!("three"), json!("two")]);
}

#[tokio::test]
async fn when_the_engine_stops_then_its_handle_says_so() {
    let mut bench = Bench::start().await;
    let engine = bench.engine().clone();
    bench.stop_engine().await;

    let answer = tokio::time::timeout(BOUND, engine.retry("web"))
        .await
        .unwrap();

    assert!(matches!(answer, Err(EngineError::Stopped)));
    assert!(engine.machines().is_some());
}

#[tokio::test]
async fn when_an_autoscaler_takes_over_then_no_instance_is_lost() {
    let mut bench = Bench::start().await;
    let fixed = |replicas: u32| {
        let mut app = app("web");
        app.replicas = Some(replicas);
        app
    };
    let replicas = |store: &baetyl_apiserver::Store| {
        let web = store.get("deployments.apps", EDGE, "web")?;
        web["spec"]["replicas"].as_i64()
    };
    bench.desire([fixed(3)]);
    bench.applied("web", "").await;
    bench.play("web", Conduct::Ready);
    bench.healthy("web", 1).await;

    let mut scaled = fixed(2);
    scaled.autoscaling = Some(pb::Autoscaling {
        min_replicas: 1,
        max_replicas: 5,
        metrics: vec![pb::ScalingMetric {
            resource: "cpu".into(),
            average_utilization: 50,
            ..pb::ScalingMetric::default()
        }],
    });
    scaled.services[0].resources = Some(pb::Resources {
        requests: [("cpu".to_owned(), "100m".to_owned())].into(),
        ..pb::Resources::default()
    });
    bench.desire([scaled.clone()]);
    bench
        .cluster("an autoscaler", |store| {
            store.get("horizontalpodautoscalers.autoscaling", EDGE, "web")
        })
        .await;
    bench.play("web", Conduct::Ready);
    bench.healthy("web", 2).await;
    assert_eq!(replicas(&bench.store()), Some(3));

    let scaler = bench.store().named("kube-controller-manager");
    let scale = |web: &mut serde_json::Value| web["spec"]["replicas"] = json!(5);
    scaler.edit("deployments.apps", EDGE, "web", scale).unwrap();
    scaled.description = "the number is left alone".into();
    bench.desire([scaled]);
    bench
        .app("web", "revision 3 is taken", |app| {
            app.serving_revision == 3
        })
        .await;
    assert_eq!(replicas(&bench.store()), Some(5));

    bench.desire([fixed(2)]);
    bench
        .cluster("it is fixed again", |store| {
            (replicas(store) == Some(2)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn when_an_autoscaler_is_there_from_the_beginning_then_it_begins_with_the_number_given() {
    let mut bench = Bench::start().await;
    let mut web = app("web");
    web.replicas = Some(4);
    web.services[0].resources = Some(pb::Resources {
        requests: [("memory".to_owned(), "10Mi".to_owned())].into(),
        ..pb::Resources::default()
    });
    web.autoscaling = Some(pb::Autoscaling {
        min_replicas: 2,
        max_replicas: 5,
        metrics: vec![pb::ScalingMetric {
            resource: "memory".into(),
            average_value: "20Mi".into(),
            ..pb::ScalingMetric::default()
        }],
    });
    bench.desire([web.clone()]);
    let before = bench.rolled("web", "").await;
    bench.healthy("web", 1).await;
    let replicas = |bench: &Bench| {
        let web = bench.store().get("deployments.apps", EDGE, "web").unwrap();
        web["spec"]["replicas"].clone()
    };
    assert_eq!(replicas(&bench), json!(4));

    bench.desire([version(web, "two")]);
    bench.rolled("web", &before).await;
    bench.healthy("web", 2).await;
    assert_eq!(replicas(&bench), json!(4));
}

#[tokio::test]
async fn when_somebody_declares_a_field_then_it_is_reported_until_it_is_to_be_taken_over() {
    let mut bench = Bench::start().await;
    bench.desire([app("web")]);
    bench.rolled("web", "").await;
    bench.healthy("web", 1).await;

    let declared = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": EDGE},
        "spec": {"selector": {"baetyl.io/application": "stolen"}},
    });
    bench.store().named("argocd").apply(&declared).unwrap();

    let status = bench
        .app("web", "it conflicts", |app| {
            condition(app, "Conflict").is_some()
        })
        .await;
    assert_eq!(status.reason, reason::FIELD_CONFLICT);
    assert!(status.message.contains("argocd"), "{}", status.message);
    let selected = |store: &baetyl_apiserver::Store| {
        let service = store.get("services", EDGE, "web").unwrap();
        service["spec"]["selector"]["baetyl.io/application"].clone()
    };
    assert_eq!(selected(&bench.store()), json!("stolen"));

    let mut forcing = app("web");
    forcing.force_conflicts = true;
    bench.desire([forcing]);
    bench
        .cluster("it is ours again", |store| {
            (selected(store) == json!("web")).then_some(())
        })
        .await;
    let status = bench.healthy("web", 2).await;
    assert!(condition(&status, "Conflict").is_none());
}
