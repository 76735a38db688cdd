//! Random bytes from the operating system.

use ring::rand::{SecureRandom, SystemRandom};

/// Returns `N` bytes fit for keys, secrets and serial numbers.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("a running linux always answers getrandom");
    bytes
}
