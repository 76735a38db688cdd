//! A server of the predecessor's contract, written with grpcio, registered by its address.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use baetyl_tests::{System, repository, tool};
use serde_json::{Value, json};

/// The server; it ends when its standard input does.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(system: &System) -> Result<Self> {
        let mut child = Command::new(tool::path("python3")?)
            .arg(repository().join("tests/fixtures/faas_server.py"))
            .arg(repository().join("proto/faas/function.proto"))
            .env("TMPDIR", system.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("its output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port: u16 = line.trim().parse().context("its port")?;
        Ok(Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn when_a_server_of_the_old_contract_registers_then_its_functions_answer() -> Result<()> {
    let system = System::start().await?;
    let server = Server::start(&system)?;
    let lease = grpcurl(
        &system,
        "baetyl.function.v1.RuntimeService/RegisterAddress",
        &json!({
            "instance": {"id": "old", "incarnation": 1},
            "service": "old",
            "functions": [{"name": "echo"}, {"name": "fail"}],
            "address": server.address,
            "leaseDuration": "600s",
        }),
    )
    .await?;

    let by_cli: Value = serde_json::from_str(
        &system
            .cli(&["invoke", "old/echo", "-d", r#"{"a": 1}"#])
            .await?
            .ok()?,
    )?;
    let rest = system.edge_rest()?;
    let by_rest = rest
        .post("/v1/functions/old/echo:invoke", r#"{"a": 1}"#)
        .await?;

    assert_eq!(by_rest.status, 200, "{}", by_rest.text());
    for got in [&by_cli, &by_rest.json()] {
        assert_eq!(got["payload"], r#"{"a": 1}"#, "{got}");
        assert_eq!(got["metadata"]["serviceName"], "old", "{got}");
        assert_eq!(got["metadata"]["functionName"], "echo", "{got}");
        assert_ne!(
            got["metadata"]["invokeId"].as_str().unwrap_or_default(),
            "",
            "{got}"
        );
    }
    assert_ne!(
        by_cli["metadata"]["invokeId"],
        by_rest.json()["metadata"]["invokeId"]
    );
    let failed = rest.post("/v1/functions/old/fail:invoke", "{}").await?;
    assert!(
        failed.status >= 400 && failed.text().contains("no such pump"),
        "{}",
        failed.text()
    );

    let lease = json!({"leaseId": lease["leaseId"]});
    grpcurl(
        &system,
        "baetyl.function.v1.RuntimeService/Deregister",
        &lease,
    )
    .await?;
    let gone = rest.post("/v1/functions/old/echo:invoke", "{}").await?;
    assert_eq!(
        gone.json()["reason"],
        "FUNCTION_NOT_FOUND",
        "{}",
        gone.text()
    );
    Ok(())
}

async fn grpcurl(system: &System, method: &str, message: &Value) -> Result<Value> {
    let ca = system.folder().join("edge-ca.pem");
    std::fs::write(&ca, system.from_context("edgeCa")?)?;
    let bearer = format!(
        "authorization: Bearer {}",
        system.from_context("edgeToken")?
    );
    let at = system.from_context("function")?.replace("https://", "");
    let args: [OsString; 8] = [
        "-cacert".into(),
        ca.into(),
        "-H".into(),
        bearer.into(),
        "-d".into(),
        message.to_string().into(),
        at.into(),
        method.into(),
    ];
    Ok(serde_json::from_str(&tool::grpcurl(&args).await?.ok()?)?)
}
