//! Everything that one revision of an application is rendered from, read and checked.

use std::collections::BTreeMap;
use std::fmt;

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;

use crate::dependency::ServiceCredentials;
use crate::desired::InputKey;
use crate::inputs::Files;

/// Everything that one revision is rendered from. Never printed: it holds secrets.
#[derive(Clone)]
pub struct Material {
    /// The application, as its stored body says.
    pub application: pb::Application,
    /// Revision of the application under which the release was begun: its pods say so for as long
    /// as they live, also when a later revision changes nothing that runs.
    pub revision: u64,
    /// What the label `baetyl.io/release` says: 12 hexadecimal digits.
    pub release: String,
    /// Values of every pinned input: of configurations and secrets their keys, of certificates
    /// `tls.crt`, `tls.key` and `ca.crt`, of registries `address`, `username` and `password`.
    pub inputs: BTreeMap<InputKey, Input>,
    /// Key and certificates of each service, by its name.
    pub credentials: BTreeMap<String, ServiceCredentials>,
}

/// One input.
#[derive(Clone)]
pub struct Input {
    /// Digest of its body.
    pub digest: Digest,
    /// Its values by key.
    pub files: Files,
    /// The keys whose values are bytes rather than text.
    pub binary: Vec<String>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("application", &self.application.name)
            .field("revision", &self.revision)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}
