//! What Python functions get and give.

use baetyl_proto::function::v1::{FailureOrigin, MetadataEntry};

use super::attached::{Attached, call, reason, stream_call};
use super::support::{Bench, Plan, until};

const FUNCTIONS: &str = r#"
import asyncio, json, os, subprocess, sys, threading
from types import SimpleNamespace

def echo(event, context):
    return event

def kind(event, context):
    return type(event).__name__

def trace(event, context):
    return [context["traceparent"], context["functionName"]]

def nothing(event, context):
    return None

def raw(event, context):
    return b"\x00\xff"

def seen(event, context):
    left = context.remaining_ms()
    return {
        "context": {key: context[key] for key in ("who", "serviceName", "functionName", "invokeId")},
        "has_time": 0 < left <= context["deadline_ms"] <= 600000,
        "secret": "SECRET" in os.environ,
        "app": os.environ["BAETYL_APP_NAME"],
    }

class BadInput(Exception):
    pass

def inner(event):
    raise BadInput("it is " + event)

def fails(event, context):
    inner("bad")

def leaves(event, context):
    sys.exit("enough")

def odd(event, context):
    return {"value": object()}

def infinite(event, context):
    return float("inf")

def huge(event, context):
    return b"x" * (5 * 1024 * 1024)

async def later(event, context):
    await asyncio.sleep(0.01)
    return {"later": event}

def counts(event, context):
    for number in range(3):
        yield {"n": number}

async def counts_later(event, context):
    for number in range(3):
        await asyncio.sleep(0.001)
        yield {"n": number}

def breaks(event, context):
    yield 1
    raise ValueError("after one")

def prints(event, context):
    print("to out")
    print("to err", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.write("no end")
    thread = threading.Thread(target=lambda: print("from a thread"))
    thread.start()
    thread.join()
    subprocess.run(["echo", "from a child"], check=True)
    return None
"#;

const HANDLERS: &[&str] = &[
    "f.echo",
    "f.kind",
    "f.trace",
    "f.nothing",
    "f.raw",
    "f.seen",
    "f.fails",
    "f.leaves",
    "f.odd",
    "f.infinite",
    "f.huge",
    "f.later",
    "f.counts",
    "f.counts_later",
    "f.breaks",
    "f.prints",
    "lib/deep.handler",
];

const FILES: &[(&str, &str)] = &[
    ("f.py", FUNCTIONS),
    (
        "lib/deep.py",
        "def handler(event, context):\n    return __name__\n",
    ),
];

fn number(name: &str) -> u32 {
    let position = HANDLERS
        .iter()
        .position(|handler| handler.ends_with(&format!(".{name}")));
    u32::try_from(position.unwrap()).unwrap()
}

async fn bench() -> (Bench, Attached) {
    let mut bench = Bench::new(Plan::new("python3", FILES, HANDLERS)).await;
    let stream = bench.attached().await;
    (bench, stream)
}

#[tokio::test]
async fn when_functions_answer_then_the_payload_is_what_they_said() {
    let (_bench, mut stream) = bench().await;
    let seen = r#"{"context":{"who":"test","serviceName":"tests","functionName":"f.seen","invokeId":"inv-10"},"has_time":true,"secret":false,"app":"tests"}"#;
    let cases: [(&str, &[u8], &[u8]); 13] = [
        (
            "echo",
            br#"{"a":[1,"\u00e4"]}"#,
            "{\"a\":[1,\"ä\"]}".as_bytes(),
        ),
        ("echo", b"\xff\x00", b"\xff\x00"),
        ("echo", b"\"text\"", b"\"text\""),
        ("kind", b"", b"\"bytes\""),
        ("kind", b"NaN", b"\"bytes\""),
        ("kind", b"[1]", b"\"list\""),
        ("nothing", b"1", b""),
        ("raw", b"1", b"\x00\xff"),
        ("echo", b"true", b"true"),
        ("seen", b"", seen.as_bytes()),
        ("later", b"7", br#"{"later":7}"#),
        // One answer was asked for: lines.
        ("counts", b"", b"{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n"),
        ("handler", b"", b"\"lib.deep\""),
    ];

    for (call_id, (function, payload, expected)) in (1..).zip(cases) {
        let mut result = stream.run(call(call_id, number(function), payload)).await;
        assert_eq!(result.failure, None, "{function}");
        let chunks = stream.chunks.remove(&call_id).unwrap_or_default();
        let mut answer: Vec<u8> = chunks.iter().flat_map(|(data, _)| data.to_vec()).collect();
        answer.extend(std::mem::take(&mut result.payload));
        assert_eq!(
            String::from_utf8_lossy(&answer),
            String::from_utf8_lossy(expected),
            "{function}"
        );
    }
}

#[tokio::test]
async fn when_a_function_raises_then_the_failure_tells_type_message_and_place() {
    let (_bench, mut stream) = bench().await;

    let result = stream.run(call(1, number("fails"), b"")).await;

    let failure = result.failure.unwrap();
    assert_eq!(failure.origin(), FailureOrigin::Function);
    assert_eq!(failure.reason, "FUNCTION_RAISED");
    assert_eq!(failure.error_type, "f.BadInput");
    assert_eq!(failure.message, "it is bad");
    assert!(
        failure.stack.contains("File \"f.py\", line"),
        "{}",
        failure.stack
    );
    assert!(failure.stack.contains("in inner"), "{}", failure.stack);
    assert!(!failure.stack.contains("worker.py"), "{}", failure.stack);
}

#[tokio::test]
async fn when_an_answer_cannot_be_sent_then_the_worker_stays_and_the_reason_says_which() {
    let (_bench, mut stream) = bench().await;
    let cases = [
        ("leaves", "FUNCTION_RAISED"),
        ("odd", "RESULT_NOT_ENCODABLE"),
        ("infinite", "RESULT_NOT_ENCODABLE"),
        ("huge", "RESULT_TOO_LARGE"),
        ("breaks", "FUNCTION_RAISED"),
    ];

    for (call_id, (function, expected)) in (1..).zip(cases) {
        let result = stream.run(call(call_id, number(function), b"")).await;
        assert_eq!(reason(&result), expected, "{function}");
    }
    let after = stream.run(call(9, number("echo"), b"1")).await;
    assert_eq!((after.failure, &after.payload[..]), (None, &b"1"[..]));
    assert!(!stream.seen.contains(&"ready"), "{:?}", stream.seen);
}

#[tokio::test]
async fn when_generators_are_streamed_then_each_value_is_one_piece() {
    let (_bench, mut stream) = bench().await;

    for (call_id, function) in [(1, "counts"), (2, "counts_later")] {
        let result = stream
            .run(stream_call(call_id, number(function), b""))
            .await;
        assert_eq!(result.failure, None);
        assert!(result.payload.is_empty());
        let values = stream.values(call_id);
        assert_eq!(values, ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    }
    let broken = stream.run(stream_call(3, number("breaks"), b"")).await;
    assert_eq!(reason(&broken), "FUNCTION_RAISED");
    assert_eq!(stream.values(3), ["1"]);
}

#[tokio::test]
async fn when_a_function_prints_then_the_lines_belong_to_its_invocation() {
    let (bench, mut stream) = bench().await;

    stream.run(call(1, number("prints"), b"")).await;

    let marked = |stream: &str, text: &str| format!("{stream}:\u{1e}inv=inv-1\u{1e}{text}\n");
    for (stream, text) in [
        ("out", "to out"),
        ("err", "to err"),
        ("out", "bytes"),
        ("out", "no endfrom a thread"),
    ] {
        let line = marked(stream, text);
        until(&line, || bench.printed.has(&line)).await;
    }
    // What went past the worker belongs to no call for certain.
    until("the child's line", || {
        bench.printed.has("out:from a child\n")
    })
    .await;
}

#[tokio::test]
async fn when_a_trace_comes_with_the_call_then_the_function_sees_it() {
    let (_bench, mut stream) = bench().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut traced = call(1, number("trace"), b"1");
    traced.traceparent = traceparent.into();
    traced.metadata.push(MetadataEntry {
        key: "functionName".into(),
        value: "forged".into(),
    });

    let result = stream.run(traced).await;

    assert_eq!(result.failure, None);
    let expected = format!("[\"{traceparent}\",\"f.trace\"]");
    assert_eq!(result.payload, expected);
}
