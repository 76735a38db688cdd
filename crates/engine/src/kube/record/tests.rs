//! Tests of the module `record`.

use std::time::Duration;

use super::*;
use crate::AppRecord;

fn pin(text: &str) -> Pin {
    Pin {
        uid: "uid".into(),
        revision: 3,
        digest: Digest::of(text.as_bytes()),
        template_digest: Digest::of(text.as_bytes()),
        inputs: [(InputKey::configuration("files"), Digest::of(b"files"))].into(),
        retry: 0,
    }
}

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("v1", kind, "edge", name)
}

fn draft(text: &str, objects: &[ObjectKey]) -> Draft {
    Draft {
        pin: pin(text),
        label: text.into(),
        revision: 3,
        objects: objects.iter().cloned().collect(),
        rendering: "today".into(),
        inputs: "files".into(),
    }
}

fn mark() -> Mark {
    Mark {
        uid: "uid".into(),
        resource_version: "7".into(),
        content: "generation 2".into(),
        digest: Digest::of(b"object"),
        replicas: Some(3),
    }
}

fn failure(text: &str) -> Failure {
    Failure {
        pin: pin(text),
        reason: "CRASH_LOOP".into(),
        message: "it ended".into(),
        at: SystemTime::UNIX_EPOCH,
    }
}

/// A record whose release `one` serves.
fn serving(objects: &[ObjectKey]) -> KubeRecord {
    let mut record = KubeRecord::new("watcher");
    record.begin(draft("one", objects), BTreeSet::new());
    record.applied(Role::Candidate, SystemTime::UNIX_EPOCH);
    record.promote();
    record
}

fn keys(keys: &[ObjectKey]) -> BTreeSet<ObjectKey> {
    keys.iter().cloned().collect()
}

#[test]
fn when_it_is_stored_then_it_reads_back() {
    let mut record = serving(&[key("Service", "a")]);
    record.begin(
        draft("two", &[key("Secret", "b")]),
        ["pod".to_owned()].into(),
    );
    record.mark([(key("Service", "a"), mark())].into());
    record
        .renewals
        .insert("main".into(), SystemTime::UNIX_EPOCH);
    let conflicts = &mut record.conflicts;
    conflicts.insert(key("Service", "a"), "argocd declares it".into());
    record.failed = Some(failure("bad"));
    record.reported = Some(Reported {
        state: 3,
        reason: String::new(),
        message: String::new(),
        since: SystemTime::UNIX_EPOCH,
        conditions: [("Available".to_owned(), (1, SystemTime::UNIX_EPOCH))].into(),
    });

    let stored = record.stored();

    assert_eq!(stored.application, "watcher");
    assert_eq!(KubeRecord::decode(&stored.bytes).unwrap(), record);
}

#[test]
fn when_another_engine_wrote_it_then_it_is_refused_by_either() {
    let process = AppRecord::new("watcher").stored();
    let kube = KubeRecord::new("watcher").stored();

    let error = KubeRecord::decode(&process.bytes).unwrap_err();
    assert!(matches!(error, RecordError::Engine(ref engine) if engine == "process"));
    let error = AppRecord::decode(&kube.bytes).unwrap_err();
    assert!(matches!(error, RecordError::Engine(ref engine) if engine == "kube"));
}

#[test]
fn when_a_newer_engine_wrote_it_then_it_is_refused() {
    let text = br#"{"engine": "kube", "version": 2, "everything": "else"}"#;

    let error = KubeRecord::decode(text).unwrap_err();
    assert!(matches!(error, RecordError::Version(2)));
}

#[test]
fn when_bodies_are_collected_then_those_of_both_releases_stay() {
    let mut record = serving(&[]);
    record.begin(draft("two", &[]), BTreeSet::new());
    record.failed = Some(failure("bad"));

    let references = record.stored().references;

    assert_eq!(references.len(), 3, "two bodies and the input of both");
    assert!(!references.contains(&pin("bad").digest));
}

#[test]
fn when_a_candidate_is_promoted_then_only_what_it_has_not_leaves() {
    let (both, old, new) = (
        key("Service", "a"),
        key("Secret", "old"),
        key("Secret", "new"),
    );
    let mut record = serving(&[both.clone(), old.clone()]);
    record.mark([(both.clone(), mark()), (old.clone(), mark())].into());

    record.begin(draft("two", &[both.clone(), new]), BTreeSet::new());
    assert!(record.leaving.is_empty());
    record.promote();

    assert_eq!(record.leaving, keys(std::slice::from_ref(&old)));
    assert!(record.marks.contains_key(&old), "its uid is still needed");
    record.forget(&keys(std::slice::from_ref(&old)));
    assert!(record.leaving.is_empty());
    assert!(!record.marks.contains_key(&old));
    assert!(record.marks.contains_key(&both));
}

#[test]
fn when_an_object_is_named_in_another_version_then_it_does_not_leave() {
    let old = ObjectKey::namespaced("batch/v1beta1", "CronJob", "edge", "a");
    let new = ObjectKey::namespaced("batch/v1", "CronJob", "edge", "a");
    let mut record = serving(&[old]);

    record.begin(draft("two", &[new]), BTreeSet::new());
    record.promote();

    assert!(record.leaving.is_empty());
}

#[test]
fn when_what_leaves_is_wanted_again_then_it_stays() {
    let (one, two) = (key("Secret", "one"), key("Secret", "two"));
    let mut record = serving(std::slice::from_ref(&one));
    record.begin(draft("two", &[two]), BTreeSet::new());
    record.promote();
    assert_eq!(record.leaving, keys(std::slice::from_ref(&one)));

    record.begin(draft("one", &[one]), BTreeSet::new());

    assert!(record.leaving.is_empty());
}

#[test]
fn when_a_candidate_fails_then_what_serves_is_applied_again_and_the_rest_leaves() {
    let (old, new) = (key("Secret", "old"), key("Secret", "new"));
    let mut record = serving(&[old]);
    record.begin(draft("two", std::slice::from_ref(&new)), BTreeSet::new());

    record.fail(failure("two"), true);

    assert!(record.candidate.is_none());
    assert!(!record.serving.as_ref().unwrap().is_applied);
    assert_eq!(record.leaving, keys(&[new]));
    assert!(!record.is_candidate_failed());
}

#[test]
fn when_there_is_nothing_to_go_back_to_then_the_candidate_stays() {
    let mut record = KubeRecord::new("watcher");
    record.begin(draft("one", &[key("Secret", "a")]), BTreeSet::new());

    record.fail(failure("one"), true);

    assert!(record.is_candidate_failed());
    assert!(record.leaving.is_empty());
    record.promote();
    assert!(record.failed.is_none());
}

#[test]
fn when_data_is_in_the_way_then_it_leaves_only_when_that_is_said() {
    let (claim, secret) = (key("PersistentVolumeClaim", "a"), key("Secret", "a"));
    let mut record = serving(&[claim.clone(), secret.clone()]);
    record.begin(draft("two", &[]), BTreeSet::new());
    record.promote();
    assert_eq!(record.leaving, keys(std::slice::from_ref(&secret)));

    record.leave(keys(std::slice::from_ref(&claim)), false);
    assert_eq!(record.leaving, keys(std::slice::from_ref(&secret)));
    record.leave(keys(std::slice::from_ref(&claim)), true);
    assert_eq!(record.leaving, keys(&[claim, secret.clone()]));
    record.leave(BTreeSet::new(), false);
    assert_eq!(record.leaving, keys(&[secret]));
}

#[test]
fn when_a_release_goes_on_under_another_pin_then_inputs_are_taken_last() {
    let mut record = serving(&[]);
    let mut next = draft("one", &[]);
    next.pin.inputs = [(InputKey::configuration("files"), Digest::of(b"new"))].into();
    let reload = Reload {
        inputs: "new".into(),
        pods: ["pod".to_owned()].into(),
    };

    record.repin(Role::Serving, next.clone(), Some(reload));

    let release = record.serving.as_ref().unwrap();
    assert!(!release.is_applied);
    assert_ne!(release.taken, release.pin.inputs);
    record.applied(Role::Serving, SystemTime::UNIX_EPOCH);
    record.take(Role::Serving);
    assert_eq!(record.serving.unwrap().taken, next.pin.inputs);
}

#[test]
fn when_a_failed_candidate_gets_another_pin_then_it_gets_its_time_again() {
    let mut record = KubeRecord::new("watcher");
    record.begin(draft("one", &[]), BTreeSet::new());
    record.applied(Role::Candidate, SystemTime::UNIX_EPOCH);
    record.fail(failure("one"), true);

    record.repin(Role::Candidate, draft("other", &[]), None);

    assert!(record.failed.is_none());
    assert!(record.candidate.unwrap().applied_at.is_none());
}

#[test]
fn when_a_job_fails_then_nothing_serves_and_its_objects_stay() {
    let job = key("Job", "a");
    let mut record = serving(&[job]);

    record.fail_serving(failure("one"), SystemTime::UNIX_EPOCH);

    assert!(record.serving.is_none());
    assert!(record.is_candidate_failed());
    assert!(record.leaving.is_empty());
}

#[test]
fn when_the_same_happens_again_then_it_is_counted_and_few_are_kept() {
    let event = |seconds: u64, message: &str| Happening {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        is_warning: true,
        reason: "REPAIRED".into(),
        message: message.into(),
        object: "Service edge/a".into(),
        count: 1,
    };
    let mut record = KubeRecord::new("watcher");

    record.note(event(1, "same"));
    record.note(event(2, "same"));
    assert_eq!(record.events.len(), 1);
    assert_eq!(record.events[0].count, 2);
    assert_eq!(record.events[0].at, event(2, "same").at);

    for number in 0..20 {
        record.note(event(number, &format!("number {number}")));
    }
    assert_eq!(record.events.len(), MAX_EVENTS);
    assert_eq!(record.events.last().unwrap().message, "number 19");
}

#[test]
fn when_somebody_declares_a_field_then_what_he_made_is_no_drift_until_the_next_revision() {
    let service = key("Service", "a");
    let mut record = serving(std::slice::from_ref(&service));
    record.mark([(service.clone(), mark())].into());
    let seen = crate::kube::facts::ObjectFacts {
        uid: "uid".into(),
        resource_version: "9".into(),
        generation: 0,
        content: "his".into(),
        release: String::new(),
        is_controlled: false,
        is_deleting: false,
        health: crate::kube::facts::Health::Ready,
    };

    record.give_way(&service, &seen, "argocd declares it".into());

    assert_eq!(record.marks[&service].content, "his");
    assert_ne!(record.marks[&service].digest, mark().digest);
    assert_eq!(record.conflicts.len(), 1);
    record.mark([(service, mark())].into());
    assert!(record.conflicts.is_empty());
}

#[test]
fn when_releases_are_no_more_then_their_pods_can_still_be_told() {
    let mut record = serving(&[key("Deployment", "a")]);
    record.begin(draft("two", &[]), BTreeSet::new());
    record.begin(draft("three", &[]), BTreeSet::new());
    record.begin(draft("two", &[]), BTreeSet::new());
    let labels = |record: &KubeRecord| {
        let past = record.past.iter();
        past.map(|(label, _)| label.clone()).collect::<Vec<_>>()
    };
    assert_eq!(labels(&record), ["three", "two"]);

    record.leave(BTreeSet::new(), false);

    assert_eq!(labels(&record), ["two", "one", "three"]);
    for number in 0..20 {
        record.begin(draft(&number.to_string(), &[]), BTreeSet::new());
    }
    assert_eq!(record.past.len(), MAX_PAST);
}
