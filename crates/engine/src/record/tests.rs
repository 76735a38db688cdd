//! Tests of the module `record`.

use std::collections::BTreeMap;

use super::*;

fn pin(text: &str) -> Pin {
    Pin {
        uid: "uid".into(),
        revision: 3,
        digest: Digest::of(text.as_bytes()),
        template_digest: Digest::of(text.as_bytes()),
        inputs: BTreeMap::new(),
        retry: 0,
    }
}

fn slot(instance: Option<&str>) -> Slot {
    Slot {
        instance: instance.map(|id| InstanceId::parse(id).unwrap()),
        ..Slot::new("web", 0)
    }
}

fn release(number: u64, text: &str, instance: Option<&str>) -> Release {
    Release {
        number,
        begun_revision: 0,
        pin: pin(text),
        slots: vec![slot(instance)],
    }
}

fn failure(text: &str) -> Failure {
    Failure {
        pin: pin(text),
        reason: "EXITED".into(),
        message: "exited with code 3".into(),
        at: SystemTime::UNIX_EPOCH,
    }
}

#[test]
fn when_it_is_stored_then_it_reads_back() {
    let mut record = AppRecord::new("watcher");
    record.serving = Some(release(1, "one", Some("watcher-1")));
    record.candidate = Some(Candidate {
        release: release(2, "two", None),
        is_exclusive: true,
    });
    record.failed = Some(failure("bad"));

    assert_eq!(AppRecord::decode(&record.encode()).unwrap(), record);
}

#[test]
fn when_a_newer_engine_wrote_it_then_it_is_refused() {
    let text = br#"{"version": 2, "everything": "else"}"#;

    assert!(matches!(
        AppRecord::decode(text),
        Err(RecordError::Version(2))
    ));
}

#[test]
fn when_bodies_are_collected_then_those_of_both_releases_stay() {
    let mut record = AppRecord::new("watcher");
    record.serving = Some(release(1, "one", None));
    record.candidate = Some(Candidate {
        release: release(2, "two", None),
        is_exclusive: false,
    });
    record.failed = Some(failure("bad"));

    let digests = record.referenced_digests();

    assert_eq!(digests.len(), 2);
    assert!(
        !digests.contains(&pin("bad").digest),
        "what failed is not gone back to"
    );
}

#[test]
fn when_a_slot_gets_its_next_instance_then_the_old_one_is_past() {
    let mut record = AppRecord::new("watcher");
    record.serving = Some(release(1, "one", Some("watcher-1")));
    let place = SlotKey {
        service: "web".into(),
        index: 0,
    };

    for number in 2..=12 {
        let next = Assignment {
            id: InstanceId::parse(&format!("watcher-{number}")).unwrap(),
            ports: BTreeMap::new(),
        };
        record.assign(Role::Serving, &place, next);
    }

    assert_eq!(record.serving.as_ref().unwrap().slots[0].restarts, 11);
    assert_eq!(record.past.len(), MAX_PAST);
    assert!(record.is_past(&InstanceId::parse("watcher-11").unwrap()));
    assert!(!record.is_past(&InstanceId::parse("watcher-1").unwrap()));
}

#[test]
fn when_a_slot_is_vacated_then_its_next_instance_is_no_restart() {
    let mut record = AppRecord::new("watcher");
    record.serving = Some(release(1, "one", Some("watcher-1")));
    let id = InstanceId::parse("watcher-1").unwrap();

    assert!(record.vacate(&id));
    assert!(!record.vacate(&id));

    assert!(record.is_past(&id));
    let place = record.serving.as_ref().unwrap().slots[0].key();
    let next = Assignment {
        id: InstanceId::parse("watcher-2").unwrap(),
        ports: BTreeMap::new(),
    };
    record.assign(Role::Serving, &place, next);
    assert_eq!(record.serving.unwrap().slots[0].restarts, 0);
}

#[test]
fn when_the_candidate_fails_then_serving_stays_unless_it_is_to_go() {
    let mut record = AppRecord::new("watcher");
    record.serving = Some(release(1, "one", Some("watcher-1")));

    record.fail(failure("two"), true);
    assert!(record.serving.is_some());

    record.fail(failure("two"), false);
    assert!(record.serving.is_none());
    assert!(record.is_past(&InstanceId::parse("watcher-1").unwrap()));
}
