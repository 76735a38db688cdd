//! From the commit of a configuration to the application that has read it, and back in step after
//! the node was away.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use baetyl_benches::{Percentiles, Report, Table, Taken, Wire, check_program, say};
use baetyl_proto::cloud::v1::configuration_service_client::ConfigurationServiceClient;
use baetyl_proto::cloud::v1::node_service_client::NodeServiceClient;
use baetyl_proto::cloud::v1::{
    GetConfigurationRequest, UpdateConfigurationRequest, WatchNodesRequest,
};
use baetyl_proto::node::v1::LocalNodeStatus;
use baetyl_proto::resource::v1::{ApplicationState, Configuration, Node, Readiness};
use baetyl_tests::Site;
use clap::Parser;
use tonic::transport::Channel;

/// Configuration of the watcher, and the file in it.
const CONFIGURATION: &str = "thresholds";
const FILE: &str = "limits.json";

/// What tells one change from another.
const KEY: &str = "change";

/// The longest that a node may take to be in step again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures how fast a changed configuration reaches an application.
#[derive(Debug, Parser)]
struct Arguments {
    /// A short run that only shows that everything works; nothing is written.
    #[arg(long)]
    quick: bool,
    /// Changes while the node is online.
    #[arg(long, default_value_t = 200)]
    changes: u64,
    /// Changes while the node is away.
    #[arg(long, default_value_t = 10)]
    absences: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let (changes, absences) = if arguments.quick {
        (20, 2)
    } else {
        (arguments.changes, arguments.absences)
    };
    check_program()?;
    let mut report = Report::begin("bench-sync", "Configuration: from commit to application");
    report.text(ABOUT.trim());
    let mut bench = Bench::start().await?;
    report.table(&bench.online(changes).await?);
    report.table(&bench.offline(absences).await?);
    bench.site.node.stop().await?;
    report.keep(!arguments.quick)?;
    Ok(ExitCode::SUCCESS)
}

const ABOUT: &str = "
Control plane and node are processes of their own on one machine, so that all times are of one
clock; everything between them is under mutual TLS. The application is `examples/watcher`, which is
told by the kernel that its file was switched, reads it, and notes the time. It is never restarted.

- `commit → read`: from just before `UpdateConfiguration` is called to the application's note. The
  next change is made when the last one was read.
- `session up → read`: core was stopped (its application goes on), the configuration was changed,
  core was started. From core's opening of the session to the application's note.
- `session up → converged`: from the same moment to the control plane telling a watcher that the
  node runs what is desired.

The predecessor's times are documented, not run: its edge asks the cloud every 20 s and its engine
applies every 10 s, so that a change waits for up to 30 s, half of that on average.
";

/// A site with the watcher on it.
struct Bench {
    site: Site,
    wire: Wire,
    configurations: ConfigurationServiceClient<Channel>,
    configuration: Configuration,
    taken: Taken,
    pid: u32,
    change: u64,
}

impl Bench {
    async fn start() -> Result<Self> {
        say("starting the control plane and the node");
        let site = Site::start().await.context("the site does not start")?;
        site.cli(&["apply", "-f", "examples/watcher", "--wait"])
            .await?
            .ok()?;
        let status = site
            .node
            .until("a healthy watcher", |status| pid(status).is_some())
            .await?;
        let pid = pid(&status).context("the pid was just there")?;
        let wire = Wire::of_context(&site.folder().join("config.yaml"), "site").await?;
        let mut configurations = ConfigurationServiceClient::new(wire.channel());
        let name = CONFIGURATION.to_owned();
        let asked = GetConfigurationRequest {
            name,
            ..GetConfigurationRequest::default()
        };
        let found = configurations
            .get_configuration(wire.call(asked))
            .await?
            .into_inner();
        let configuration = found
            .configuration
            .context("an answer without a configuration")?;
        let taken = Taken::open(pid)?;
        Ok(Self {
            site,
            wire,
            configurations,
            configuration,
            taken,
            pid,
            change: 0,
        })
    }

    /// Changes the configuration; returns when that was begun, as time since 1970.
    async fn change(&mut self) -> Result<Duration> {
        self.change += 1;
        let limits = format!(r#"{{"temperature": 31.5, "{KEY}": {}}}"#, self.change);
        self.configuration.data.insert(FILE.to_owned(), limits);
        // Without the etag it is the last writer who wins, and there is one writer.
        self.configuration.etag.clear();
        let asked = UpdateConfigurationRequest {
            configuration: Some(self.configuration.clone()),
            ..UpdateConfigurationRequest::default()
        };
        let request = self.wire.call(asked);
        let begun = now();
        self.configurations.update_configuration(request).await?;
        Ok(begun)
    }

    async fn online(&mut self, changes: u64) -> Result<Table> {
        say(&format!("{changes} changes while the node is online"));
        let mut times = Vec::new();
        for _ in 0..changes {
            let begun = self.change().await?;
            let read = self.taken.wait(KEY, self.change).await?;
            times.push(read.saturating_sub(begun));
        }
        self.check_pid().await?;
        let head = [
            "commit → read, ms",
            "changes",
            "p50",
            "p99",
            "max",
            "target p99",
        ];
        let mut table = Table::new("**Node online**", head);
        let times: Percentiles = times.into_iter().collect();
        let name = "baetyl".to_owned();
        table.row(
            [name]
                .into_iter()
                .chain(figures(&times))
                .chain(["300".to_owned()]),
        );
        let documented = ["predecessor, documented", "–", "–", "–", "30000", "–"];
        table.row(documented.map(str::to_owned));
        Ok(table)
    }

    async fn offline(&mut self, absences: u64) -> Result<Table> {
        say(&format!("{absences} changes while the node is away"));
        let (mut reads, mut convergences, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..absences {
            let before = self.site.node.status().await?.converged_generation;
            self.site.node.stop().await?;
            self.change().await?;
            let started = now();
            self.site.node.start(&[])?;
            let converged = self.converged(before).await?;
            let read = self.taken.wait(KEY, self.change).await?;
            let status = self
                .site
                .node
                .until("an open session", |status| status.connected)
                .await?;
            let up = status
                .last_connected_time
                .context("a session without a time")?;
            let up = SystemTime::try_from(up)?.duration_since(UNIX_EPOCH)?;
            sessions.push(up.saturating_sub(started));
            reads.push(read.saturating_sub(up));
            convergences.push(converged.saturating_sub(up));
        }
        self.check_pid().await?;
        let head = ["ms", "absences", "p50", "p99", "max"];
        let mut table = Table::new("**Node away while the configuration changed**", head);
        for (name, times) in [
            ("core started → session up", sessions),
            ("session up → read", reads),
            ("session up → converged", convergences),
        ] {
            let times: Percentiles = times.into_iter().collect();
            table.row([name.to_owned()].into_iter().chain(figures(&times)));
        }
        Ok(table)
    }

    /// Waits until the control plane tells that the node runs what is desired, and that this is
    /// later than a generation.
    async fn converged(&self, before: u64) -> Result<Duration> {
        let mut nodes = NodeServiceClient::new(self.wire.channel());
        let request = self.wire.stream(WatchNodesRequest::default());
        let mut changes = nodes.watch_nodes(request).await?.into_inner();
        let waiting = async {
            while let Some(change) = changes.message().await? {
                if change
                    .node
                    .as_ref()
                    .is_some_and(|node| is_converged(node, before))
                {
                    return Ok(now());
                }
            }
            anyhow::bail!("the watch of nodes ended")
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.context("the node does not converge")?
    }

    /// Whether the application is still the process that it was at the start.
    async fn check_pid(&self) -> Result<()> {
        let status = self
            .site
            .node
            .until("a healthy watcher", |status| pid(status).is_some());
        let pid = pid(&status.await?);
        ensure!(
            pid == Some(self.pid),
            "the watcher was restarted: {pid:?}, not {}",
            self.pid
        );
        Ok(())
    }
}

fn is_converged(node: &Node, before: u64) -> bool {
    node.status.as_ref().is_some_and(|status| {
        status.readiness() == Readiness::Online
            && status.converged_generation > before
            && status.converged_generation == status.desired_generation
    })
}

/// Process of the watcher, once that is healthy.
fn pid(status: &LocalNodeStatus) -> Option<u32> {
    let application = status
        .applications
        .iter()
        .find(|each| each.name == "watcher")?;
    let is_healthy = application.state() == ApplicationState::Healthy;
    let pid = application.instances.first()?.pid;
    (is_healthy && pid > 0).then_some(pid)
}

fn figures(times: &Percentiles) -> [String; 4] {
    let millis = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    [
        times.count().to_string(),
        millis(times.median()),
        millis(times.at(99.0)),
        millis(times.max()),
    ]
}

/// Time since 1970: the watcher notes the same.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
