//! Definitions and namespaces that come with what needs them, scopes and capabilities.

use std::time::Duration;

use baetyl_apiserver::{Fault, Filter, Options, When};
use baetyl_engine::kube::manifest::Scope;
use baetyl_engine::kube::object::Object;
use baetyl_engine::reason;
use serde_json::json;

use super::rig::{Rig, config_map, definition, object, widget};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn when_a_set_defines_its_kind_then_that_is_waited_for() {
    let options = Options {
        establish_crds: false,
        ..Options::default()
    };
    let rig = Rig::with_options(options).await;
    let objects = [widget("w", json!(3)), definition(), config_map("a", "1")];

    let checked = rig.check(&objects).await.unwrap();
    assert_eq!(
        checked.deferred.iter().collect::<Vec<_>>(),
        [objects[0].key()]
    );
    let store = rig.store();
    let establish = async {
        let name = "widgets.example.com";
        let resource = "customresourcedefinitions.apiextensions.k8s.io";
        store
            .wait_for(PATIENCE, |store| store.get(resource, "", name))
            .await
            .unwrap();
        // Nothing else may be there before its kind is.
        assert!(rig.live(objects[2].key()).is_none());
        store.establish(name).unwrap();
    };
    let (applied, ()) = tokio::join!(rig.apply(&objects), establish);

    assert_eq!(applied.unwrap().objects.len(), 3);
    assert_eq!(rig.live(objects[0].key()).unwrap()["spec"]["size"], 3);
}

#[tokio::test]
async fn when_the_watch_on_a_definition_breaks_then_it_is_looked_again() {
    let options = Options {
        establish_crds: false,
        ..Options::default()
    };
    let rig = Rig::with_options(options).await;
    let resource = "customresourcedefinitions.apiextensions.k8s.io";
    let filter = Filter {
        resource: Some(resource.to_owned()),
        ..Filter::default()
    };
    rig.server
        .faults()
        .add(filter, When::Next(1), Fault::WatchEnd);
    let objects = [definition()];
    let establish = async {
        let is_watched = async {
            while rig.server.log().open_watches() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, is_watched).await.unwrap();
        rig.store().establish("widgets.example.com").unwrap();
    };

    let (applied, ()) = tokio::join!(rig.apply(&objects), establish);

    assert_eq!(applied.unwrap().objects.len(), 1);
}

#[tokio::test]
async fn when_an_object_of_a_new_kind_is_wrong_then_only_its_definition_is_there() {
    let rig = Rig::start_with_more().await;
    let objects = [
        widget("w", json!("three")),
        definition(),
        config_map("a", "1"),
    ];

    let failure = rig.apply(&objects).await.unwrap_err();

    assert_eq!(failure.rejection.reason, reason::INVALID_OBJECT);
    assert!(failure.rejection.is_final);
    assert_eq!(failure.rejection.violations[0].object, *objects[0].key());
    assert!(
        failure.rejection.violations[0].field.contains("spec.size"),
        "{failure}"
    );
    let applied: Vec<_> = failure.applied.objects.keys().collect();
    assert_eq!(applied, [objects[1].key()]);
    assert!(rig.live(objects[2].key()).is_none());
}

#[tokio::test]
async fn when_a_set_makes_its_namespace_then_what_is_in_it_comes_after() {
    let rig = Rig::start_with_more().await;
    let namespace = object("v1", "Namespace", "own", json!({}));
    let mut body = config_map("a", "1").body().clone();
    body["metadata"]["namespace"] = "own".into();
    let inside = Object::try_new(body).unwrap();
    let objects = [inside, namespace];

    let checked = rig.check(&objects).await.unwrap();
    assert_eq!(
        checked.deferred.iter().collect::<Vec<_>>(),
        [objects[0].key()]
    );
    rig.apply(&objects).await.unwrap();

    assert_eq!(rig.writes(), ["patch namespaces/own", "patch configmaps/a"]);
}

#[tokio::test]
async fn when_scopes_are_asked_for_then_definitions_of_the_set_count() {
    let rig = Rig::start().await;
    let objects = [
        widget("w", json!(1)),
        definition(),
        config_map("a", "1"),
        object("example.org/v1", "Gadget", "g", json!({})),
    ];

    let scopes = rig.cluster.scopes(&objects).await.unwrap();

    assert_eq!(
        scopes.get("example.com/v1", "Widget"),
        Some(Scope::Namespaced)
    );
    assert_eq!(scopes.get("v1", "ConfigMap"), Some(Scope::Namespaced));
    let definitions = scopes.get("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    assert_eq!(definitions, Some(Scope::Cluster));
    assert_eq!(scopes.get("example.org/v1", "Gadget"), None);
}

#[tokio::test]
async fn when_capabilities_are_asked_for_then_they_are_kept() {
    let rig = Rig::start().await;

    let first = rig.cluster.capabilities().await.unwrap();
    let count = rig.requests().len();
    let second = rig.cluster.capabilities().await.unwrap();

    assert!(first.version.starts_with('v'), "{}", first.version);
    for api in ["v1", "v1/ConfigMap", "apps/v1", "apps/v1/Deployment"] {
        assert!(first.apis.contains(&api.to_owned()), "{api}");
    }
    assert_eq!(first, second);
    assert_eq!(rig.requests().len(), count);
    // And discovery has learned from it.
    rig.server.log().clear();
    rig.check(&[config_map("a", "1")]).await.unwrap();
    assert_eq!(rig.counts().get("discovery"), None);
}
