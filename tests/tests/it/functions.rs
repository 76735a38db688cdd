//! One function, every way of calling it; and what happens when it misbehaves.

use std::cell::Cell;
use std::ffi::OsString;

use anyhow::{Context as _, Result};
use baetyl_tests::{System, tool};
use serde_json::{Value, json};

const ROWS: &str =
    r#"{"rows": [{"time": "a", "x": 1}, {"time": "b", "x": 2}, {"time": "c", "x": 6}]}"#;

#[tokio::test]
async fn when_a_function_is_called_by_cli_rest_and_grpcurl_then_the_answer_is_the_same()
-> Result<()> {
    let mut system = System::start().await?;
    system
        .cli(&["apply", "-f", "examples/sensors", "--wait"])
        .await?
        .ok()?;

    let by_cli = system
        .cli(&["invoke", "sensors/window", "-d", ROWS])
        .await?
        .ok()?;
    let rest = system.edge_rest()?;
    let by_rest = rest
        .post("/v1/functions/sensors/window:invoke", ROWS)
        .await?;
    let by_grpcurl = grpcurl(
        &system,
        "function",
        "baetyl.function.v1.FunctionService/Invoke",
        &json!({"service": "sensors", "function": "window", "payload": base64(ROWS.as_bytes())}),
    )
    .await?;

    let by_cli: Value = serde_json::from_str(&by_cli)?;
    assert_eq!(by_cli["columns"]["x"]["median"], 2.0);
    assert_eq!(by_rest.status, 200, "{}", by_rest.text());
    assert_eq!(by_rest.json(), by_cli);
    let payload = by_grpcurl["payload"].as_str().context("a payload")?;
    assert_eq!(
        serde_json::from_slice::<Value>(&unbase64(payload)?)?,
        by_cli
    );

    let days = system
        .cli(&[
            "invoke",
            "sensors/days",
            "--stream",
            "-d",
            "@examples/sensors/readings.csv",
        ])
        .await?
        .ok()?;
    let days: Vec<Value> = days
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(days.len(), 28);
    assert_eq!(days[0]["day"], "2026-03-02");

    let raised = system
        .cli(&["invoke", "sensors/window", "-d", r#"{"rows": 3"#])
        .await?;
    assert_eq!(raised.code, 1);
    assert!(
        raised.stderr.contains("[UNKNOWN / FUNCTION_RAISED]"),
        "{}",
        raised.stderr
    );
    assert!(raised.stderr.contains("window.py:"), "{}", raised.stderr);
    let problem = rest
        .post("/v1/functions/sensors/window:invoke", r#"{"rows": 3"#)
        .await?;
    assert_eq!(problem.status, 500, "{}", problem.text());
    assert_eq!(problem.json()["reason"], "FUNCTION_RAISED");
    let missing = rest
        .post("/v1/functions/sensors/nothing:invoke", "{}")
        .await?;
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert_eq!(missing.json()["reason"], "FUNCTION_NOT_FOUND");
    assert_eq!(system.stop().await?, 0);
    Ok(())
}

#[tokio::test]
async fn when_grpcurl_lists_and_describes_then_reflection_answers_in_both_versions() -> Result<()> {
    let system = System::start().await?;

    for (address, authority, token, service) in [
        ("cloud", "ca", "token", "baetyl.cloud.v1.NodeService"),
        (
            "function",
            "edgeCa",
            "edgeToken",
            "baetyl.function.v1.FunctionService",
        ),
        ("core", "edgeCa", "edgeToken", "baetyl.node.v1.NodeService"),
    ] {
        let args = arguments(&system, address, authority, token)?;
        let listed = tool::grpcurl(&[args.clone(), vec!["list".into()]].concat())
            .await?
            .ok()?;
        assert!(listed.contains(service), "{listed}");
        let described = [args, vec!["describe".into(), service.into()]].concat();
        let described = tool::grpcurl(&described).await?.ok()?;
        assert!(described.contains("service "), "{described}");
    }
    Ok(())
}

async fn grpcurl(system: &System, address: &str, method: &str, message: &Value) -> Result<Value> {
    let mut args = arguments(system, address, "edgeCa", "edgeToken")?;
    let at = args.pop().context("an address")?;
    args.extend(["-d".into(), message.to_string().into(), at, method.into()]);
    Ok(serde_json::from_str(&tool::grpcurl(&args).await?.ok()?)?)
}

fn arguments(
    system: &System,
    address: &str,
    authority: &str,
    token: &str,
) -> Result<Vec<OsString>> {
    let ca = system.folder().join(format!("{authority}.pem"));
    std::fs::write(&ca, system.from_context(authority)?)?;
    let bearer = format!("authorization: Bearer {}", system.from_context(token)?);
    let at = system.from_context(address)?.replace("https://", "");
    Ok(vec![
        "-cacert".into(),
        ca.into(),
        "-H".into(),
        bearer.into(),
        at.into(),
    ])
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn unbase64(text: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}

/// Functions that misbehave on request. Only one is given little time, so that whose deadline it
/// is that ends a call is never in question: callers have much more.
const WILD: &str = r#"apiVersion: baetyl.io/v1
kind: Configuration
name: wild-code
data:
  wild.py: |
    import os, signal, sys, time
    def die(event, context):
        os.kill(os.getpid(), signal.SIGKILL)
    def hang(event, context):
        time.sleep(600)
    def flood(event, context):
        for _ in range(200000):
            print("x" * 80)
        return "flooded"
    def lie(event, context):
        return object()
    def fail(event, context):
        raise KeyError("no such pump")
    def echo(event, context):
        return event
---
apiVersion: baetyl.io/v1
kind: Application
name: wild
type: function
selector: site = demo
services:
  - name: wild
    runtime: python3
    functions:
      - {name: echo, handler: wild.echo}
      - {name: die, handler: wild.die}
      - {name: flood, handler: wild.flood}
      - {name: lie, handler: wild.lie}
      - {name: fail, handler: wild.fail}
    code: {configuration: wild-code}
    concurrency: 2
    timeout: 170s
  - name: slow
    runtime: python3
    functions:
      - {name: echo, handler: wild.echo}
      - {name: hang, handler: wild.hang}
    code: {configuration: wild-code}
    timeout: 2s
"#;

#[tokio::test]
async fn when_workers_misbehave_then_each_call_gets_the_documented_error_and_others_go_on()
-> Result<()> {
    let system = System::start().await?;
    system
        .cli_with(&["apply", "-f", "-", "--wait"], WILD.as_bytes())
        .await?
        .ok()?;
    let rest = system.edge_rest()?;
    let call = async |function: &str| {
        let path = format!("/v1/functions/{function}:invoke");
        let headers = [("request-timeout", "170s")];
        let body = r#"{"a": 1}"#;
        rest.send(http::Method::POST, &path, &headers, body).await
    };

    for (function, status, reason) in [
        ("wild/die", 503, "RUNTIME_DIED"),
        ("slow/hang", 504, "FUNCTION_TIMEOUT"),
        ("wild/lie", 500, "RESULT_NOT_ENCODABLE"),
        ("wild/fail", 500, "FUNCTION_RAISED"),
    ] {
        let (bad, echo) = tokio::join!(call(function), call("wild/echo"));
        let (bad, echo) = (bad?, echo?);
        assert_eq!(bad.json()["reason"], reason, "{function}: {}", bad.text());
        assert_eq!(bad.status, status, "{function}: {}", bad.text());
        assert_eq!(
            echo.json(),
            json!({"a": 1}),
            "beside {function}: {}",
            echo.text()
        );
    }
    let flood = system
        .cli(&["invoke", "wild/flood", "--timeout", "170s"])
        .await?
        .ok()?;
    assert!(flood.contains("flooded"), "{flood}");
    // One of each pair waits for the other, or for the worker that comes back.
    for echo in ["wild/echo", "slow/echo"] {
        let both = async || {
            let answers = tokio::join!(call(echo), call(echo));
            Ok((answers.0?.status, answers.1?.status))
        };
        baetyl_tests::wait::until("all workers back", both, |both| *both == (200, 200)).await?;
    }
    Ok(())
}

/// A function that says of which version its code is.
fn versioned(version: u32) -> String {
    format!(
        "apiVersion: baetyl.io/v1
kind: Configuration
name: versioned-code
data:
  answer.py: |
    def handler(event, context):
        return {version}
---
apiVersion: baetyl.io/v1
kind: Application
name: versioned
type: function
selector: site = demo
services:
  - name: versioned
    runtime: python3
    functions: [{{name: answer, handler: answer.handler}}]
    code: {{configuration: versioned-code}}
"
    )
}

#[tokio::test]
async fn when_only_the_code_changes_then_no_call_fails_and_answers_change_once() -> Result<()> {
    let system = System::start().await?;
    let apply = async |version: u32| {
        let document = versioned(version);
        let applied = system.cli_with(&["apply", "-f", "-", "--wait"], document.as_bytes());
        applied.await?.ok()
    };
    apply(1).await?;
    let rest = system.edge_rest()?;
    let call = async || {
        let answer = rest
            .post("/v1/functions/versioned/answer:invoke", "{}")
            .await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        Ok::<_, anyhow::Error>(answer.text().trim().to_owned())
    };

    let is_applied = Cell::new(false);
    let (applied, answers) = tokio::join!(
        async {
            let applied = apply(2).await;
            is_applied.set(true);
            applied
        },
        async {
            let mut answers = Vec::new();
            while !is_applied.get() {
                answers.push(call().await?);
            }
            Ok::<_, anyhow::Error>(answers)
        },
    );

    applied?;
    let answers = answers?;
    assert_eq!(answers.first().map(String::as_str), Some("1"));
    assert!(
        answers.is_sorted(),
        "the old code answered after the new: {answers:?}"
    );
    assert_eq!(call().await?, "2");
    Ok(())
}
