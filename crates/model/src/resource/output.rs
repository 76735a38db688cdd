//! What the server adds when a resource is read: uid, revision, digest, etag, times.

use std::time::SystemTime;

use crate::{Digest, Revision, Uid};

/// How a revision of a resource is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Which life of the resource.
    pub uid: &'a Uid,
    /// Which revision.
    pub revision: Revision,
    /// SHA-256 of its stored bytes.
    pub digest: Digest,
    /// When the resource was created.
    pub create_time: SystemTime,
    /// When the revision was made.
    pub update_time: SystemTime,
}

impl Recorded<'_> {
    /// Returns what guards an update or delete.
    pub fn etag(&self) -> String {
        etag(self.uid, self.revision)
    }
}

/// Returns what guards an update or delete of this revision: `<uid>.<revision>`. To a client it
/// is opaque.
pub fn etag(uid: &Uid, revision: Revision) -> String {
    format!("{uid}.{revision}")
}
