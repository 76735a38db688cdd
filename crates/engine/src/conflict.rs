//! Who gets what a node has only once: fixed ports and the names of function services.

use std::collections::{BTreeMap, BTreeSet};

use crate::reason;
use crate::spec::{Claim, Protocol};
use crate::status::Obstacle;

/// One application: what its desired revision wants, and what it still has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) wants: BTreeSet<Claim>,
    pub(crate) has: BTreeSet<Claim>,
}

/// Decides; returns those that cannot have what they want. The one that has it keeps it, else the
/// first by name gets it. Who gets what another one is about to give up only waits.
pub(crate) fn resolve(claimants: &BTreeMap<String, Claimant>) -> BTreeMap<String, Obstacle> {
    let claims: BTreeSet<&Claim> = claimants
        .values()
        .flat_map(|claimant| &claimant.wants)
        .collect();
    let mut obstacles = BTreeMap::new();
    for claim in claims {
        let wanting = claimants
            .iter()
            .filter(|(_, claimant)| claimant.wants.contains(claim));
        let keeper = wanting
            .clone()
            .find(|(_, claimant)| claimant.has.contains(claim))
            .or_else(|| wanting.clone().next());
        let Some((keeper, _)) = keeper else {
            continue;
        };
        for (name, _) in wanting.filter(|(name, _)| *name != keeper) {
            // Refused outweighs waiting, whatever came first.
            obstacles.insert(name.clone(), obstacle(claim, keeper, false));
        }
        let leaver = claimants.iter().find(|(name, claimant)| {
            *name != keeper && claimant.has.contains(claim) && !claimant.wants.contains(claim)
        });
        if let Some((leaver, _)) = leaver {
            obstacles
                .entry(keeper.clone())
                .or_insert_with(|| obstacle(claim, leaver, true));
        }
    }
    obstacles
}

fn obstacle(claim: &Claim, other: &str, is_passing: bool) -> Obstacle {
    let verb = if is_passing { "is still" } else { "is" };
    let (reason, message) = match claim {
        Claim::Port(protocol, port) => {
            let protocol = match protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            let message = format!("{protocol} port {port} {verb} used by application {other}");
            (reason::PORT_CONFLICT, message)
        }
        Claim::NodePort(port) => {
            let message = format!("node port {port} {verb} used by application {other}");
            (reason::PORT_CONFLICT, message)
        }
        Claim::Service(service) => {
            let message =
                format!("function service {service} {verb} served by application {other}");
            (reason::SERVICE_CONFLICT, message)
        }
    };
    Obstacle {
        reason,
        message,
        is_passing,
    }
}

#[cfg(test)]
mod tests;
