//! Resources: revisions, lists, references, and commits that do everything or nothing.

use std::sync::Arc;

use baetyl_cloud::store::{Change, Precondition, Store, StoreError, Table, Write};
use baetyl_model::{Digest, Kind, Uid};

use crate::given::{
    configuration, created, first, key, key_in, name, namespace, next, put, put_record, record,
    referring, refused, revision, soon, write, write_if,
};

pub(crate) async fn when_nothing_was_written_then_reads_are_empty(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let tenant = &key.namespace;

    assert!(!store.id().is_empty());
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.get_revision(&key, revision(1)).await.unwrap(), None);
    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), []);
    assert_eq!(store.list(tenant, key.kind, None, 10).await.unwrap(), []);
    assert_eq!(store.namespaces(None, 10).await.unwrap(), []);
    assert_eq!(store.referrers(&key).await.unwrap(), []);
    assert_eq!(store.events(tenant, 0, 10).await.unwrap(), []);
    assert_eq!(store.sequence(tenant).await.unwrap(), 0);
}

pub(crate) async fn when_created_then_every_read_finds_it_whole(store: Arc<dyn Store>) {
    for kind in Kind::ALL {
        let key = key_in("plant", kind, "plant");
        let mut stored = first(&key, b"\x00\xff body \n".to_vec());
        stored.labels = [("site", "demo"), ("ünïcode", "\"'\u{1F980}"), ("empty", "")]
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .into();
        let stored = referring(stored, &[(Kind::Node, "one"), (Kind::Secret, "two")]);
        write(&*store, [put(&stored)]).await.unwrap();

        let found = Some(stored.clone());
        assert_eq!(store.get(&key).await.unwrap(), found);
        assert_eq!(store.get_revision(&key, revision(1)).await.unwrap(), found);
        let stored = [stored];
        assert_eq!(store.revisions(&key, None, 10).await.unwrap(), stored);
        let listed = store.list(&key.namespace, kind, None, 10).await.unwrap();
        assert_eq!(listed, stored);
    }
}

pub(crate) async fn when_changed_then_old_revisions_stay_as_they_were(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let mut all = vec![created(&*store, &key, "body 1").await];
    for number in 2..=5 {
        let changed = next(&all[0], format!("body {number}"));
        let at = Precondition::At(key.clone(), changed.uid.clone(), all[0].revision);
        write_if(&*store, [at], [put(&changed)]).await.unwrap();
        all.insert(0, changed);
    }

    assert_eq!(store.get(&key).await.unwrap().as_ref(), all.first());
    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), all);
    assert_eq!(store.revisions(&key, None, 2).await.unwrap(), all[..2]);
    let below = store.revisions(&key, Some(revision(4)), 2).await.unwrap();
    assert_eq!(below, all[2..4]);
    let below = store.revisions(&key, Some(revision(1)), 2).await.unwrap();
    assert_eq!(below, []);
    assert_eq!(store.revisions(&key, None, 0).await.unwrap(), []);
    for stored in all {
        let found = store.get_revision(&key, stored.revision).await.unwrap();
        assert_eq!(found, Some(stored));
    }
}

pub(crate) async fn when_a_revision_is_not_the_next_then_it_is_refused(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let one = first(&key, "one");
    let two = next(&one, "two");
    let at = |number| Precondition::At(key.clone(), one.uid.clone(), revision(number));
    let absent = Precondition::Absent(key.clone());

    assert_eq!(refused(write(&*store, [put(&two)]).await), at(1));
    write(&*store, [put(&one)]).await.unwrap();
    assert_eq!(refused(write(&*store, [put(&one)]).await), absent);
    let three = next(&two, "three");
    assert_eq!(refused(write(&*store, [put(&three)]).await), at(2));
    let mut of_another_life = two.clone();
    of_another_life.uid = Uid::random();
    refused(write(&*store, [put(&of_another_life)]).await);
    write(&*store, [put(&two)]).await.unwrap();
    assert_eq!(refused(write(&*store, [put(&two)]).await), at(1));

    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), [two, one]);
}

pub(crate) async fn when_many_write_the_next_revision_then_exactly_one_wins(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let mut newest = created(&*store, &key, "start").await;
    for round in 0..10 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let store = Arc::clone(&store);
            let at = Precondition::At(key.clone(), newest.uid.clone(), newest.revision);
            let changed = next(&newest, format!("round {round} writer {writer}"));
            writers.spawn(async move {
                let outcome = write_if(&*store, [at], [put(&changed)]).await;
                (outcome, changed)
            });
        }
        let outcomes = soon(writers.join_all()).await;

        let (won, lost): (Vec<_>, Vec<_>) = outcomes
            .into_iter()
            .partition(|(outcome, _)| outcome.is_ok());
        assert_eq!((won.len(), lost.len()), (1, 7));
        for (outcome, _) in lost {
            refused(outcome);
        }
        let (_, winner) = won.into_iter().next().expect("one has won");
        assert_eq!(store.get(&key).await.unwrap().as_ref(), Some(&winner));
        newest = winner;
    }
}

pub(crate) async fn when_listed_in_pages_then_writes_in_between_do_no_harm(store: Arc<dyn Store>) {
    let names = ["b1", "b2.x", "b2-x", "b3", "b4", "c0", "c1"];
    for text in names {
        created(&*store, &configuration(text), text).await;
        created(&*store, &key_in("other", Kind::Configuration, text), text).await;
        created(&*store, &key(Kind::Secret, text), text).await;
    }
    let tenant = namespace("default");
    let kind = Kind::Configuration;

    let mut seen = Vec::new();
    let mut after = None;
    for round in 0.. {
        let page = store.list(&tenant, kind, after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.name.clone());
        seen.extend(page.into_iter().map(|stored| stored.key.name.to_string()));
        // Before, inside and behind of what was listed; and one goes that was not yet.
        created(&*store, &configuration(&format!("a{round}")), "new").await;
        if round == 0 {
            let gone = Write::Delete(configuration("b4"));
            write(&*store, [gone]).await.unwrap();
            created(&*store, &configuration("b30"), "new").await;
        }
    }

    assert_eq!(seen, ["b1", "b2-x", "b2.x", "b3", "b30", "c0", "c1"]);
    let after = name("c0");
    let rest = store.list(&tenant, kind, Some(&after), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
}

pub(crate) async fn when_namespaces_are_listed_then_only_they_come(store: Arc<dyn Store>) {
    let mut all = Vec::new();
    for text in ["a1", "b1", "c1"] {
        created(&*store, &key_in(text, Kind::Node, "node"), "").await;
        let own = key_in(text, Kind::Namespace, text);
        all.push(created(&*store, &own, text).await);
    }
    created(&*store, &key_in("d1", Kind::Node, "node"), "").await;

    assert_eq!(store.namespaces(None, 10).await.unwrap(), all);
    assert_eq!(store.namespaces(None, 2).await.unwrap(), all[..2]);
    let after = namespace("a1");
    let rest = store.namespaces(Some(&after), 10).await.unwrap();
    assert_eq!(rest, all[1..]);
}

pub(crate) async fn when_referred_to_then_the_referrers_are_named(store: Arc<dyn Store>) {
    let target = configuration("limits");
    let of_kind = |kind| {
        let one = first(&key(kind, "user"), "one");
        referring(
            one,
            &[(Kind::Configuration, "limits"), (Kind::Secret, "limits")],
        )
    };
    let users = [
        of_kind(Kind::Node),
        of_kind(Kind::Application),
        of_kind(Kind::Secret),
    ];
    write(&*store, users.iter().map(put)).await.unwrap();
    let elsewhere = first(&key_in("other", Kind::Node, "user"), "one");
    let elsewhere = referring(elsewhere, &[(Kind::Configuration, "limits")]);
    write(&*store, [put(&elsewhere)]).await.unwrap();

    let mut expected = users.each_ref().map(|user| user.key.clone());
    expected.sort();
    assert_eq!(store.referrers(&target).await.unwrap(), expected);

    let let_go = referring(next(&users[0], "two"), &[(Kind::Secret, "limits")]);
    write(&*store, [put(&let_go), Write::Delete(users[1].key.clone())])
        .await
        .unwrap();
    let left = [users[2].key.clone()];
    assert_eq!(store.referrers(&target).await.unwrap(), left);
    let of_secret = store.referrers(&key(Kind::Secret, "limits")).await.unwrap();
    assert_eq!(of_secret, [users[0].key.clone(), users[2].key.clone()]);
}

pub(crate) async fn when_referred_to_then_unreferenced_does_not_hold(store: Arc<dyn Store>) {
    let target = configuration("limits");
    created(&*store, &target, "body").await;
    let user = |text| {
        let one = first(&key(Kind::Application, text), "one");
        referring(one, &[(Kind::Configuration, "limits")])
    };
    let users = [user("one"), user("two")];
    write(&*store, users.iter().map(put)).await.unwrap();
    let keys = users.map(|user| user.key);
    let but = |except: &[_]| Precondition::Unreferenced(target.clone(), except.to_vec());
    let delete = || [Write::Delete(target.clone())];

    let none = write_if(&*store, [but(&[])], delete()).await;
    assert_eq!(refused(none), but(&[]));
    let one = write_if(&*store, [but(&keys[..1])], delete()).await;
    assert_eq!(refused(one), but(&keys[..1]));
    assert!(store.get(&target).await.unwrap().is_some());
    write_if(&*store, [but(&keys)], delete()).await.unwrap();
    assert_eq!(store.get(&target).await.unwrap(), None);
    // What refers to it may outlive it, and still does.
    assert_eq!(store.referrers(&target).await.unwrap(), keys);
}

pub(crate) async fn when_deleted_and_made_again_then_nothing_of_the_first_life_is_left(
    store: Arc<dyn Store>,
) {
    let key = configuration("limits");
    let old = created(&*store, &key, "old 1").await;
    write(&*store, [put(&next(&old, "old 2"))]).await.unwrap();
    write(&*store, [Write::Delete(key.clone())]).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.get_revision(&key, revision(1)).await.unwrap(), None);
    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), []);
    assert_eq!(
        refused(write(&*store, [Write::Delete(key.clone())]).await),
        Precondition::Exists(key.clone())
    );

    let new = created(&*store, &key, "new").await;

    assert_ne!(new.uid, old.uid);
    let at_old = Precondition::At(key.clone(), old.uid, revision(1));
    let changed = next(&new, "changed");
    assert_eq!(
        refused(write_if(&*store, [at_old.clone()], [put(&changed)]).await),
        at_old
    );
    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), [new]);
}

pub(crate) async fn when_a_namespace_is_deleted_then_its_contents_are_not(store: Arc<dyn Store>) {
    let own = key_in("plant", Kind::Namespace, "plant");
    let inside = key_in("plant", Kind::Node, "node");
    created(&*store, &own, "").await;
    let node = created(&*store, &inside, "").await;

    write(&*store, [Write::Delete(own)]).await.unwrap();

    assert_eq!(store.namespaces(None, 10).await.unwrap(), []);
    assert_eq!(store.get(&inside).await.unwrap(), Some(node));
    assert_eq!(store.sequence(&inside.namespace).await.unwrap(), 3);
}

pub(crate) async fn when_revisions_are_dropped_then_the_newest_stays(store: Arc<dyn Store>) {
    let key = configuration("limits");
    let one = created(&*store, &key, "1").await;
    let two = next(&one, "2");
    let three = next(&two, "3");
    write(&*store, [put(&two), put(&three)]).await.unwrap();
    let sequence = store.sequence(&key.namespace).await.unwrap();

    let drop = |numbers: &[u64]| {
        let revisions = numbers.iter().map(|number| revision(*number)).collect();
        Write::DropRevisions(key.clone(), revisions)
    };
    write(&*store, [drop(&[2, 3, 9])]).await.unwrap();
    let left = [three.clone(), one];
    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), left);
    write(&*store, [drop(&[1, 2, 3])]).await.unwrap();
    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), left[..1]);
    assert_eq!(store.get(&key).await.unwrap().as_ref(), Some(&three));
    let nobody = Write::DropRevisions(configuration("nobody"), vec![revision(1)]);
    write(&*store, [nobody]).await.unwrap();

    assert_eq!(store.sequence(&key.namespace).await.unwrap(), sequence);
    write(&*store, [put(&next(&three, "4"))]).await.unwrap();
}

pub(crate) async fn when_a_precondition_in_the_middle_fails_then_nothing_is_written(
    store: Arc<dyn Store>,
) {
    let (old, new) = (configuration("old"), configuration("new"));
    let before = created(&*store, &old, "before").await;
    let wish = record(Table::NodeWish, "one");
    let failing = [
        Precondition::Absent(old.clone()),
        Precondition::Exists(new.clone()),
        Precondition::At(old.clone(), before.uid.clone(), revision(2)),
        Precondition::At(old.clone(), Uid::random(), revision(1)),
        Precondition::At(new.clone(), before.uid.clone(), revision(1)),
        Precondition::RecordAt(wish.clone(), 1),
    ];
    let after = next(&before, "after");
    for failing in failing {
        let preconditions = [
            Precondition::Exists(old.clone()),
            Precondition::RecordAt(wish.clone(), 0),
            failing.clone(),
            Precondition::Absent(new.clone()),
            // Only the first that fails is named.
            Precondition::Exists(configuration("third")),
        ];
        let writes = [
            put(&after),
            put(&first(&new, "new")),
            put_record(&wish, "value"),
        ];

        let outcome = write_if(&*store, preconditions, writes).await;

        assert_eq!(refused(outcome), failing);
        assert_eq!(store.get(&old).await.unwrap().as_ref(), Some(&before));
        assert_eq!(store.get(&new).await.unwrap(), None);
        assert_eq!(store.record(&wish).await.unwrap(), None);
        assert_eq!(store.sequence(&old.namespace).await.unwrap(), 1);
    }
}

pub(crate) async fn when_a_write_in_the_middle_fails_then_nothing_is_written(
    store: Arc<dyn Store>,
) {
    let (old, new, nobody) = (
        configuration("old"),
        configuration("new"),
        configuration("no"),
    );
    let before = created(&*store, &old, "before").await;
    let wish = record(Table::NodeWish, "one");
    let failing = [
        Write::Delete(nobody.clone()),
        Write::Touch(nobody.clone()),
        put(&before),
        put(&next(&next(&next(&before, ""), ""), "")),
        put(&next(&first(&nobody, ""), "")),
    ];
    for failing in failing {
        let needed = failing.needs();
        let writes = [
            put(&next(&before, "after")),
            put(&referring(
                first(&new, "new"),
                &[(Kind::Configuration, "old")],
            )),
            put_record(&wish, "value"),
            failing,
            put_record(&wish, "value"),
        ];

        let outcome = write(&*store, writes).await;

        assert_eq!(Some(refused(outcome)), needed);
        let left = [before.clone()];
        assert_eq!(store.revisions(&old, None, 10).await.unwrap(), left);
        assert_eq!(store.get(&new).await.unwrap(), None);
        assert_eq!(store.referrers(&old).await.unwrap(), []);
        assert_eq!(store.record(&wish).await.unwrap(), None);
        assert_eq!(store.sequence(&old.namespace).await.unwrap(), 1);
    }
}

pub(crate) async fn when_a_digest_is_not_that_of_the_body_then_nothing_is_written(
    store: Arc<dyn Store>,
) {
    let key = configuration("limits");
    let mut wrong = first(&key, "body");
    wrong.digest = Digest::of(b"another body");
    let wish = record(Table::NodeWish, "one");

    let outcome = write(&*store, [put_record(&wish, "value"), put(&wrong)]).await;

    assert!(
        matches!(outcome, Err(StoreError::Corrupt(_))),
        "{outcome:?}"
    );
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.record(&wish).await.unwrap(), None);
}

pub(crate) async fn when_writes_of_a_commit_build_on_each_other_then_they_happen_in_order(
    store: Arc<dyn Store>,
) {
    let key = configuration("limits");
    let one = first(&key, "1");
    let two = next(&one, "2");
    let again = first(&key, "again");
    let wish = record(Table::NodeWish, "one");

    let writes = [
        put(&one),
        put_record(&wish, "1"),
        put(&two),
        Write::Touch(key.clone()),
        Write::DropRevisions(key.clone(), vec![revision(1)]),
        Write::Delete(key.clone()),
        Write::DeleteRecord(wish.clone()),
        put_record(&wish, "2"),
        put_record(&wish, "3"),
        put(&again),
    ];
    let absent = Precondition::Absent(key.clone());
    write_if(&*store, [absent], writes).await.unwrap();

    assert_eq!(store.revisions(&key, None, 10).await.unwrap(), [again]);
    let record = store.record(&wish).await.unwrap().expect("it was written");
    assert_eq!((record.version, &record.value[..]), (2, &b"3"[..]));
    let events = store.events(&key.namespace, 0, 10).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.change, event.revision.number(), event.uid == one.uid))
        .collect();
    let expected = [
        (Change::Added, 1, true),
        (Change::Modified, 2, true),
        (Change::Modified, 2, true),
        (Change::Deleted, 2, true),
        (Change::Added, 1, false),
    ];
    assert_eq!(told, expected);
}
