//! Salt: what hides something gets one for each revision, so that its digest tells nothing.

use prost::bytes::Bytes;

/// Bytes of salt: too many to guess, so that equal values do not show by equal digests.
const SALT_BYTES: usize = 16;

/// Draws a new salt.
pub(super) fn draw() -> Bytes {
    let salt: [u8; SALT_BYTES] = rand::random();
    Bytes::copy_from_slice(&salt)
}
