//! What scripts mean, and which ones are none.

use std::sync::Arc;
use std::time::Duration;

use super::{End, Pause, Process, compile, probe, program};
use crate::controllers::room::Room;

fn started(script: &str) -> Process {
    Process::new(Arc::new(compile(script).unwrap()))
}

fn ended(script: &str) -> (i32, String) {
    let mut room = Room::default();
    room.env.insert("NAME".into(), "edge".into());
    match started(script).run(&mut room) {
        Pause::Ended(End::Exit(code)) => (code, room.take_output()),
        other => panic!("{script:?} does not end but {other:?}"),
    }
}

#[test]
fn when_a_script_runs_then_it_prints_and_ends_as_in_a_shell() {
    let cases = [
        ("echo one; echo two", 0, "one\ntwo\n"),
        (
            "echo \"$NAME is ${NAME}\" '$NAME'",
            0,
            "edge is edge $NAME\n",
        ),
        ("false || echo so", 0, "so\n"),
        ("false && echo never", 1, ""),
        ("! false && exit 3", 3, ""),
        (
            "if test -e /a; then echo there; else echo gone; fi",
            0,
            "gone\n",
        ),
        ("touch /a; if test -e /a; then echo there; fi", 0, "there\n"),
        ("if false; then echo no; fi", 0, ""),
        ("until test -e /b; do touch /b; done; cat /b", 0, ""),
        ("echo text > /f; echo more >> /f; cat /f", 0, "text\nmore\n"),
        ("echo gone > /dev/null", 0, ""),
        ("nonsense", 127, "sh: nonsense: not found\n"),
        (
            "cat /none 2>/dev/null",
            1,
            "cat: can't open '/none': No such file or directory\n",
        ),
        ("# nothing\nexec false", 1, ""),
        ("grep -q x /none", 2, ""),
    ];
    for (script, code, output) in cases {
        assert_eq!(ended(script), (code, output.to_owned()), "{script}");
    }
}

#[test]
fn when_a_script_cannot_be_read_then_it_is_said() {
    for script in ["if true", "echo 'open", "while true; do", "echo >", "fi"] {
        assert!(compile(script).is_err(), "{script}");
    }
}

#[test]
fn when_a_signal_comes_in_wait_then_the_handler_runs_at_once() {
    let mut room = Room::default();
    let mut process = started("trap 'exit 7' TERM; echo up; sleep 86400 & wait");

    let pause = process.run(&mut room);

    assert_eq!(pause, Pause::For(Duration::from_secs(86400)));
    assert!(process.terminate());
    assert_eq!(process.run(&mut room), Pause::Ended(End::Exit(7)));
}

#[test]
fn when_a_signal_comes_in_a_command_then_the_handler_waits_for_it() {
    let mut room = Room::default();
    let mut process = started("trap 'exit 7' TERM; while true; do sleep 1; done");
    assert_eq!(process.run(&mut room), Pause::For(Duration::from_secs(1)));

    assert!(!process.terminate());

    assert_eq!(process.run(&mut room), Pause::Ended(End::Exit(7)));
}

#[test]
fn when_nothing_handles_a_signal_then_the_first_process_ignores_it() {
    let mut room = Room::default();
    let mut process = started("sleep 5; echo still");
    assert_eq!(process.run(&mut room), Pause::For(Duration::from_secs(5)));

    assert!(!process.terminate());

    assert_eq!(process.run(&mut room), Pause::Ended(End::Exit(0)));
    assert_eq!(room.take_output(), "still\n");
}

#[test]
fn when_a_loop_never_sleeps_then_others_have_a_turn() {
    let mut room = Room::default();

    let pause = started("while true; do :; done").run(&mut room);

    assert!(matches!(pause, Pause::For(_)));
}

#[test]
fn when_a_probe_takes_too_long_then_it_has_no_status() {
    let words = ["sh", "-c", "sleep 10"].map(str::to_owned);
    let slow = Arc::new(program(&words).unwrap());
    let quick = Arc::new(program(&["true".to_owned()]).unwrap());

    assert_eq!(probe(&slow, &mut Room::default()), None);
    assert_eq!(probe(&quick, &mut Room::default()), Some(0));
    assert!(program(&["/nowhere/program".to_owned()]).is_none());
}
