//! Broken, slow and silent servers: what is seen in the end is what is there.

use std::collections::BTreeSet;
use std::time::Duration;

use baetyl_apiserver::{ApiServer, Deletion, Fault, Filter, Outage, When};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::rig::{CLUSTER_ROLE, EDGE, Rig, config_map, ours, role};

fn watches_of(resource: &str) -> Filter {
    Filter {
        verbs: vec!["watch"],
        resource: Some(resource.to_owned()),
        ..Filter::default()
    }
}

#[tokio::test]
async fn when_the_history_is_gone_then_what_was_removed_meanwhile_is_not_seen_any_more() {
    let rig = Rig::start().await;
    let store = rig.store();
    for name in ["stays", "goes"] {
        store
            .create("configmaps", EDGE, config_map("web", name))
            .expect("new");
    }
    rig.facts("web", |facts| facts.objects.len() == 2).await;

    rig.server.faults().go_away(Outage::Reset);
    let deleted = store.delete("configmaps", EDGE, "goes", Deletion::default());
    deleted.expect("it was there");
    rig.server.compact();
    rig.server.faults().come_back();
    let facts = rig.facts("web", |facts| facts.objects.len() == 1).await;

    let names: Vec<_> = facts.objects.keys().map(|key| &*key.name).collect();
    assert_eq!(names, ["stays"]);
    rig.stop().await;
}

async fn outage(outage: Outage) {
    let quick = |settings: &mut baetyl_engine::kube::settings::KubeSettings| {
        settings.watch_silence = Duration::from_millis(300);
    };
    let rig = Rig::prepared(&[&role(EDGE), CLUSTER_ROLE], |_| (), quick).await;
    let store = rig.store();
    store
        .create("configmaps", EDGE, config_map("web", "a"))
        .expect("new");
    rig.facts("web", |facts| facts.objects.len() == 1).await;

    rig.server.faults().go_away(outage);
    let blind = rig.cluster(|facts| facts.blind_since.is_some()).await;
    let kept = rig.watches.facts("web").borrow().objects.len();
    store
        .create("configmaps", EDGE, config_map("web", "b"))
        .expect("new");
    rig.server.faults().come_back();
    let back = rig.cluster(|facts| facts.blind_since.is_none()).await;
    rig.facts("web", |facts| facts.objects.len() == 2).await;

    assert!(!blind.blind_reason.is_empty());
    assert_eq!(kept, 1);
    assert_eq!(back.blind_reason, "");
    rig.stop().await;
}

#[tokio::test]
async fn when_the_server_refuses_connections_then_it_is_said_and_everything_resumes() {
    outage(Outage::Reset).await;
}

#[tokio::test]
async fn when_the_server_is_silent_then_it_is_noticed_and_everything_resumes() {
    outage(Outage::Silent).await;
}

#[tokio::test]
async fn when_the_server_is_away_at_the_start_then_it_is_waited_for() {
    let away = |server: &ApiServer| server.faults().go_away(Outage::Reset);
    let rig = Rig::prepared(&[&role(EDGE)], away, |_| ()).await;
    let blind = rig.cluster(|facts| facts.blind_since.is_some()).await;

    rig.server.faults().come_back();
    rig.ready().await;
    rig.cluster(|facts| facts.blind_since.is_none()).await;

    assert!(!blind.blind_reason.is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn when_one_watch_says_nothing_then_it_is_opened_anew_and_misses_nothing() {
    let quick = |settings: &mut baetyl_engine::kube::settings::KubeSettings| {
        settings.watch_silence = Duration::from_millis(300);
    };
    let rig = Rig::prepared(&[&role(EDGE)], |_| (), quick).await;
    rig.ready().await;
    let faults = rig.server.faults();

    let stall = faults.add(watches_of("configmaps"), When::Always, Fault::WatchStall);
    for (resource, object) in [
        ("configmaps", config_map("web", "stalled")),
        (
            "serviceaccounts",
            json!({"metadata": ours("web", "others-go-on")}),
        ),
    ] {
        rig.store().create(resource, EDGE, object).expect("new");
    }
    let meanwhile = rig.facts("web", |facts| !facts.objects.is_empty()).await;
    faults.remove(stall);
    rig.facts("web", |facts| facts.objects.len() == 2).await;

    let names: Vec<_> = meanwhile.objects.keys().map(|key| &*key.name).collect();
    assert_eq!(names, ["others-go-on"]);
    rig.stop().await;
}

#[tokio::test]
async fn when_lists_are_refused_for_a_while_then_they_are_tried_again() {
    let busy = |server: &ApiServer| {
        let lists = Filter {
            verbs: vec!["list"],
            ..Filter::default()
        };
        for code in [429, 500, 503] {
            server
                .faults()
                .add(lists.clone(), When::Next(7), Fault::Answer(code));
        }
        let created = server
            .store()
            .create("configmaps", EDGE, config_map("web", "a"));
        created.expect("new");
    };

    let rig = Rig::prepared(&[&role(EDGE)], busy, |_| ()).await;
    rig.ready().await;

    assert_eq!(rig.watches.facts("web").borrow().objects.len(), 1);
    rig.stop().await;
}

/// Random changes under random faults; the seed is printed when it fails.
#[tokio::test]
async fn when_watches_break_in_every_way_then_the_facts_end_as_what_is_there() {
    let seed = std::env::var("BAETYL_SEED").map_or_else(
        |_| rand::rng().random(),
        |text| text.parse().expect("BAETYL_SEED is a number"),
    );
    let mut rng = StdRng::seed_from_u64(seed);
    let rig = Rig::start().await;
    rig.ready().await;
    let (store, faults) = (rig.store(), rig.server.faults());
    for fault in [
        Fault::WatchBreak,
        Fault::WatchEnd,
        Fault::WatchExpire,
        Fault::WatchRepeat(5),
        Fault::Answer(500),
    ] {
        let chance = When::Chance {
            per_mille: 60,
            seed: rng.random(),
        };
        faults.add(watches_of("configmaps"), chance, fault);
    }

    let mut expected = BTreeSet::new();
    for step in 0..400 {
        let name = format!("c{}", rng.random_range(0..30));
        if expected.insert(name.clone()) {
            let created = store.create("configmaps", EDGE, config_map("web", &name));
            created.expect("new");
        } else if rng.random_bool(0.5) {
            expected.remove(&name);
            let deleted = store.delete("configmaps", EDGE, &name, Deletion::default());
            deleted.expect("it was there");
        } else {
            let edited = store.edit("configmaps", EDGE, &name, |object| {
                object["data"]["step"] = json!(step.to_string());
            });
            edited.expect("it is there");
        }
        if step % 40 == 39 {
            rig.server.compact();
        }
        // Lets the watches run: what happens at once is seen at once.
        tokio::task::yield_now().await;
    }
    faults.clear();
    rig.facts("web", |facts| {
        let seen = facts.objects.iter();
        let seen: BTreeSet<_> = seen
            .map(|(key, object)| (key.name.clone(), object.resource_version.clone()))
            .collect();
        let there = store.list("configmaps", EDGE).into_iter();
        let there: BTreeSet<_> = there
            .map(|object| {
                let text = |name: &str| object["metadata"][name].as_str().map(str::to_owned);
                (
                    text("name").unwrap_or_default(),
                    text("resourceVersion").unwrap_or_default(),
                )
            })
            .collect();
        seen == there
    })
    .await;

    rig.stop().await;
}
