//! State files of this release, of later ones, and damaged ones.

use std::fs;

use super::State;
use crate::{Error, InstanceId, ProcessId};

fn state() -> State {
    let id = ProcessId {
        pid: 7,
        start_time: 9,
    };
    State::new(InstanceId::parse("a").unwrap(), "boot".into(), id, id)
}

#[test]
fn when_a_state_is_written_then_it_is_read_back() {
    let folder = tempfile::tempdir().unwrap();

    state().write(folder.path()).unwrap();

    let found = State::read(folder.path()).unwrap().unwrap();
    assert_eq!(
        (found.process, found.boot_id.as_str()),
        (state().process, "boot")
    );
    assert!(!folder.path().join("state.tmp").exists());
}

#[test]
fn when_there_is_no_state_then_none_is_read() {
    assert_eq!(
        State::read(tempfile::tempdir().unwrap().path()).unwrap(),
        None
    );
}

#[test]
fn when_the_state_is_damaged_or_of_a_later_version_then_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (body, expected) in [
        ("{", "EOF"),
        (r#"{"version":2,"new":1}"#, "later than 1"),
        ("", "EOF"),
    ] {
        fs::write(folder.path().join("state.json"), body).unwrap();

        let Err(Error::UnusableState { detail, .. }) = State::read(folder.path()) else {
            panic!("{body} was accepted");
        };
        assert!(detail.contains(expected), "{detail}");
    }
}
