//! Why a session ends, and what the edge is told.

use std::time::Duration;

use baetyl_proto::sync::v1 as wire;

use super::registry::Interrupt;
use crate::activation::ActivationError;
use crate::store::StoreError;

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The edge closed the stream, or the line broke.
    Closed,
    /// Nothing came for too long.
    Silent,
    /// The edge did not read for too long.
    Stalled,
    /// Somebody else ended it.
    Interrupted(Interrupt),
    /// The cloud stops.
    Draining,
    /// The edge broke the contract.
    Protocol(String),
    /// The edge speaks no version that is spoken here.
    Version,
    /// The device of a deleted node has removed everything.
    Decommissioned,
    /// The node does not exist any more.
    Gone,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ActivationError> for End {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Store(error) => Self::Store(error),
            ActivationError::CertificateRevoked => Self::Interrupted(Interrupt::Revoked),
            _ => Self::Gone,
        }
    }
}

/// Seconds between `from` and `to`, drawn: those who are sent away do not come back together.
fn drawn(from: f64, to: f64) -> Option<prost_types::Duration> {
    let drawn = Duration::from_secs_f64(rand::random_range(from..=to));
    drawn.try_into().ok()
}

impl End {
    /// The last frame for the edge, where there is something to say.
    pub(super) fn goodbye(&self) -> Option<wire::Goodbye> {
        let (reason, message, after) = match self {
            Self::Closed | Self::Silent | Self::Stalled | Self::Decommissioned => return None,
            Self::Interrupted(Interrupt::Superseded) => {
                ("SUPERSEDED", "a newer stream of this node is open", None)
            }
            Self::Interrupted(Interrupt::Revoked) => (
                "REVOKED",
                "the certificates of this node were revoked",
                None,
            ),
            Self::Draining => ("SHUTDOWN", "the cloud stops", drawn(0.2, 3.0)),
            Self::Protocol(problem) => ("PROTOCOL_ERROR", problem.as_str(), None),
            Self::Version => ("UNSUPPORTED_VERSION", "version 1 is spoken here", None),
            Self::Gone => ("REVOKED", "the node does not exist any more", None),
            Self::Store(_) => ("OVERLOADED", "the cloud cannot serve now", drawn(1.0, 5.0)),
        };
        Some(wire::Goodbye {
            reason: reason.to_owned(),
            message: message.to_owned(),
            reconnect_after: after,
        })
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Interrupted(Interrupt::Superseded) => "superseded",
            Self::Interrupted(Interrupt::Revoked) => "revoked",
            Self::Draining => "draining",
            Self::Protocol(_) => "protocol error",
            Self::Version => "unsupported version",
            Self::Decommissioned => "decommissioned",
            Self::Gone => "node gone",
            Self::Store(_) => "store failed",
        }
    }
}
