//! From the desired set to one order per application.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baetyl_proto::sync::v1::DesiredApplication;
use tokio::time::Instant;

use super::{Mode, Supervisor};
use crate::conflict::{self, Claimant};
use crate::desired::Pin;
use crate::driver::Refusal;
use crate::kube::FEATURES;
use crate::kube::application::{Order, Target, read_spec};
use crate::kube::record::KubeRecord;
use crate::kube::spec::KubeSpec;
use crate::reason;
use crate::status::Obstacle;

impl Supervisor {
    /// Tells every application what it should be now.
    pub(super) async fn reorder(&mut self) {
        self.retry_at = None;
        let targets = match &self.mode {
            Mode::Leaving { remove_data, .. } => self.all(&Target::Absent {
                remove_data: *remove_data,
            }),
            Mode::Empty => BTreeMap::new(),
            Mode::Follow => match self.desired.clone() {
                Some(desired) => self.targets(&desired.set.applications).await,
                None => self.members(&Target::Unknown),
            },
        };
        self.sequence += 1;
        for (name, target) in targets {
            if !self.members.contains_key(&name) {
                self.add(KubeRecord::new(name), target);
                continue;
            }
            let cause = self.cause();
            if let Some(member) = self.members.get(&name) {
                member.orders.send_replace(Order {
                    sequence: self.sequence,
                    retries: member.retries,
                    target,
                    cause,
                });
            }
        }
    }

    /// Trace context of the newest desired state.
    pub(super) fn cause(&self) -> Option<Arc<str>> {
        let desired = self.desired.as_ref();
        desired.and_then(|desired| desired.cause.clone())
    }

    fn members(&self, target: &Target) -> BTreeMap<String, Target> {
        let names = self.members.keys();
        names.map(|name| (name.clone(), target.clone())).collect()
    }

    /// The members, and what is there without being one.
    fn all(&self, target: &Target) -> BTreeMap<String, Target> {
        let mut all = self.members(target);
        all.extend(self.strays().into_iter().map(|name| (name, target.clone())));
        all
    }

    async fn targets(&mut self, items: &[DesiredApplication]) -> BTreeMap<String, Target> {
        let mut targets = self.all(&Target::Absent { remove_data: false });
        for item in items {
            let target = self.target(item).await;
            targets.insert(item.name.clone(), target);
        }
        let mut claimants: BTreeMap<String, Claimant> = BTreeMap::new();
        for (name, target) in &targets {
            let member = self.members.get(name);
            let view = member.and_then(|member| member.view.as_ref());
            let mut claimant = Claimant {
                has: view.map(|view| view.claims.clone()).unwrap_or_default(),
                ..Claimant::default()
            };
            match target {
                Target::Run { spec, .. } => claimant.wants.clone_from(&spec.claims),
                // What cannot be read keeps what serves, and with it what that has.
                Target::Blocked { .. } => claimant.wants.clone_from(&claimant.has),
                Target::Unknown | Target::Absent { .. } => {}
            }
            claimants.insert(name.clone(), claimant);
        }
        for (name, obstacle) in conflict::resolve(&claimants) {
            let revision = match targets.get(&name) {
                Some(Target::Run { pin, .. }) => pin.revision,
                Some(Target::Unknown | Target::Blocked { .. } | Target::Absent { .. }) | None => {
                    continue;
                }
            };
            targets.insert(name, Target::Blocked { revision, obstacle });
        }
        let digests: BTreeSet<_> = items
            .iter()
            .filter_map(|item| Some(Pin::parse(item).ok()?.digest))
            .collect();
        self.specs.retain(|digest, _| digests.contains(digest));
        targets
    }

    async fn target(&mut self, item: &DesiredApplication) -> Target {
        let blocked = |reason, message: String, is_passing| Target::Blocked {
            revision: item.revision,
            obstacle: Obstacle {
                reason,
                message,
                is_passing,
            },
        };
        let missing = item
            .features
            .iter()
            .find(|feature| !FEATURES.contains(&feature.as_str()));
        if let Some(feature) = missing {
            let message = format!("this node lacks feature {feature}; update its software");
            return blocked(reason::UNSUPPORTED_FEATURE, message, false);
        }
        let pin = match Pin::parse(item) {
            Ok(pin) => pin,
            Err(error) => return blocked(reason::INVALID_APPLICATION, error.to_string(), false),
        };
        match self.desired_spec(&pin).await {
            Ok(spec) if spec.name == item.name => Target::Run { pin, spec },
            Ok(spec) => {
                let message = format!("the body is that of application {}", spec.name);
                blocked(reason::INVALID_APPLICATION, message, false)
            }
            Err(refusal) => blocked(refusal.reason, refusal.message, !refusal.is_final),
        }
    }

    async fn desired_spec(&mut self, pin: &Pin) -> Result<Arc<KubeSpec>, Refusal> {
        if let Some(known) = self.specs.get(&pin.digest) {
            return known.clone();
        }
        let read = read_spec(&self.context, &pin.digest).await.map(Arc::new);
        match &read {
            // What is missing now may come; nothing else changes under the same digest.
            Err(refusal) if !refusal.is_final => {
                self.retry_at = Some(Instant::now() + self.context.pause(0));
            }
            Ok(_) | Err(_) => {
                self.specs.insert(pin.digest, read.clone());
            }
        }
        read
    }
}
