//! One crashed or stuck call costs one worker, and not the service.

use baetyl_proto::function::v1::FailureOrigin;
use baetyl_runtime::Error;
use baetyl_service_kit::fault::Fault as _;

use super::attached::{call, reason, stream_call};
use super::support::{Bench, Plan, until};

const FUNCTIONS: &str = r#"
import asyncio, os, signal, subprocess, time

def echo(event, context):
    return event

def dies(event, context):
    os.kill(os.getpid(), signal.SIGKILL)

def waits(event, context):
    while not os.path.exists(event):
        time.sleep(0.005)
    return "done"

def hangs(event, context):
    if event:
        subprocess.Popen(["sleep", "1000"])
        open(event, "w").close()
    while True:
        time.sleep(0.01)

async def sleeps(event, context):
    try:
        open(event, "w").close()
        await asyncio.sleep(1000)
    finally:
        print("cleaned up")

def endless(event, context):
    number = 0
    while True:
        number += 1
        yield number

def floods(event, context):
    for number in range(100000):
        print("line", number)
    return "dry"
"#;

const HANDLERS: &[&str] = &[
    "f.echo",
    "f.dies",
    "f.waits",
    "f.hangs",
    "f.sleeps",
    "f.endless",
    "f.floods",
];
const ECHO: u32 = 0;
const DIES: u32 = 1;
const WAITS: u32 = 2;
const HANGS: u32 = 3;
const SLEEPS: u32 = 4;
const ENDLESS: u32 = 5;
const FLOODS: u32 = 6;

fn plan() -> Plan {
    Plan::new("python3", &[("f.py", FUNCTIONS)], HANDLERS)
}

fn json(path: &std::path::Path) -> Vec<u8> {
    format!("{:?}", path.display().to_string()).into_bytes()
}

#[tokio::test]
async fn when_a_worker_dies_then_one_call_fails_and_the_others_go_on() {
    let mut bench = Bench::new(plan().workers(2)).await;
    let mut stream = bench.attached().await;
    let gate = bench.path("gate");
    stream.start(call(1, WAITS, &json(&gate))).await;

    let died = stream.run(call(2, DIES, b"")).await;

    let failure = died.failure.unwrap();
    assert_eq!(failure.origin(), FailureOrigin::Runtime);
    assert_eq!(failure.reason, "RUNTIME_DIED");
    assert!(failure.message.contains("signal 9"), "{}", failure.message);
    // The slot went before the result freed it.
    assert_eq!(stream.slots, 1);
    stream.until_slots(2).await;
    let after = stream.run(call(3, ECHO, b"1")).await;
    assert_eq!(after.failure, None);
    std::fs::write(gate, "").unwrap();
    let other = stream.result(1).await;
    assert_eq!(
        (other.failure, &other.payload[..]),
        (None, &b"\"done\""[..])
    );
}

#[tokio::test]
async fn when_a_call_hangs_past_its_deadline_then_its_worker_and_its_children_are_replaced() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    let begun = bench.path("begun");
    let mut hanging = call(1, HANGS, &json(&begun));
    // Time enough to begin, on any machine; whether it did is asserted.
    hanging.timeout_us = 5_000_000;

    let result = stream.run(hanging).await;
    assert!(begun.exists(), "it began, and has a child");

    let failure = result.failure.clone().unwrap();
    assert_eq!(failure.origin(), FailureOrigin::Timeout);
    assert_eq!(failure.reason, "FUNCTION_TIMEOUT");
    assert_eq!(stream.slots, 0);
    stream.until_slots(1).await;
    until("only the new worker is alive", || {
        bench.workers_alive() == 1
    })
    .await;
    let after = stream.run(call(2, ECHO, b"1")).await;
    assert_eq!(after.failure, None);
}

#[tokio::test]
async fn when_a_coroutine_is_cancelled_then_it_cleans_up_and_the_worker_stays() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    let begun = bench.path("begun");
    stream.start(call(1, SLEEPS, &json(&begun))).await;
    until("it sleeps", || begun.exists()).await;

    stream.cancel(1).await;

    let result = stream.result(1).await;
    assert_eq!(reason(&result), "CALL_CANCELLED");
    until("it cleaned up", || {
        bench.printed.has("inv-1\u{1e}cleaned up")
    })
    .await;
    let after = stream.run(call(2, ECHO, b"1")).await;
    assert_eq!(after.failure, None);
    assert!(!stream.seen.contains(&"ready"), "{:?}", stream.seen);
}

#[tokio::test]
async fn when_a_stuck_call_is_cancelled_then_its_worker_is_replaced() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    let begun = bench.path("begun");
    stream.start(call(1, HANGS, &json(&begun))).await;
    until("it hangs", || begun.exists()).await;

    stream.cancel(1).await;

    let result = stream.result(1).await;
    assert_eq!(reason(&result), "CALL_CANCELLED");
    stream.until_slots(1).await;
    let after = stream.run(call(2, ECHO, b"1")).await;
    assert_eq!(after.failure, None);
}

#[tokio::test]
async fn when_an_endless_generator_is_cancelled_then_the_worker_stays() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    stream.start(stream_call(1, ENDLESS, b"")).await;
    while stream.values(1).len() < 10 {
        stream.step().await;
    }

    stream.cancel(1).await;

    let result = stream.result(1).await;
    assert_eq!(reason(&result), "CALL_CANCELLED");
    let after = stream.run(call(2, ECHO, b"1")).await;
    assert_eq!(after.failure, None);
    assert!(!stream.seen.contains(&"ready"), "{:?}", stream.seen);
}

#[tokio::test]
async fn when_a_function_floods_its_output_then_its_call_and_others_are_not_held_up() {
    let mut bench = Bench::new(plan().workers(2)).await;
    let mut stream = bench.attached().await;
    stream.start(call(1, FLOODS, b"")).await;

    let other = stream.run(call(2, ECHO, b"1")).await;
    let flooded = stream.result(1).await;

    assert_eq!(other.failure, None);
    assert_eq!(flooded.payload, "\"dry\"");
    until("the last lines", || {
        bench.printed.has("line 99999") || bench.printed.has("lines of output were dropped")
    })
    .await;
}

#[tokio::test]
async fn when_more_calls_come_than_slots_then_the_rest_is_refused_and_did_not_run() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    let gate = bench.path("gate");
    stream.start(call(1, WAITS, &json(&gate))).await;

    let refused = stream.run(call(2, ECHO, b"1")).await;

    let failure = refused.failure.unwrap();
    assert_eq!(failure.origin(), FailureOrigin::Overload);
    std::fs::write(gate, "").unwrap();
    assert_eq!(stream.result(1).await.failure, None);
}

#[tokio::test]
async fn when_an_idle_worker_is_killed_then_its_slot_goes_and_comes_back() {
    let mut bench = Bench::new(plan()).await;
    let mut stream = bench.attached().await;
    stream.run(call(1, ECHO, b"1")).await;
    until("its worker is there", || bench.workers_alive() == 1).await;

    let marker = format!("BAETYL_WORKER={}-", bench.config.instance);
    let mut killed = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(&marker) {
            let pid = process.file_name().into_string().unwrap();
            let status = std::process::Command::new("/bin/kill")
                .args(["-KILL", &pid])
                .status();
            killed += i32::from(status.unwrap().success());
        }
    }

    assert_eq!(killed, 1);
    stream.until_slots(0).await;
    stream.until_slots(1).await;
    assert_eq!(stream.run(call(2, ECHO, b"1")).await.failure, None);
}

#[tokio::test]
async fn when_code_cannot_be_imported_then_the_host_ends_and_says_why() {
    const FILES: &[(&str, &str)] = &[("f.py", "import absent_module\n")];
    let mut bench = Bench::new(Plan::new("python3", FILES, &["f.handler"])).await;

    let error = bench.ended().await.unwrap_err();

    let Error::CodeNotLoaded {
        function,
        error_type,
        message,
        stack,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(function, "f.handler");
    assert_eq!(error_type, "ModuleNotFoundError");
    assert!(message.contains("absent_module"), "{message}");
    assert!(stack.contains("File \"f.py\", line 1"), "{stack}");
    assert_eq!(error.reason(), "CODE_NOT_LOADED");
    assert!(!bench.path("ready").exists());
}

#[tokio::test]
async fn when_a_function_is_not_there_then_the_host_ends_and_says_which() {
    let cases = [
        Plan::new("python3", &[("f.py", "handler = 1\n")], &["f.handler"]),
        Plan::new("python3", &[("f.py", "")], &["f.absent"]),
        Plan::new("node", &[("f.js", "exports.other = 1;\n")], &["f.other"]),
        Plan::new("node", &[], &["absent.handler"]),
    ];

    for plan in cases {
        let mut bench = Bench::new(plan).await;
        let error = bench.ended().await.unwrap_err();
        assert_eq!(error.reason(), "CODE_NOT_LOADED", "{error}");
        assert_eq!(bench.workers_alive(), 0);
    }
}

#[tokio::test]
async fn when_the_interpreter_is_absent_then_the_host_says_so() {
    let mut bench = Bench::without_host(plan()).await;
    bench.config.runtime = "node".into();
    bench.start_host_with_path("/nowhere");

    let error = bench.ended().await.unwrap_err();

    assert_eq!(error.reason(), "RUNTIME_NOT_FOUND");
    assert!(error.to_string().contains("node"), "{error}");
}
