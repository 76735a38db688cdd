//! What JavaScript functions get and give.

use baetyl_proto::function::v1::FailureOrigin;

use super::attached::{Attached, call, reason, stream_call};
use super::support::{Bench, Plan, until};

const FUNCTIONS: &str = r#"
'use strict';
const { execFileSync } = require('node:child_process');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

exports.echo = (event) => event;
exports.kind = (event) => (Buffer.isBuffer(event) ? 'buffer' : typeof event);
exports.nothing = () => undefined;
exports.raw = () => Buffer.from([0, 255]);
exports.seen = (event, context) => ({
  who: context.who,
  service: context.serviceName,
  name: context.functionName,
  id: context.invokeId,
  time: context.remainingMs() > 0 && context.remainingMs() <= context.deadline_ms,
});
exports.callback = (event, context, callback) => {
  setTimeout(() => {
    callback(null, { first: event });
    callback(null, 'second');
    callback(new Error('third'));
  }, 5);
};
exports.refuses = (event, context, callback) => callback(new RangeError('no'));
exports.later = async (event) => {
  await sleep(5);
  return { later: event };
};
function inner() {
  throw new TypeError('it is bad');
}
exports.fails = () => inner();
exports.rejects = async () => {
  await sleep(1);
  throw 'a text';
};
exports.circle = () => {
  const circle = {};
  circle.self = circle;
  return circle;
};
exports.big = () => 1n;
exports.routine = () => () => 1;
exports.huge = () => Buffer.alloc(5 * 1024 * 1024);
exports.counts = function* () {
  for (let n = 0; n < 3; n += 1) yield { n };
};
exports.countsLater = async function* () {
  for (let n = 0; n < 3; n += 1) {
    await sleep(1);
    yield { n };
  }
};
exports.prints = async (event, context) => {
  console.log('to out');
  console.error('to err');
  process.stdout.write('no end');
  execFileSync('echo', ['from a child'], { stdio: ['ignore', 'inherit', 'inherit'] });
  setTimeout(() => console.log('after the end of', context.invokeId), 20);
};
exports.collapses = () => {
  setTimeout(() => {
    throw new Error('nobody catches it');
  }, 1);
  return sleep(60000);
};
"#;

const HANDLERS: &[&str] = &[
    "f.echo",
    "f.kind",
    "f.nothing",
    "f.raw",
    "f.seen",
    "f.callback",
    "f.refuses",
    "f.later",
    "f.fails",
    "f.rejects",
    "f.circle",
    "f.big",
    "f.routine",
    "f.huge",
    "f.counts",
    "f.countsLater",
    "f.prints",
    "f.collapses",
    "lib/modern.handler",
];

const FILES: &[(&str, &str)] = &[
    ("f.js", FUNCTIONS),
    (
        "lib/modern.mjs",
        "export const handler = () => import.meta.url.slice(-14);\n",
    ),
];

fn number(name: &str) -> u32 {
    let position = HANDLERS
        .iter()
        .position(|handler| handler.ends_with(&format!(".{name}")));
    u32::try_from(position.unwrap()).unwrap()
}

async fn bench() -> (Bench, Attached) {
    let mut bench = Bench::new(Plan::new("node", FILES, HANDLERS)).await;
    let stream = bench.attached().await;
    (bench, stream)
}

#[tokio::test]
async fn when_functions_answer_then_the_payload_is_what_they_said() {
    let (_bench, mut stream) = bench().await;
    let seen = r#"{"who":"test","service":"tests","name":"f.seen","id":"inv-8","time":true}"#;
    let cases: [(&str, &[u8], &[u8]); 12] = [
        ("echo", br#"{"a":[1,"x"]}"#, br#"{"a":[1,"x"]}"#),
        ("echo", b"\xff\x00", b"\xff\x00"),
        ("echo", b"\"text\"", b"\"text\""),
        ("kind", b"", b"\"buffer\""),
        ("kind", b"[1]", b"\"object\""),
        ("nothing", b"1", b""),
        ("raw", b"1", b"\x00\xff"),
        ("seen", b"", seen.as_bytes()),
        ("callback", b"1", br#"{"first":1}"#),
        ("later", b"7", br#"{"later":7}"#),
        ("counts", b"", b"{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n"),
        ("handler", b"", b"\"lib/modern.mjs\""),
    ];

    for (call_id, (function, payload, expected)) in (1..).zip(cases) {
        let result = stream.run(call(call_id, number(function), payload)).await;
        assert_eq!(result.failure, None, "{function}");
        let chunks = stream.chunks.remove(&call_id).unwrap_or_default();
        let mut answer: Vec<u8> = chunks.iter().flat_map(|(data, _)| data.to_vec()).collect();
        answer.extend(&result.payload);
        assert_eq!(
            String::from_utf8_lossy(&answer),
            String::from_utf8_lossy(expected),
            "{function}"
        );
    }
}

#[tokio::test]
async fn when_a_function_throws_then_the_failure_tells_type_message_and_place() {
    let (_bench, mut stream) = bench().await;

    let result = stream.run(call(1, number("fails"), b"")).await;

    let failure = result.failure.unwrap();
    assert_eq!(failure.origin(), FailureOrigin::Function);
    assert_eq!(failure.reason, "FUNCTION_RAISED");
    assert_eq!(failure.error_type, "TypeError");
    assert_eq!(failure.message, "it is bad");
    assert!(
        failure.stack.contains("at inner (f.js:"),
        "{}",
        failure.stack
    );
    assert!(!failure.stack.contains("worker.js"), "{}", failure.stack);
}

#[tokio::test]
async fn when_an_answer_cannot_be_sent_then_the_worker_stays_and_the_reason_says_which() {
    let (_bench, mut stream) = bench().await;
    let cases = [
        ("refuses", "FUNCTION_RAISED"),
        ("rejects", "FUNCTION_RAISED"),
        ("circle", "RESULT_NOT_ENCODABLE"),
        ("big", "RESULT_NOT_ENCODABLE"),
        ("routine", "RESULT_NOT_ENCODABLE"),
        ("huge", "RESULT_TOO_LARGE"),
    ];

    for (call_id, (function, expected)) in (1..).zip(cases) {
        let result = stream.run(call(call_id, number(function), b"")).await;
        assert_eq!(reason(&result), expected, "{function}");
    }
    assert!(!stream.seen.contains(&"ready"), "{:?}", stream.seen);
}

#[tokio::test]
async fn when_generators_are_streamed_then_each_value_is_one_piece() {
    let (_bench, mut stream) = bench().await;

    for (call_id, function) in [(1, "counts"), (2, "countsLater")] {
        let result = stream
            .run(stream_call(call_id, number(function), b""))
            .await;
        assert_eq!(result.failure, None);
        let values = stream.values(call_id);
        assert_eq!(values, ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
    }
}

#[tokio::test]
async fn when_a_function_prints_then_the_lines_belong_to_its_invocation() {
    let (bench, mut stream) = bench().await;

    stream.run(call(1, number("prints"), b"")).await;

    for (name, text) in [
        ("out", "to out"),
        ("err", "to err"),
        ("out", "no end"),
        // Also when the call has ended.
        ("out", "after the end of inv-1"),
    ] {
        let line = format!("{name}:\u{1e}inv=inv-1\u{1e}{text}\n");
        until(&line, || bench.printed.has(&line)).await;
    }
    until("the child's line", || {
        bench.printed.has("out:from a child\n")
    })
    .await;
}

#[tokio::test]
async fn when_an_error_is_thrown_that_nobody_can_catch_then_it_ends_the_call_and_the_worker() {
    let (_bench, mut stream) = bench().await;

    let result = stream.run(call(1, number("collapses"), b"")).await;

    assert_eq!(reason(&result), "FUNCTION_RAISED");
    assert_eq!(result.failure.unwrap().message, "nobody catches it");
    stream.until_slots(0).await;
    stream.until_slots(1).await;
    let after = stream.run(call(2, number("echo"), b"1")).await;
    assert_eq!(after.failure, None);
}
