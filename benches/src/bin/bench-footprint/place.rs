//! The services with the examples on their node, each a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use baetyl_benches::{Memory, Table, Wire, say};
use baetyl_proto::function::v1::InvokeRequest;
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_tests::{Site, device_program, repository};

use crate::reading::{figures, judged, of, readings};

/// Targets in mebibytes: resident memory of the services.
const TARGETS: [(&str, f64); 3] = [("core", 25.0), ("function", 25.0), ("cloud", 60.0)];

/// The processes.
pub(crate) struct Place {
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
    pub(crate) async fn start() -> Result<Self> {
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
        let child = Command::new(device_program()?)
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
    pub(crate) async fn call(&mut self, count: u32) -> Result<()> {
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
    pub(crate) async fn table(&mut self, caption: &str) -> Result<Table> {
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
            let cells = named(name, &found).into_iter();
            table.row(cells.chain(judged(&found, target)));
        }
        let mut others: Vec<&String> = largest.values().map(|(name, _)| name).collect();
        others.retain(|name| TARGETS.iter().all(|(known, _)| known != name));
        others.sort_unstable();
        others.dedup();
        for name in others {
            table.row(named(name, &of(&largest, name)));
        }
        Ok(table)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.site.node.stop().await?;
        self.site.stop_cloud().await
    }
}

/// A row about processes of one kind.
fn named(name: &str, all: &[Memory]) -> Vec<String> {
    let head = [name.to_owned(), all.len().to_string()];
    head.into_iter().chain(figures(all)).collect()
}

fn log_of(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("function.log"));
    format!("the function service says:\n{}", log.unwrap_or_default())
}
