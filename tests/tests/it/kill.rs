//! Core killed at named places and at random moments: nothing is lost, doubled or left over.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use baetyl_engine::crash::POINTS;
use baetyl_proto::node::v1::LocalNodeStatus;
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};
use baetyl_tests::{Site, instances, wait};

/// A named place where core dies while it takes a new revision, and which revision runs after
/// that with the cloud away: the one of the last accepted desired state.
struct Place {
    name: &'static str,
    runs: Runs,
}

/// A revision of the changed application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// The one before the change, which was never accepted.
    Old,
    /// The changed one: once accepted it is carried out, whatever happens.
    New,
}

/// Every named place, of core and of its engine, in the order of a change.
const PLACES: [Place; 9] = [
    Place::new("before_accept_persist", Runs::Old),
    Place::new("after_accept_persist", Runs::New),
    Place::new("before_acknowledge", Runs::New),
    Place::new("before_persist", Runs::New),
    Place::new("after_persist", Runs::New),
    Place::new("before_spawn", Runs::New),
    Place::new("after_spawn", Runs::New),
    Place::new("before_switch", Runs::New),
    Place::new("after_switch", Runs::New),
];

impl Place {
    const fn new(name: &'static str, runs: Runs) -> Self {
        Self { name, runs }
    }
}

/// Number of the signal that nobody can catch.
const SIGKILL: i32 = 9;

/// How often core is killed at a random moment.
const MOMENTS: u32 = 50;

#[tokio::test]
async fn given_core_dies_at_a_named_place_when_it_starts_without_cloud_then_all_is_as_accepted()
-> Result<()> {
    let mut plant = Plant::start().await?;
    for place in PLACES {
        let outcome = plant.survives(&place).await;
        // By a panic: then everything is left to look at.
        let folder = plant.site.folder().display();
        assert!(
            outcome.is_ok(),
            "at {} in {folder}: {outcome:?}",
            place.name
        );
    }
    let names: Vec<&str> = PLACES.iter().map(|place| place.name).collect();
    let missing: Vec<&str> = POINTS
        .into_iter()
        .filter(|it| !names.contains(it))
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "places of the engine");
    Ok(())
}

#[tokio::test]
async fn given_core_dies_at_random_moments_when_it_starts_again_then_all_is_as_accepted()
-> Result<()> {
    let mut chance = Chance::from_environment()?;
    let seed = chance.0;
    println!("BAETYL_SEED={seed}");
    let mut plant = Plant::start().await?;
    for moment in 1..=MOMENTS {
        let is_alone = moment % 5 == 0;
        let outcome = plant.survives_moment(&mut chance, is_alone).await;
        let folder = plant.site.folder().display();
        assert!(
            outcome.is_ok(),
            "moment {moment} of BAETYL_SEED={seed} in {folder}: {outcome:?}"
        );
    }
    Ok(())
}

/// A site with `pump`, which changes, and `bystander`, which never does.
struct Plant {
    site: Site,
    /// What was applied last.
    round: u32,
    limit: u32,
    /// Revision of `pump` in the cloud.
    revision: u64,
    bystander: Identity,
}

/// What a process keeps for its life: pid, and start time in seconds and nanoseconds.
type Identity = (u32, i64, i32);

impl Plant {
    async fn start() -> Result<Self> {
        let site = Site::start().await?;
        let mut plant = Self {
            site,
            round: 1,
            limit: 1,
            revision: 1,
            bystander: Identity::default(),
        };
        plant
            .site
            .cli_with(&["apply", "-f", "-", "--wait"], BYSTANDER.as_bytes())
            .await?
            .ok()?;
        plant.apply().await?;
        let status = plant.newest().await?;
        plant.bystander = identity(&status, "bystander")?;
        Ok(plant)
    }

    async fn apply(&self) -> Result<()> {
        let documents = documents(self.round, self.limit);
        self.site
            .cli_with(&["apply", "-f", "-"], documents.as_bytes())
            .await?
            .ok()?;
        Ok(())
    }

    /// Core dies at a place while it takes a new revision.
    async fn survives(&mut self, place: &Place) -> Result<()> {
        let old = self.revision;
        let before = self.newest().await?;
        self.site.node.kill().await?;
        self.site
            .node
            .start(&[("BAETYL_CRASH_POINT", place.name)])?;
        // The place is reached by the change that follows, and not by the start.
        self.newest().await?;
        self.round += 1;
        self.revision += 1;
        self.apply().await?;
        self.dies_at(place.name).await?;
        self.site.stop_cloud().await?;
        self.site.node.start(&[])?;
        let status = self.settled().await?;
        ensure!(!status.connected, "the cloud is stopped: {status:?}");
        let expected = match place.runs {
            Runs::Old => old,
            Runs::New => self.revision,
        };
        let serving = application(&status, "pump")?.serving_revision;
        ensure!(serving == expected, "{serving} runs, not {expected}");
        self.site.start_cloud()?;
        let newest = self.newest().await?;
        let fence = match place.runs {
            Runs::Old => accepted(&before),
            Runs::New => accepted(&newest),
        };
        ensure!(accepted(&status) == fence, "not {fence:?}: {status:?}");
        Ok(())
    }

    /// Core ends by SIGKILL, and by the one of that place.
    async fn dies_at(&mut self, place: &str) -> Result<()> {
        let end = self.site.node.until_ended().await?;
        ensure!(end.signal() == Some(SIGKILL), "core ended by {end}");
        let told = format!("killed at crash point {place}\n");
        let log = self.site.node.log();
        ensure!(log.matches(&told).count() == 1, "not told once: {log}");
        Ok(())
    }

    /// Core dies at a random moment after a random change.
    async fn survives_moment(&mut self, chance: &mut Chance, is_alone: bool) -> Result<()> {
        let before = self.site.node.status().await?;
        let old = self.revision;
        match chance.below(3) {
            0 => self.limit += 1,
            1 => {
                self.round += 1;
                self.revision += 1;
            }
            _ => {}
        }
        self.apply().await?;
        // The moment itself is what is random here; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(chance.below(300))).await;
        self.site.node.kill().await?;
        if is_alone {
            self.site.stop_cloud().await?;
        }
        self.site.node.start(&[])?;
        let status = self.settled().await?;
        let (was, is) = (accepted(&before), accepted(&status));
        ensure!(is >= was, "{was:?} was accepted, {is:?} is");
        // One change is one generation.
        let expected = if is == was { old } else { self.revision };
        let serving = application(&status, "pump")?.serving_revision;
        ensure!(serving == expected, "{serving} runs, not {expected}");
        if serving == old {
            ensure!(
                identity(&before, "pump")? == identity(&status, "pump")?,
                "pump was restarted"
            );
        }
        if is_alone {
            ensure!(!status.connected, "the cloud is stopped: {status:?}");
            self.site.start_cloud()?;
        }
        self.newest().await?;
        Ok(())
    }

    /// Everything that was accepted runs, and nothing else does.
    async fn settled(&self) -> Result<LocalNodeStatus> {
        let status = self
            .site
            .node
            .until("everything accepted runs", is_settled)
            .await?;
        if self.bystander != Identity::default() {
            ensure!(
                identity(&status, "bystander")? == self.bystander,
                "bystander was touched: {status:?}"
            );
        }
        let look = async || {
            let status = self.site.node.status().await?;
            let mut pids: Vec<_> = status
                .applications
                .iter()
                .flat_map(|app| &app.instances)
                .map(|it| it.pid)
                .collect();
            pids.sort_unstable();
            Ok((pids, instances(self.site.folder())))
        };
        wait::until(
            "exactly the processes of the status",
            look,
            |(told, found)| told == found,
        )
        .await?;
        Ok(status)
    }

    /// The newest of the cloud runs, and its file is there.
    async fn newest(&self) -> Result<LocalNodeStatus> {
        let revision = self.revision;
        let is_newest = |status: &LocalNodeStatus| {
            status.connected
                && is_settled(status)
                && application(status, "pump").is_ok_and(|pump| pump.serving_revision == revision)
        };
        self.site.node.until("the newest runs", is_newest).await?;
        let look = async || limit(&self.site.node.status().await?);
        let wanted = self.limit.to_string();
        wait::until("the newest file", look, |limit| *limit == wanted).await?;
        self.settled().await
    }
}

fn is_settled(status: &LocalNodeStatus) -> bool {
    status.applications.len() == 2
        && status.converged_generation == status.accepted_generation
        && status.applications.iter().all(|app| {
            app.state() == ApplicationState::Healthy
                && app.serving_revision == app.desired_revision
                && app.instances.len() == 1
        })
}

/// Epoch and generation of what was accepted last.
fn accepted(status: &LocalNodeStatus) -> (u64, u64) {
    (status.epoch, status.accepted_generation)
}

fn application<'a>(status: &'a LocalNodeStatus, name: &str) -> Result<&'a ApplicationStatus> {
    let found = status.applications.iter().find(|app| app.name == name);
    found.with_context(|| format!("{name} is not in {status:?}"))
}

fn identity(status: &LocalNodeStatus, name: &str) -> Result<Identity> {
    let instance = application(status, name)?
        .instances
        .first()
        .context("an instance")?;
    let start = instance.start_time.context("a start time")?;
    Ok((instance.pid, start.seconds, start.nanos))
}

/// What the process of `pump` reads in its file.
fn limit(status: &LocalNodeStatus) -> Result<String> {
    let (pid, ..) = identity(status, "pump")?;
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ"))?;
    let root = environment
        .split('\0')
        .find_map(|pair| pair.strip_prefix("BAETYL_ROOT="));
    let root = root.context("a root")?;
    Ok(std::fs::read_to_string(
        Path::new(root).join("etc/pump/limit"),
    )?)
}

const BYSTANDER: &str = "apiVersion: baetyl.io/v1\nkind: Application\nname: bystander\ntype: process\n\
    selector: site = demo\nservices:\n  - name: main\n    program: {entry: [sleep, \"100000\"]}\n";

fn documents(round: u32, limit: u32) -> String {
    format!(
        "apiVersion: baetyl.io/v1\nkind: Configuration\nname: limits\ndata: {{limit: \"{limit}\"}}\n---\n\
         apiVersion: baetyl.io/v1\nkind: Application\nname: pump\ntype: process\nselector: site = demo\n\
         services:\n  - name: main\n    program: {{entry: [sleep, \"100000\"]}}\n    \
         env: [{{name: ROUND, value: \"{round}\"}}]\n    \
         volumeMounts: [{{name: limits, mountPath: /etc/pump}}]\n\
         volumes:\n  - {{name: limits, config: {{name: limits}}, onChange: reload}}\n"
    )
}

/// Chance that can be repeated (splitmix64).
struct Chance(u64);

impl Chance {
    fn from_environment() -> Result<Self> {
        match std::env::var("BAETYL_SEED") {
            Ok(seed) => Ok(Self(seed.parse().context("BAETYL_SEED must be a number")?)),
            Err(_) => Ok(Self(
                SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            )),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
