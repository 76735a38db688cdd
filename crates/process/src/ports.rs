//! Free TCP ports on the loopback interface.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

use crate::Error;

/// Inside the range that Linux also hands out by itself, so a port may be in use by
/// chance and is checked before it is given.
pub const DEFAULT_RANGE: RangeInclusive<u16> = 50200..=51000;

/// Finds the first port of `range` that is not in `taken` and that nobody listens on.
///
/// The port is not held: the caller records it (as `taken`) before it asks again.
/// Blocking, but only for system calls that do not wait.
///
/// # Errors
/// [`Error::NoFreePort`] when all are in use; [`Error::Io`] when binding is refused
/// for another reason than that.
pub fn allocate(range: RangeInclusive<u16>, taken: &BTreeSet<u16>) -> Result<u16, Error> {
    let (first, last) = (*range.start(), *range.end());
    for port in range.filter(|port| *port != 0 && !taken.contains(port)) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
                ) => {}
            Err(error) => {
                return Err(Error::io("bind", format!("127.0.0.1:{port}").as_ref())(
                    error,
                ));
            }
        }
    }
    Err(Error::NoFreePort { first, last })
}

#[cfg(test)]
mod tests;
