//! Memory of control plane, core and function service as processes of their own, with the
//! examples on the node.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use baetyl_benches::{Memory, Report, Table, Wire, check_program, memory, say};
use baetyl_e2e::world::Rules;
use baetyl_e2e::{FakeWorld, World};
use baetyl_proto::function::v1::InvokeRequest;
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_tests::{Site, instances, program, repository, wait};
use clap::Parser;
use serde_json::json;

/// How long the system is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);

/// How often it is read then; the largest counts.
const READINGS: u32 = 5;

/// Applications on the cluster, and pods of others there.
const CLUSTER_APPLICATIONS: u32 = 100;
const FOREIGN_PODS: u32 = 1000;

/// Target in mebibytes for core with a cluster of that size.
const CLUSTER_TARGET: f64 = 30.0;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Targets in mebibytes: resident memory of the services.
const TARGETS: [(&str, f64); 3] = [("core", 25.0), ("function", 25.0), ("cloud", 60.0)];

/// Measures the memory of the services with the examples applied.
#[derive(Debug, Parser)]
struct Arguments {
    /// A short run that only shows that everything works; nothing is written.
    #[arg(long)]
    quick: bool,
    /// Calls of the function before memory is read again.
    #[arg(long, default_value_t = 1000)]
    calls: u32,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let calls = if arguments.quick { 20 } else { arguments.calls };
    check_program()?;
    let mut report = Report::begin("bench-footprint", "Memory of the services");
    report.text(ABOUT.trim());
    let mut place = Place::start().await?;
    report.table(&place.table("**Both examples applied, idle**").await?);
    place.call(calls).await?;
    report.table(
        &place
            .table(&format!("**After {calls} calls of `sensors/window`**"))
            .await?,
    );
    place.stop().await?;
    report.table(&on_cluster().await?);
    report.keep(!arguments.quick)?;
    Ok(ExitCode::SUCCESS)
}

const ABOUT: &str = "
`baetyl cloud`, `baetyl core` and `baetyl function` are processes of their own, with their default
settings; `examples/watcher` and `examples/sensors` run on the node. RSS counts every page that is
there, PSS divides pages that processes share among them (the program itself, which all of them
run), and `own` is the part of PSS that no file backs: heap and stacks. Targets are for RSS, which
is the largest. The other processes are for completeness: interpreters are not ours.
";

/// The processes.
struct Place {
    site: Site,
    function: Function,
}

/// The function service, which ends with the run.
struct Function {
    child: Child,
    address: String,
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Place {
    async fn start() -> Result<Self> {
        say("starting the control plane, the node and the function service");
        let mut site = Site::start().await.context("the site does not start")?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let address = format!("https://127.0.0.1:{port}");
        // Core is started again, to find the function service where it is.
        site.node.stop().await?;
        site.node.set(&format!("function_address={address}"));
        site.node.start(&[])?;
        let log = std::fs::File::create(site.folder().join("function.log"))?;
        let child = Command::new(program()?)
            .args(["function", "--data"])
            .arg(site.folder().join("n"))
            .args(["--set", &format!("listen=127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let function = Function { child, address };
        site.until_online().await?;
        for example in ["examples/watcher", "examples/sensors"] {
            say(&format!("baetyl apply -f {example} --wait"));
            let applied = site.cli(&["apply", "-f", example, "--wait"]).await?;
            applied.ok().with_context(|| log_of(site.folder()))?;
        }
        let mut place = Self { site, function };
        place.call(1).await?;
        Ok(place)
    }

    /// Calls the function, one call after another.
    async fn call(&mut self, count: u32) -> Result<()> {
        say(&format!("{count} calls of sensors/window"));
        let local = self.site.folder().join("n/local");
        let authority = std::fs::read_to_string(local.join("ca.pem"))?;
        let token = std::fs::read_to_string(local.join("edge-token"))?;
        let wire = Wire::connect(&self.function.address, &authority, &token).await?;
        let mut client = FunctionServiceClient::new(wire.channel());
        let all = std::fs::read_to_string(repository().join("examples/sensors/readings.csv"))?;
        let csv = all.lines().take(50).collect::<Vec<_>>().join("\n");
        for _ in 0..count {
            let asked = InvokeRequest {
                service: "sensors".to_owned(),
                function: "window".to_owned(),
                payload: csv.clone().into(),
                ..InvokeRequest::default()
            };
            let answer = client.invoke(wire.call(asked)).await?.into_inner();
            ensure!(!answer.payload.is_empty(), "an empty answer");
        }
        Ok(())
    }

    /// Reads the memory of everything that runs.
    async fn table(&mut self, caption: &str) -> Result<Table> {
        ensure!(
            self.function.child.try_wait()?.is_none(),
            log_of(self.site.folder())
        );
        let largest = readings(self.site.folder()).await?;
        let head = [
            "process",
            "count",
            "RSS MiB",
            "PSS MiB",
            "own MiB",
            "target MiB",
            "below",
        ];
        let mut table = Table::new(caption, head);
        for (name, target) in TARGETS {
            let found: Vec<Memory> = of(&largest, name);
            ensure!(found.len() == 1, "{} processes are {name}", found.len());
            let is_below = mebibytes(found[0].rss) < target;
            let judged = [
                format!("{target:.0}"),
                if is_below { "yes" } else { "no" }.to_owned(),
            ];
            table.row(cells(name, &found).into_iter().chain(judged));
        }
        let mut others: Vec<&String> = largest.values().map(|(name, _)| name).collect();
        others.retain(|name| TARGETS.iter().all(|(known, _)| known != name));
        others.sort_unstable();
        others.dedup();
        for name in others {
            table.row(cells(name, &of(&largest, name)));
        }
        Ok(table)
    }

    async fn stop(mut self) -> Result<()> {
        self.site.node.stop().await?;
        self.site.stop_cloud().await
    }
}

/// Every process of the site in this folder, with a name for it.
fn processes(folder: &Path) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    let marked = instances(folder);
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has just ended has no command line.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let own = folder.display().to_string();
        if marked.contains(&pid) || words.iter().any(|word| word.contains(&own)) {
            found.push((pid, title(&words)));
        }
    }
    Ok(found)
}

/// The largest memory of each process over some readings, once nothing happens any more.
async fn readings(folder: &Path) -> Result<BTreeMap<u32, (String, Memory)>> {
    tokio::time::sleep(SETTLE).await;
    let mut largest: BTreeMap<u32, (String, Memory)> = BTreeMap::new();
    for _ in 0..READINGS {
        for (pid, name) in processes(folder)? {
            // A worker may end between two looks; the services may not, which their count shows.
            let Ok(now) = memory(pid) else {
                continue;
            };
            let known = largest
                .entry(pid)
                .or_insert_with(|| (name, Memory::default()));
            if now.rss > known.1.rss {
                known.1 = now;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(largest)
}

/// Core with a cluster as its node: an API server in this process, with many pods of others.
async fn on_cluster() -> Result<Table> {
    say(&format!(
        "a cluster with {CLUSTER_APPLICATIONS} applications and {FOREIGN_PODS} pods of others"
    ));
    let world = FakeWorld::start().await?;
    for number in 0..FOREIGN_PODS {
        world
            .server()
            .store()
            .create("pods", "baetyl-edge", foreign_pod(number))
            .context("a pod of others")?;
    }
    let access = world.access(&Rules::none()).await?;
    let mut site = Site::on_cluster(&access.kubeconfig).await?;
    let documents: Vec<String> = (0..CLUSTER_APPLICATIONS)
        .map(|number| container(&world, number))
        .collect();
    let documents = documents.join("---\n");
    let applied = site.cli_with(&["apply", "-f", "-"], documents.as_bytes());
    applied.await?.ok()?;
    let all = format!("{CLUSTER_APPLICATIONS}/{CLUSTER_APPLICATIONS}");
    let look = async || Ok(site.cli(&["get", "nodes"]).await?.stdout);
    wait::until("every application healthy", look, |text| {
        text.contains(&all)
    })
    .await?;
    let largest = readings(site.folder()).await?;
    site.node.stop().await?;
    site.stop_cloud().await?;
    let found = of(&largest, "core");
    ensure!(found.len() == 1, "{} processes are core", found.len());
    let caption = format!(
        "**Core with a cluster of {CLUSTER_APPLICATIONS} applications and {FOREIGN_PODS} pods of others, idle**"
    );
    let head = [
        "process",
        "count",
        "RSS MiB",
        "PSS MiB",
        "own MiB",
        "target MiB",
        "below",
    ];
    let mut table = Table::new(&caption, head);
    let is_below = mebibytes(found[0].rss) < CLUSTER_TARGET;
    let judged = [
        format!("{CLUSTER_TARGET:.0}"),
        if is_below { "yes" } else { "no" }.to_owned(),
    ];
    table.row(cells("core", &found).into_iter().chain(judged));
    Ok(table)
}

/// A pod that nobody of ours made, on a machine that does not exist, so that nobody runs it.
fn foreign_pod(number: u32) -> serde_json::Value {
    json!({
        "metadata": {
            "name": format!("other-{number}"),
            "labels": { "app": "other" },
        },
        "spec": {
            "nodeName": "elsewhere",
            "containers": [{ "name": "other", "image": "registry.example/other:1" }],
        },
    })
}

/// An application with a configuration of its own.
fn container(world: &FakeWorld, number: u32) -> String {
    let image = world.image();
    format!(
        "apiVersion: baetyl.io/v1
kind: Configuration
name: limits-{number}
data: {{limits: \"temperature 31.5\"}}
---
apiVersion: baetyl.io/v1
kind: Application
name: watcher-{number}
type: container
selector: site = demo
services:
  - name: watcher
    image: {image}
    command: [sh, -c, \"while true; do sleep 60; done\"]
    ports: [{{name: http, containerPort: 8080}}]
    volumeMounts: [{{name: limits, mountPath: /etc/watcher}}]
volumes:
  - {{name: limits, config: {{name: limits-{number}}}, onChange: reload}}
"
    )
}

/// What a process is called: the part of `baetyl`, or the program and its first argument.
fn title(words: &[String]) -> String {
    let file = |word: &String| {
        let name = Path::new(word).file_name().map(OsString::from);
        name.unwrap_or_default().to_string_lossy().into_owned()
    };
    let program = words.first().map(file).unwrap_or_default();
    let first = words.get(1).map(file).unwrap_or_default();
    match program.as_str() {
        // What was started by `baetyl` runs the very same file.
        "baetyl" | "exe" => first,
        _ => format!("{program} {first}"),
    }
}

fn of(processes: &BTreeMap<u32, (String, Memory)>, wanted: &str) -> Vec<Memory> {
    let named = processes.values().filter(|(name, _)| name == wanted);
    named.map(|(_, memory)| *memory).collect()
}

/// The sum of processes of one kind.
fn cells(name: &str, all: &[Memory]) -> Vec<String> {
    let sum = |part: fn(&Memory) -> u64| mebibytes(all.iter().map(part).sum());
    let figures = [
        sum(|one| one.rss),
        sum(|one| one.pss),
        sum(|one| one.anonymous),
    ];
    let figures = figures.map(|figure| format!("{figure:.1}"));
    [name.to_owned(), all.len().to_string()]
        .into_iter()
        .chain(figures)
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}

fn log_of(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("function.log"));
    format!("the function service says:\n{}", log.unwrap_or_default())
}
