//! What can be wanted: a few applications, each of which may be absent, good, or bad in some way.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use baetyl_proto::resource::v1 as pb;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};
use serde_json::json;

use crate::application::App;
use crate::behaviour::Behaviour;
use crate::node::Node;
use crate::world::World;

/// Names of the applications.
const NAMES: [&str; 6] = ["ant", "bee", "cow-1", "dog", "elk", "raw"];

/// Configurations that applications share.
const INPUTS: [&str; 2] = ["files", "settings"];

/// Variable that tells pods of different shapes apart.
pub(super) const SHAPE: &str = "SHAPE";

/// How instances are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Deployment(u32),
    Stateful(u32),
    Daemon,
    Job,
}

/// Whether a revision will come right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quality {
    Good,
    NoImage,
    Crashes,
    NeverReady,
    NoMachine,
    MissingKey,
}

/// What is wanted of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    kept: Kept,
    quality: Quality,
    version: u32,
    has_port: bool,
    has_budget: bool,
    is_far: bool,
    reloads: bool,
    restarts: bool,
    /// Of a raw application: which objects it has.
    objects: u32,
    retry: u64,
}

/// Everything that is wanted.
pub(super) struct Universe<'a> {
    world: &'a dyn World,
    wanted: BTreeMap<&'static str, Choice>,
    inputs: BTreeMap<&'static str, u32>,
}

/// What the ledger knows of a wanted application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What its pods have in the variable [`SHAPE`].
    pub(super) shape: String,
    /// Whether it will come right.
    pub(super) is_good: bool,
    /// Namespace and kind of the workload, and how often it was retried.
    pub(super) place: String,
    /// Of what will not come right: everything that gives it another chance when it changes.
    pub(super) chance: String,
}

impl<'a> Universe<'a> {
    pub(super) fn new(world: &'a dyn World) -> Self {
        Self {
            world,
            wanted: BTreeMap::new(),
            inputs: INPUTS.map(|name| (name, 1)).into(),
        }
    }

    /// Changes something.
    pub(super) fn change(&mut self, chance: &mut StdRng) {
        for _ in 0..chance.random_range(1..=2) {
            if chance.random_ratio(1, 6) {
                let input = INPUTS.choose(chance).copied().unwrap_or(INPUTS[0]);
                self.inputs.insert(input, chance.random_range(1..5));
                continue;
            }
            let name = NAMES.choose(chance).copied().unwrap_or(NAMES[0]);
            match self.wanted.get_mut(name) {
                Some(_) if chance.random_ratio(1, 5) => {
                    self.wanted.remove(name);
                }
                Some(choice) => choice.change(chance),
                None => {
                    self.wanted.insert(name, Choice::new(chance));
                }
            }
        }
    }

    /// Changes everything so that it will come right.
    pub(super) fn settle(&mut self, chance: &mut StdRng) {
        for choice in self.wanted.values_mut() {
            choice.quality = Quality::Good;
            choice.version = chance.next_u32() % 1000 + 1000;
        }
    }

    /// Says it to a node.
    pub(super) fn tell(&self, node: &mut Node) -> Result<()> {
        for (input, version) in &self.inputs {
            node.configuration(input, &[("value", &format!("{input} {version}\n"))])?;
        }
        let mut apps = Vec::new();
        for (name, choice) in &self.wanted {
            if *name == "raw" {
                let text = self.raw(choice);
                node.configuration("objects", &[("all.yaml", &text)])?;
            }
            apps.push(self.app(name, choice));
        }
        node.desire(&apps)
    }

    /// What is wanted of each application.
    pub(super) fn wanted(&self) -> BTreeMap<String, Wanted> {
        let all = self.wanted.iter();
        all.map(|(name, choice)| {
            let is_good = choice.quality == Quality::Good;
            let chance = format!("{choice:?} {:?}", self.inputs);
            let wanted = Wanted {
                shape: choice.shape(),
                is_good,
                chance: if is_good { String::new() } else { chance },
                place: format!("{:?} {:?} {}", choice.kept, choice.is_far, choice.retry),
            };
            ((*name).to_owned(), wanted)
        })
        .collect()
    }

    fn app(&self, name: &str, choice: &Choice) -> App {
        let deadline = match choice.quality {
            Quality::Good => Duration::from_secs(60),
            _ => Duration::from_secs(1),
        };
        let mut app = if name == "raw" {
            App::manifest(name, "objects")
        } else {
            self.container(name, choice)
        };
        app.retry = choice.retry;
        app.within(deadline)
    }

    fn container(&self, name: &str, choice: &Choice) -> App {
        let mut app = self
            .world
            .app(name)
            .variable(SHAPE, &choice.shape())
            .ready_by_file();
        app = match choice.kept {
            Kept::Deployment(copies) => app.copies(copies),
            Kept::Stateful(copies) => app.workload(pb::Workload::Statefulset).copies(copies),
            Kept::Daemon => app.workload(pb::Workload::Daemonset),
            Kept::Job => app
                .workload(pb::Workload::Job)
                .behaves(Behaviour::RunOnce("done", 0))
                .service(|service| {
                    service.readiness_probe = None;
                    service.set_restart_policy(pb::RestartPolicy::Never);
                }),
        };
        if choice.has_port && choice.kept != Kept::Job {
            app = app.port("http", 8080);
        }
        if choice.has_budget && matches!(choice.kept, Kept::Deployment(_)) {
            app = app.with(|message| {
                message.disruption_budget = Some(pb::DisruptionBudget {
                    min_available: "1".to_owned(),
                    max_unavailable: String::new(),
                });
            });
        }
        if choice.is_far {
            app = app.in_namespace(&self.world.spaces().second);
        }
        if choice.reloads {
            app = app.files(INPUTS[0], "/etc/files");
        }
        if choice.restarts {
            app = app.files(INPUTS[1], "/etc/settings").restarting();
        }
        match choice.quality {
            Quality::Good => app,
            Quality::NoImage => app.image("registry.invalid/nobody/has-this:1"),
            Quality::Crashes => app.behaves(Behaviour::CrashAtOnce(3)),
            Quality::NeverReady => app.behaves(Behaviour::NeverReady),
            Quality::NoMachine => {
                app.with(|message| message.machine_selector = "nobody/has=this".to_owned())
            }
            Quality::MissingKey => app.variable_of("MISSING", INPUTS[0], "missing"),
        }
    }

    /// The objects of the raw application.
    fn raw(&self, choice: &Choice) -> String {
        let mut objects = Vec::new();
        for number in 0..4 {
            if choice.objects & (1 << number) == 0 {
                continue;
            }
            objects.push(json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": format!("raw-{number}") },
                "data": { "key": choice.version.to_string() },
            }));
        }
        let selector = json!({ "app": "raw" });
        let behaviour = match choice.quality {
            Quality::Good => Behaviour::Serve,
            _ => Behaviour::CrashAtOnce(3),
        };
        objects.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "raw-web" },
            "spec": {
                "replicas": 1,
                "selector": { "matchLabels": selector },
                "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
                "template": {
                    "metadata": { "labels": selector },
                    "spec": { "containers": [{
                        "name": "main", "image": self.world.image(),
                        "command": behaviour.command(),
                        "env": [{ "name": SHAPE, "value": choice.shape() }],
                    }] },
                },
            },
        }));
        let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
        texts.join("\n---\n")
    }
}

impl Choice {
    fn new(chance: &mut StdRng) -> Self {
        let mut choice = Self {
            kept: Kept::Deployment(1),
            quality: Quality::Good,
            version: 1,
            has_port: chance.random(),
            has_budget: chance.random_ratio(1, 4),
            is_far: chance.random_ratio(1, 4),
            reloads: chance.random(),
            restarts: chance.random_ratio(1, 3),
            objects: chance.random_range(0..16),
            retry: 0,
        };
        choice.change(chance);
        choice
    }

    fn change(&mut self, chance: &mut StdRng) {
        match chance.random_range(0..20) {
            0..4 => self.version = chance.random_range(1..4),
            4..8 => {
                self.kept = match chance.random_range(0..8) {
                    0..4 => Kept::Deployment(chance.random_range(1..4)),
                    4..6 => Kept::Stateful(chance.random_range(1..3)),
                    6 => Kept::Daemon,
                    _ => Kept::Job,
                };
            }
            8..13 => {
                self.quality = match chance.random_range(0..10) {
                    0..5 => Quality::Good,
                    5 => Quality::NoImage,
                    6 => Quality::Crashes,
                    7 => Quality::NeverReady,
                    8 => Quality::NoMachine,
                    _ => Quality::MissingKey,
                };
            }
            13 => self.has_port = !self.has_port,
            14 => self.has_budget = !self.has_budget,
            15 => self.is_far = !self.is_far,
            16 => self.reloads = !self.reloads,
            17 => self.restarts = !self.restarts,
            18 => self.objects = chance.random_range(0..16),
            _ => self.retry += 1,
        }
    }

    /// Tells pods apart that differ in more than what is in their inputs.
    fn shape(&self) -> String {
        let inputs = (self.reloads, self.restarts);
        format!(
            "{} {:?} {inputs:?} {}",
            self.version, self.quality, self.retry
        )
    }
}
