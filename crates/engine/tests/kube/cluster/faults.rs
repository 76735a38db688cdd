//! An API server that is busy, away, or loses answers.

use std::time::Duration;

use baetyl_apiserver::{Fault, Filter, Outage, When};
use baetyl_engine::kube::cluster::{Checked, Rejection};
use baetyl_engine::reason;

use super::rig::{APPLICATION, Rig, config_map, deployment, uid};

fn patches() -> Filter {
    Filter {
        user: Some("core".to_owned()),
        verbs: vec!["patch"],
        ..Filter::default()
    }
}

fn assert_passing(rejection: &Rejection) {
    assert_eq!(rejection.reason, reason::CLUSTER_UNAVAILABLE, "{rejection}");
    assert!(!rejection.is_final);
    assert!(rejection.violations.is_empty());
}

#[tokio::test]
async fn when_the_server_is_busy_then_it_says_when_to_come_again() {
    let rig = Rig::start().await;
    for code in [429, 500, 503] {
        rig.server
            .faults()
            .add(patches(), When::Always, Fault::Answer(code));

        let rejection = rig.check(&[config_map("a", "1")]).await.unwrap_err();

        assert_passing(&rejection);
        assert_eq!(rejection.retry_after.is_some(), code == 429, "{code}");
        rig.server.faults().clear();
    }
}

#[tokio::test]
async fn when_a_write_loses_a_race_then_it_is_sent_again() {
    let rig = Rig::start().await;
    rig.apply(&[config_map("a", "1")]).await.unwrap();
    let object = config_map("a", "2");
    rig.server
        .faults()
        .add(patches(), When::Next(2), Fault::Answer(409));

    rig.cluster
        .repair(&object, None, &rig.options)
        .await
        .unwrap();
    assert_eq!(rig.live(object.key()).unwrap()["data"]["key"], "2");

    rig.server
        .faults()
        .add(patches(), When::Always, Fault::Answer(409));
    let rejection = rig
        .cluster
        .repair(&object, None, &rig.options)
        .await
        .unwrap_err();
    assert_passing(&rejection);
}

#[tokio::test]
async fn when_the_server_is_away_then_nothing_is_decided() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1")];
    rig.apply(&objects).await.unwrap();
    let uid = uid(&rig.live(objects[0].key()).unwrap());
    rig.server.faults().go_away(Outage::Reset);

    assert_passing(&rig.check(&objects).await.unwrap_err());
    let failure = rig.apply(&objects).await.unwrap_err();
    assert_passing(&failure.rejection);
    let repair = rig
        .cluster
        .repair(&objects[0], Some(&uid), &rig.options)
        .await;
    assert_passing(&repair.unwrap_err());
    let targets = [(objects[0].key().clone(), Some(uid))];
    assert_passing(&rig.cluster.delete(APPLICATION, &targets).await.unwrap_err());
    assert_passing(&rig.cluster.capabilities().await.unwrap_err());

    rig.server.faults().come_back();
    rig.check(&objects).await.unwrap();
}

#[tokio::test]
async fn when_the_answer_to_a_write_is_lost_then_a_repetition_changes_nothing() {
    let rig = Rig::start().await;
    let objects = [config_map("a", "1"), deployment("b")];
    for fault in [Fault::StoredThenCut, Fault::StoredThenAnswer(500)] {
        let filter = Filter {
            resource: Some("deployments.apps".to_owned()),
            ..patches()
        };
        // The dry run first.
        let checked = rig.check(&objects).await.unwrap();
        let known = rig.known(&objects);
        rig.server.faults().add(filter, When::Next(1), fault);

        let failure = rig
            .cluster
            .apply(&objects, &checked, &known, &rig.options)
            .await
            .unwrap_err();

        assert_passing(&failure.rejection);
        assert!(failure.applied.objects.contains_key(objects[0].key()));
        let before = rig.store().version();
        rig.apply(&objects).await.unwrap();
        assert_eq!(rig.store().version(), before);
        rig.server.faults().clear();
    }
}

#[tokio::test]
async fn when_one_of_many_fails_then_what_is_under_way_is_still_told() {
    let rig = Rig::start().await;
    let objects: Vec<_> = (0..120)
        .map(|n| config_map(&format!("c{n}"), "1"))
        .collect();
    let filter = Filter {
        name: Some("c3".to_owned()),
        ..patches()
    };
    rig.server
        .faults()
        .add(filter, When::Always, Fault::Answer(500));

    let failure = rig
        .cluster
        .apply(
            &objects,
            &Checked::default(),
            &Default::default(),
            &rig.options,
        )
        .await
        .unwrap_err();

    let there: Vec<_> = objects
        .iter()
        .filter(|o| rig.live(o.key()).is_some())
        .collect();
    assert_eq!(failure.applied.objects.len(), there.len());
    assert!(
        there.len() < 119,
        "nothing is begun after a failure: {}",
        there.len()
    );
    assert!(
        there
            .iter()
            .all(|o| failure.applied.objects.contains_key(o.key()))
    );
}

#[tokio::test]
async fn when_a_call_is_dropped_anywhere_then_another_one_finishes_it() {
    for limit in [1_u64, 3, 6, 10, 15, 25, 40] {
        let rig = Rig::start().await;
        let objects: Vec<_> = (0..12).map(|n| config_map(&format!("c{n}"), "1")).collect();

        let _ = tokio::time::timeout(Duration::from_millis(limit), rig.apply(&objects)).await;

        let applied = rig.apply(&objects).await.unwrap();
        assert_eq!(applied.objects.len(), 12);
    }
}
