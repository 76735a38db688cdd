//! The ways that calls take, and what one turn of a way gives.

use std::time::Duration;

use crate::load::{Asked, Driven};

/// Lengths of payloads, in bytes: a small one, one above the size where HTTP/2 stops gathering
/// frames by itself, and one that is mostly copied.
pub(crate) const PAYLOADS: [usize; 3] = [128, 1024, 16 * 1024];

/// Values of a stream.
pub(crate) const VALUES: usize = 8;

/// Calls that the server of a path takes at the same time: more than there are.
pub(crate) const SLOTS: u32 = 256;

/// Revision of the runtimes.
pub(crate) const REVISION: u64 = 1;

/// A way from the caller to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Path {
    Direct,
    DirectUnix,
    Attached,
    AttachedUnix,
    ByAddress,
    DirectStream,
    AttachedStream,
}

impl Path {
    pub(crate) const ALL: [Self; 7] = [
        Self::Direct,
        Self::DirectUnix,
        Self::Attached,
        Self::AttachedUnix,
        Self::ByAddress,
        Self::DirectStream,
        Self::AttachedStream,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Direct => "direct, TCP",
            Self::DirectUnix => "direct, Unix socket",
            Self::Attached => "attached, TCP",
            Self::AttachedUnix => "attached, Unix socket",
            Self::ByAddress => "by address, TCP",
            Self::DirectStream => "direct stream, TCP",
            Self::AttachedStream => "attached stream, TCP",
        }
    }

    /// The same without the proxy.
    pub(crate) fn reference(self) -> Self {
        match self {
            Self::Direct | Self::Attached | Self::ByAddress => Self::Direct,
            Self::DirectUnix | Self::AttachedUnix => Self::DirectUnix,
            Self::DirectStream | Self::AttachedStream => Self::DirectStream,
        }
    }

    pub(crate) fn asked(self) -> Asked {
        match self {
            Self::DirectStream | Self::AttachedStream => Asked::Values(VALUES),
            _ => Asked::Answer,
        }
    }
}

/// What one turn of a path gave.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Under full load.
    pub(crate) loaded: Driven,
    /// Time on processors meanwhile.
    pub(crate) cpu: Cpu,
    /// With one caller.
    pub(crate) alone: Driven,
}

/// Time on processors, by process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) caller: Duration,
    pub(crate) proxy: Duration,
    pub(crate) server: Duration,
}

impl Cpu {
    pub(crate) fn all(&self) -> Duration {
        self.caller + self.proxy + self.server
    }
}
