//! The session as a table of frames in and effects out.

use std::collections::BTreeMap;
use std::sync::Arc;

use baetyl_proto::resource::v1::ApplicationStatus;
use baetyl_proto::sync::v1::channel_open::Operation;
use baetyl_proto::sync::v1::{
    ChannelCredit, ChannelData, Decommission, Desired, LogQuery, RenewCertificate, Report,
    ReportAck, ResyncRequest,
};
use baetyl_shadow::{Digest, Epoch, Generation, PropertySet, Section};

use super::*;
use crate::reported::{Reported, SectionName};

const UID: &str = "7f3c1c52-6f0e-4c11-9d42-0f0a3a5a9f10";

fn fence(epoch: u64, generation: u64) -> Fence {
    Fence::new(Epoch::new(epoch), Generation::new(generation))
}

fn stamp(generation: u64, document: &[u8]) -> Stamp {
    Stamp {
        fence: fence(1, generation),
        digest: Digest::of(document),
    }
}

fn greeting(held: Option<Stamp>) -> Greeting {
    Greeting {
        node_uid: UID.into(),
        held,
        converged: None,
        core_version: "0.1.0".into(),
        features: vec!["process.v1".into()],
        incarnation: "first".into(),
    }
}

fn welcome() -> Welcome {
    Welcome {
        protocol_version: 1,
        session_id: "s1".into(),
        heartbeat_interval: Some(prost_types::Duration {
            seconds: 2,
            nanos: 0,
        }),
        silence_timeout: Some(prost_types::Duration {
            seconds: 6,
            nanos: 0,
        }),
        max_frame_bytes: 64 * 1024,
        missing_sections: Vec::new(),
    }
}

/// A session that was welcomed.
fn open(held: Option<Stamp>, sections: Sections) -> (Session, Instant) {
    let now = Instant::now();
    let (mut session, _) = Session::begin(greeting(held), sections, now);
    let effects = session.receive(Some(Down::Welcome(welcome())), now);
    assert!(
        matches!(effects[..], [Effect::Opened { .. }]),
        "{effects:?}"
    );
    (session, now)
}

fn applications(names: &[(&str, usize)]) -> Sections {
    let reported = Reported::default();
    let status = |name: &str, size| ApplicationStatus {
        name: name.into(),
        message: "m".repeat(size),
        ..ApplicationStatus::default()
    };
    let statuses: BTreeMap<_, _> = names
        .iter()
        .map(|(name, size)| ((*name).to_owned(), Arc::new(status(name, *size))))
        .collect();
    reported.set_applications(&statuses);
    reported.set_properties(&PropertySet::new());
    reported.subscribe().borrow().clone()
}

fn reports(effects: Vec<Effect>) -> Vec<Report> {
    effects
        .into_iter()
        .map(|effect| match effect {
            Effect::Send(Up::Report(report)) => report,
            other => panic!("not a report: {other:?}"),
        })
        .collect()
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn pages(stamp: Stamp, document: &[u8], size: usize) -> Vec<Down> {
    let count = document.chunks(size).count();
    let chunks = document.chunks(size).enumerate();
    chunks
        .map(|(index, chunk)| {
            Down::Desired(Desired {
                fence: Some(wire_fence(stamp.fence)),
                digest: stamp.digest.to_string(),
                data: chunk.to_vec().into(),
                total_bytes: document.len() as u64,
                end: index + 1 == count,
                traceparent: TRACEPARENT.to_owned(),
            })
        })
        .collect()
}

#[test]
fn when_a_session_begins_then_hello_says_what_is_held() {
    let held = stamp(4, b"held");
    let sections = applications(&[("one", 1)]);

    let (_, hello) = Session::begin(greeting(Some(held)), sections.clone(), Instant::now());

    let Up::Hello(hello) = hello else {
        panic!("not Hello: {hello:?}");
    };
    assert_eq!(hello.node_uid, UID);
    assert_eq!(hello.held, Some(wire_fence(held.fence)));
    assert_eq!(hello.held_digest, held.digest.to_string());
    assert_eq!(hello.section_digests, sections.digests());
    assert_eq!(hello.section_digests.len(), SectionName::ALL.len());
}

#[test]
fn when_the_first_frame_is_wrong_then_the_session_ends() {
    let bad_version = Welcome {
        protocol_version: 9,
        ..welcome()
    };
    for (frame, wanted) in [
        (Down::Heartbeat(Heartbeat { sequence: 1 }), "PROTOCOL_ERROR"),
        (Down::Welcome(bad_version), "UNSUPPORTED_VERSION"),
    ] {
        let now = Instant::now();
        let (mut session, _) = Session::begin(greeting(None), Sections::default(), now);

        let effects = session.receive(Some(frame), now);

        let [Effect::End(end)] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(end.reason, wanted);
        assert!(
            session
                .receive(Some(Down::Welcome(welcome())), now)
                .is_empty()
        );
    }
}

#[test]
fn when_goodbye_names_a_time_then_the_end_carries_it() {
    let (mut session, now) = open(None, Sections::default());
    let goodbye = Goodbye {
        reason: "OVERLOADED".into(),
        message: "later".into(),
        reconnect_after: Some(prost_types::Duration {
            seconds: 3,
            nanos: 0,
        }),
    };

    let effects = session.receive(Some(Down::Goodbye(goodbye)), now);

    let [Effect::End(end)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(end.reason, "OVERLOADED");
    assert_eq!(end.reconnect_after, Some(Duration::from_secs(3)));
}

#[test]
fn when_a_document_comes_in_pages_then_it_is_taken_whole_and_acknowledged_on_disk() {
    let (mut session, now) = open(None, Sections::default());
    let stamp = stamp(1, b"a document");

    let effects: Vec<_> = pages(stamp, b"a document", 3)
        .into_iter()
        .flat_map(|page| session.receive(Some(page), now))
        .collect();

    let document = Bytes::from_static(b"a document");
    let traceparent = TRACEPARENT.to_owned();
    assert_eq!(
        effects,
        [Effect::Take {
            stamp,
            document,
            traceparent
        }]
    );
    let again = pages(stamp, b"a document", 10);
    assert_eq!(session.receive(again.into_iter().next(), now), []);
    let accepted = Effect::Send(Up::Accepted(Accepted {
        fence: Some(wire_fence(stamp.fence)),
    }));
    assert_eq!(session.accepted(stamp, now), [accepted]);
}

#[test]
fn when_a_newer_document_interrupts_then_only_the_newer_is_taken() {
    let (mut session, now) = open(None, Sections::default());
    let old = stamp(1, b"old");
    let new = stamp(2, b"new");
    let first_page = pages(old, b"old", 1).remove(0);
    assert_eq!(session.receive(Some(first_page), now), []);

    let effects = session.receive(pages(new, b"new", 9).pop(), now);

    let document = Bytes::from_static(b"new");
    assert_eq!(
        effects,
        [Effect::Take {
            stamp: new,
            document,
            traceparent: TRACEPARENT.to_owned(),
        }]
    );
    let late = session.receive(pages(old, b"old", 9).pop(), now);
    assert!(matches!(late[..], [Effect::Refused { .. }]), "{late:?}");
}

#[test]
fn when_a_document_is_held_already_then_fencing_decides() {
    let held = stamp(5, b"held");
    let accepted = Effect::Send(Up::Accepted(Accepted {
        fence: Some(wire_fence(held.fence)),
    }));
    let (mut session, now) = open(Some(held), Sections::default());
    let same = session.receive(pages(held, b"held", 9).pop(), now);
    assert_eq!(same, [accepted]);

    let older = session.receive(pages(stamp(4, b"x"), b"x", 9).pop(), now);
    assert!(matches!(older[..], [Effect::Refused { .. }]), "{older:?}");

    let conflict = session.receive(pages(stamp(5, b"other"), b"other", 9).pop(), now);
    let [Effect::Refused { .. }, Effect::End(end)] = &conflict[..] else {
        panic!("{conflict:?}");
    };
    assert_eq!(end.reason, "DESIRED_CONFLICT");
}

#[test]
fn when_a_document_is_damaged_or_too_long_then_the_session_ends() {
    let right = stamp(1, b"right");
    let mut long = pages(right, b"right", 9);
    let Some(Down::Desired(page)) = long.first_mut() else {
        panic!("a page");
    };
    page.total_bytes = 3;
    for (page, wanted) in [
        (pages(right, b"wrong", 9).pop(), "DESIRED_DAMAGED"),
        (long.pop(), "PROTOCOL_ERROR"),
        (Some(Down::Desired(Desired::default())), "PROTOCOL_ERROR"),
    ] {
        let (mut session, now) = open(None, Sections::default());

        let effects = session.receive(page, now);

        let [Effect::End(end)] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(end.reason, wanted);
    }
}

#[test]
fn when_a_taken_document_is_rejected_then_it_may_come_again() {
    let (mut session, now) = open(None, Sections::default());
    let stamp = stamp(1, b"document");
    let page = || pages(stamp, b"document", 99).pop();
    assert_eq!(session.receive(page(), now).len(), 1);

    session.rejected(stamp);

    assert!(matches!(
        session.receive(page(), now)[..],
        [Effect::Take { .. }]
    ));
}

#[test]
fn when_nothing_differs_then_nothing_is_reported() {
    let sections = applications(&[("one", 1)]);
    let (mut session, now) = open(None, sections.clone());

    assert_eq!(session.reported(sections, now), []);
}

#[test]
fn when_entries_change_then_only_they_travel_and_the_digests_follow() {
    let (mut session, now) = open(None, applications(&[("one", 1), ("two", 2)]));
    let later = applications(&[("two", 3), ("three", 3)]);

    let sent = reports(session.reported(later.clone(), now));

    let [report] = &sent[..] else {
        panic!("{sent:?}");
    };
    let keys: Vec<_> = report.entries.iter().map(|entry| &*entry.key).collect();
    assert_eq!((report.sequence, report.full), (1, false));
    assert_eq!(report.section, "applications");
    assert_eq!(keys, ["three", "two"]);
    assert_eq!(report.removed_keys, ["one"]);
    let digests = later.digests();
    assert_eq!(report.section_digest, digests["applications"]);
    assert_eq!(session.reported(later, now), []);
}

#[test]
fn when_sections_are_missing_or_wanted_again_then_they_travel_whole() {
    let sections = applications(&[("one", 1), ("two", 2)]);
    let now = Instant::now();
    let (mut session, _) = Session::begin(greeting(None), sections.clone(), now);
    let mut answer = welcome();
    answer.missing_sections = vec!["applications".into(), "unheard-of".into()];

    let mut effects = session.receive(Some(Down::Welcome(answer)), now);

    assert!(matches!(effects.remove(0), Effect::Opened { .. }));
    let resync = ResyncRequest {
        sections: vec!["applications".into()],
    };
    let again = session.receive(Some(Down::ResyncRequest(resync)), now);
    for sent in [reports(effects), reports(again)] {
        let [report] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert!(report.full);
        assert_eq!(report.entries.len(), 2);
        assert_eq!(report.section_digest, sections.digests()["applications"]);
    }
}

#[test]
fn when_a_section_is_larger_than_a_frame_then_its_pieces_add_up() {
    let names: Vec<String> = (0..20).map(|n| format!("app-{n:02}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (&**name, 10_000)).collect();
    let sections = applications(&entries);
    let now = Instant::now();
    let (mut session, _) = Session::begin(greeting(None), sections.clone(), now);
    let mut answer = welcome();
    answer.missing_sections = vec!["applications".into()];

    let mut effects = session.receive(Some(Down::Welcome(answer)), now);

    effects.remove(0);
    let sent = reports(effects);
    assert!(sent.len() > 2);
    let mut received = Section::new();
    for (index, report) in sent.iter().enumerate() {
        assert_eq!(report.sequence, index as u64 + 1);
        assert_eq!(report.full, index == 0);
        for entry in &report.entries {
            received
                .insert(&entry.key, Digest::of(&entry.value))
                .unwrap();
        }
        assert_eq!(report.section_digest, received.digest().to_string());
    }
    assert_eq!(
        received.digest().to_string(),
        sections.digests()["applications"]
    );
}

#[test]
fn when_the_cloud_does_not_acknowledge_then_reports_wait_and_then_skip_to_the_newest() {
    let (mut session, now) = open(None, applications(&[("one", 0)]));
    let mut sent = 0;
    for size in 1..40 {
        let due = reports(session.reported(applications(&[("one", size)]), now));
        sent += due.len() as u64;
    }
    assert_eq!(sent, 16);

    let ack = Down::ReportAck(ReportAck { sequence: sent });
    let due = reports(session.receive(Some(ack), now));

    let [report] = &due[..] else {
        panic!("{due:?}");
    };
    let newest = applications(&[("one", 39)]);
    assert_eq!(report.section_digest, newest.digests()["applications"]);
}

#[test]
fn when_a_generation_runs_then_it_is_told_once() {
    let (mut session, now) = open(None, Sections::default());
    let wanted = Effect::Send(Up::Converged(Converged {
        fence: Some(wire_fence(fence(1, 2))),
    }));

    assert_eq!(session.converged(fence(1, 2), now), [wanted]);
    assert_eq!(session.converged(fence(1, 2), now), []);
}

#[test]
fn when_time_passes_then_heartbeats_are_sent_until_silence_ends_it() {
    let (mut session, start) = open(None, Sections::default());
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(session.tick(at(1)), []);
    assert_eq!(session.deadline(), at(2));

    for (seconds, sequence) in [(2, 1), (4, 2)] {
        let beat = Effect::Send(Up::Heartbeat(Heartbeat { sequence }));
        assert_eq!(session.tick(at(seconds)), [beat]);
    }
    let echo = Down::Heartbeat(Heartbeat { sequence: 2 });
    assert_eq!(session.receive(Some(echo), at(5)), []);
    assert!(matches!(session.tick(at(10))[..], [Effect::Send(_)]));
    let effects = session.tick(at(11));

    let [Effect::End(end)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(end.reason, "SILENT");
}

fn channel(id: u64) -> Down {
    Down::ChannelOpen(ChannelOpen {
        channel_id: id,
        credit_bytes: 100,
        operation: Some(Operation::Logs(LogQuery::default())),
        traceparent: String::new(),
    })
}

#[test]
fn when_channels_open_and_close_then_each_end_closes_once() {
    let (mut session, now) = open(None, Sections::default());
    let opened = session.receive(Some(channel(1)), now);
    assert!(matches!(opened[..], [Effect::OpenChannel(_)]));
    let credit = ChannelCredit {
        channel_id: 1,
        bytes: 9,
    };
    let granted = session.receive(Some(Down::ChannelCredit(credit)), now);
    assert_eq!(
        granted,
        [Effect::Credit {
            channel_id: 1,
            bytes: 9
        }]
    );
    let close = close_frame(1, Code::Ok, "", "");

    let stopped = session.receive(Some(Down::ChannelClose(close.clone())), now);

    let answer = Effect::Send(Up::ChannelClose(close.clone()));
    assert_eq!(stopped, [Effect::StopChannel { channel_id: 1 }, answer]);
    assert!(!session.has_channel(1));
    for frame in [
        Down::ChannelCredit(credit),
        Down::ChannelClose(close.clone()),
        Down::ChannelData(ChannelData::default()),
    ] {
        assert_eq!(session.receive(Some(frame), now), []);
    }
    assert_eq!(session.channel_ended(close, now), []);
}

#[test]
fn when_too_many_channels_or_unknown_ones_open_then_they_are_closed_with_a_reason() {
    let (mut session, now) = open(None, Sections::default());
    for id in 0..MAX_CHANNELS as u64 {
        assert_eq!(session.receive(Some(channel(id)), now).len(), 1);
    }
    let unknown = Down::ChannelOpen(ChannelOpen {
        channel_id: 98,
        ..ChannelOpen::default()
    });
    let many = session.receive(Some(channel(99)), now);
    session.channel_ended(close_frame(0, Code::Ok, "", ""), now);
    let strange = session.receive(Some(unknown), now);

    for (effects, wanted) in [
        (many, "TOO_MANY_CHANNELS"),
        (strange, "UNSUPPORTED_CHANNEL"),
    ] {
        let [Effect::Send(Up::ChannelClose(close))] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(close.reason, wanted);
        assert_ne!(close.code, 0);
    }
}

#[test]
fn when_orders_come_then_they_become_effects() {
    let (mut session, now) = open(None, Sections::default());
    for (frame, wanted) in [
        (
            Some(Down::RenewCertificate(RenewCertificate {})),
            Effect::Renew,
        ),
        (
            Some(Down::Decommission(Decommission { remove_data: true })),
            Effect::Decommission { remove_data: true },
        ),
        (None, Effect::Unknown),
    ] {
        assert_eq!(session.receive(frame, now), [wanted]);
    }
}
