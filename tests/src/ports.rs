//! Ports that must be known before anybody listens on them, and that survive a restart.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result};

/// Below the range from which the kernel serves port 0 and outgoing connections (32768 and up),
/// so that nobody is given one of these by chance while its owner is away.
const FIRST: u16 = 20_000;

/// How many there are.
const COUNT: u16 = 12_000;

/// How many a test process tries before it gets to those of the next one.
const EACH: u16 = 16;

/// A port that nobody listens on and that no other test is going to choose.
///
/// # Errors
/// All are in use.
pub(crate) fn choose() -> Result<u16> {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let slot = std::process::id() % u32::from(COUNT / EACH);
    let start = u16::try_from(slot)? * EACH;
    let offsets = (0..COUNT).map(|_| TRIED.fetch_add(1, Ordering::Relaxed));
    offsets
        .map(|tried| FIRST + (start + tried % COUNT) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("a free port")
}
