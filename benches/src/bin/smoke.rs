//! The README's tour as a program: from an empty data folder to the function answered through the
//! command line, gRPC, REST and grpcurl. Each step is printed with its time; the first that goes
//! wrong ends the tour. Nothing is left behind.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use baetyl_benches::{Machine, Wire, check_program, say};
use baetyl_proto::function::v1::InvokeRequest;
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_tests::{System, instances, repository, tool, wait};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// From an empty folder to ready.
const FIRST_START: Duration = Duration::from_secs(5);

/// From a folder that was used before to ready.
const SECOND_START: Duration = Duration::from_secs(2);

/// Readings that are sent: an argument of grpcurl holds them.
const READINGS: usize = 500;

#[tokio::main]
async fn main() -> ExitCode {
    let begun = Instant::now();
    say(&format!("smoke: {}", Machine::look()));
    match tour().await {
        Ok(()) => {
            say(&format!(
                "every answer was right  {}",
                seconds(begun.elapsed())
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("✗ {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn tour() -> Result<()> {
    // Asked for first, so that a machine that lacks something does not learn so at the end.
    check_program()?;
    tool::path("grpcurl")?;
    let mut system = System::start().await?;
    done(
        "baetyl up, in an empty folder",
        system.ready_after,
        Some(FIRST_START),
    );
    step("the node is online", online(&system)).await?;
    step("baetyl apply -f examples/watcher --wait", watcher(&system)).await?;
    step(
        "a changed configuration is taken, without a restart",
        change(&system),
    )
    .await?;
    step("baetyl apply -f examples/sensors --wait", sensors(&system)).await?;
    let readings = Readings::take()?;
    step(
        "the function answers: command line",
        by_cli(&system, &readings),
    )
    .await?;
    step("the function answers: gRPC", by_grpc(&system, &readings)).await?;
    step("the function answers: REST", by_rest(&system, &readings)).await?;
    step(
        "the function answers: grpcurl, by reflection",
        by_grpcurl(&system, &readings),
    )
    .await?;
    step("a stream of values", days(&system)).await?;
    step("what is wrong is told", raised(&system)).await?;
    step("Ctrl-C, and nothing is left", stop(&mut system)).await?;

    system.up().await?;
    done("baetyl up, again", system.ready_after, Some(SECOND_START));
    step(
        "the function answers again",
        answers_again(&system, &readings),
    )
    .await?;
    step("Ctrl-C, and nothing is left", stop(&mut system)).await
}

/// Runs a step and prints it with its time.
async fn step(name: &str, acting: impl Future<Output = Result<()>>) -> Result<()> {
    let begun = Instant::now();
    acting.await.with_context(|| name.to_owned())?;
    done(name, begun.elapsed(), None);
    Ok(())
}

fn done(name: &str, time: Duration, target: Option<Duration>) {
    let beside = match target {
        Some(target) if time <= target => format!("  (target {})", seconds(target)),
        Some(target) => format!("  (over the target of {})", seconds(target)),
        None => String::new(),
    };
    say(&format!("✓ {name:<52} {}{beside}", seconds(time)));
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

async fn online(system: &System) -> Result<()> {
    let look = async || Ok(system.cli(&["get", "nodes"]).await?.stdout);
    wait::until("the node online", look, |text| text.contains("online")).await?;
    Ok(())
}

async fn watcher(system: &System) -> Result<()> {
    system
        .cli(&["apply", "-f", "examples/watcher", "--wait"])
        .await?
        .ok()?;
    Ok(())
}

async fn change(system: &System) -> Result<()> {
    let is_healthy = |status: &Value| status["state"] == "healthy";
    let before = system.application("watcher", is_healthy).await?;
    let file = repository().join("examples/watcher/watcher.yaml");
    let document = std::fs::read_to_string(file)?
        .replace("31.5", "28.25")
        .replace(
            "watcher.py: watcher.py",
            "watcher.py: examples/watcher/watcher.py",
        );
    system
        .cli_with(&["apply", "-f", "-", "--wait"], document.as_bytes())
        .await?
        .ok()?;
    let look = async || Ok(system.cli(&["logs", "watcher"]).await?.stdout);
    wait::until("the new limit in the log", look, |log| {
        log.contains("28.25")
    })
    .await?;
    let after = system.application("watcher", is_healthy).await?;
    let pid = |status: &Value| status["instances"][0]["pid"].clone();
    ensure!(
        pid(&before) == pid(&after),
        "it was restarted: {before} became {after}"
    );
    Ok(())
}

async fn sensors(system: &System) -> Result<()> {
    system
        .cli(&["apply", "-f", "examples/sensors", "--wait"])
        .await?
        .ok()?;
    Ok(())
}

/// Readings of `examples/`, and what can be said of them without the function.
struct Readings {
    csv: String,
    /// Their temperatures.
    temperatures: Vec<f64>,
}

impl Readings {
    fn take() -> Result<Self> {
        let all = std::fs::read_to_string(repository().join("examples/sensors/readings.csv"))?;
        let lines: Vec<&str> = all.lines().take(READINGS + 1).collect();
        let head = lines.first().context("the readings have no head")?;
        let column = head.split(',').position(|name| name == "temperature");
        let column = column.context("the readings have no temperature")?;
        let cells = lines[1..]
            .iter()
            .filter_map(|line| line.split(',').nth(column));
        let temperatures = cells.filter_map(|cell| cell.parse().ok()).collect();
        Ok(Self {
            csv: lines.join("\n"),
            temperatures,
        })
    }

    /// Whether an answer says of the temperatures what they are.
    fn check(&self, answer: &Value) -> Result<()> {
        let told = &answer["columns"]["temperature"];
        let known = self.temperatures.iter();
        #[expect(clippy::cast_precision_loss, reason = "there are 500")]
        let count = self.temperatures.len() as f64;
        let is_near = |key: &str, value: f64| {
            told[key]
                .as_f64()
                .is_some_and(|told| (told - value).abs() < 0.001)
        };
        let is_right = is_near("count", count)
            && is_near("mean", known.clone().sum::<f64>() / count)
            && is_near("min", known.clone().copied().fold(f64::INFINITY, f64::min))
            && is_near("max", known.copied().fold(f64::NEG_INFINITY, f64::max));
        ensure!(
            is_right && answer["rows"] == READINGS,
            "a wrong answer: {answer}"
        );
        Ok(())
    }
}

async fn by_cli(system: &System, readings: &Readings) -> Result<()> {
    let args = ["invoke", "sensors/window", "-d", "-"];
    let answer = system
        .cli_with(&args, readings.csv.as_bytes())
        .await?
        .ok()?;
    readings.check(&serde_json::from_str(&answer)?)
}

async fn by_grpc(system: &System, readings: &Readings) -> Result<()> {
    let [address, authority, token] =
        ["function", "edgeCa", "edgeToken"].map(|key| system.from_context(key));
    let wire = Wire::connect(&address?, &authority?, &token?).await?;
    let asked = InvokeRequest {
        service: "sensors".to_owned(),
        function: "window".to_owned(),
        payload: readings.csv.clone().into(),
        ..InvokeRequest::default()
    };
    let answer = FunctionServiceClient::new(wire.channel())
        .invoke(wire.call(asked))
        .await?;
    readings.check(&serde_json::from_slice(&answer.into_inner().payload)?)
}

async fn by_rest(system: &System, readings: &Readings) -> Result<()> {
    let path = "/v1/functions/sensors/window:invoke";
    let answer = system.edge_rest()?.post(path, readings.csv.clone()).await?;
    ensure!(
        answer.status == 200,
        "status {}: {}",
        answer.status,
        answer.text()
    );
    readings.check(&answer.json())
}

async fn by_grpcurl(system: &System, readings: &Readings) -> Result<()> {
    let authority = system.folder().join("edge-ca.pem");
    std::fs::write(&authority, system.from_context("edgeCa")?)?;
    let bearer = format!(
        "authorization: Bearer {}",
        system.from_context("edgeToken")?
    );
    let payload = BASE64.encode(&readings.csv);
    let message = json!({"service": "sensors", "function": "window", "payload": payload});
    let address = system.from_context("function")?;
    let authority = authority.display().to_string();
    let message = message.to_string();
    let args = [
        "-cacert",
        &authority,
        "-H",
        &bearer,
        "-d",
        &message,
        address.trim_start_matches("https://"),
        "baetyl.function.v1.FunctionService/Invoke",
    ];
    let answer: Value = serde_json::from_str(&tool::grpcurl(&args).await?.ok()?)?;
    let payload = answer["payload"]
        .as_str()
        .context("an answer without a payload")?;
    readings.check(&serde_json::from_slice(&BASE64.decode(payload)?)?)
}

async fn days(system: &System) -> Result<()> {
    let data = "@examples/sensors/readings.csv";
    let answer = system
        .cli(&["invoke", "sensors/days", "--stream", "-d", data])
        .await?
        .ok()?;
    let values: Vec<Value> = answer
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let all = std::fs::read_to_string(repository().join("examples/sensors/readings.csv"))?;
    let mut days: Vec<&str> = all
        .lines()
        .skip(1)
        .filter_map(|line| line.get(..10))
        .collect();
    days.dedup();
    let told: Vec<&str> = values
        .iter()
        .filter_map(|value| value["day"].as_str())
        .collect();
    ensure!(told == days, "the days are {told:?}");
    Ok(())
}

async fn raised(system: &System) -> Result<()> {
    let output = system
        .cli(&["invoke", "sensors/window", "-d", r#"{"rows": 3"#])
        .await?;
    let is_told = output.stderr.contains("FUNCTION_RAISED") && output.stderr.contains("window.py:");
    ensure!(
        output.code == 1 && is_told,
        "exit code {}: {}",
        output.code,
        output.stderr
    );
    Ok(())
}

async fn answers_again(system: &System, readings: &Readings) -> Result<()> {
    let args = ["invoke", "sensors/window", "-d", "-"];
    let look = async || system.cli_with(&args, readings.csv.as_bytes()).await;
    let output = wait::until("an answer", look, |output| output.code == 0).await?;
    readings.check(&serde_json::from_str(&output.stdout)?)
}

async fn stop(system: &mut System) -> Result<()> {
    let code = system.stop().await?;
    ensure!(code == 0, "exit code {code}");
    let left = instances(system.folder());
    ensure!(left.is_empty(), "processes are left: {left:?}");
    Ok(())
}
