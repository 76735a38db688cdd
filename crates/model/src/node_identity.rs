//! What a node keeps beside its key: who it is, and where its cloud is.
//!
//! The identity folder of a node holds two files. [`NODE_FILE`] is this document;
//! [`CREDENTIALS_FILE`] is the key with its certificate chain. Whoever activates or renews writes
//! the document first and the credentials last: a node is activated when the credentials are
//! there, and both files are replaced whole. [`PENDING_KEY_FILE`] holds the key of a request that
//! was not answered yet, so that the request can be repeated with the same key.

use baetyl_proto::sync::v1 as wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{Name, NamespaceName, Uid};

/// Name of the document in the identity folder, mode 0644.
pub const NODE_FILE: &str = "node.json";

/// Name of the file with key and chain (PEM) in the identity folder, mode 0600.
pub const CREDENTIALS_FILE: &str = "credentials.pem";

/// Name of the file with a key (PEM) that awaits its certificate, mode 0600.
pub const PENDING_KEY_FILE: &str = "pending-key.pem";

/// The form of the document that this program writes.
const VERSION: u32 = 1;

/// The most addresses or authorities of one sort.
const MAX_ENTRIES: usize = 32;

/// Who a node is, who vouches for its cloud, and where that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeIdentityFile {
    /// The form of the document, now 1.
    pub version: u32,
    /// The tenant.
    pub namespace: NamespaceName,
    /// Name of the node.
    pub node: Name,
    /// Uid of the node, which a node that was deleted and made again does not share.
    pub node_uid: Uid,
    /// Name of the trust domain.
    pub trust_domain: String,
    /// `host:port` of the cloud's sync listener, best first, at least one.
    pub sync_addresses: Vec<String>,
    /// `host:port` of the cloud's API listener, best first, for renewal.
    pub api_addresses: Vec<String>,
    /// Certificates (DER, in base64) of the authorities that sign the cloud's servers.
    authorities: Vec<String>,
}

/// A document or a message is no identity of a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeIdentityError {
    /// The text is not the document.
    #[error("the document cannot be read")]
    Json(#[from] serde_json::Error),
    /// A newer program wrote the document.
    #[error("the document has version {version}, which this program does not know")]
    Version {
        /// The version that was found.
        version: u32,
    },
    /// A field is missing or wrong.
    #[error("{field}: {description}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        description: String,
    },
}

impl NodeIdentityError {
    fn field(field: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self::Field { field, description }
    }
}

impl NodeIdentityFile {
    /// Reads a document.
    ///
    /// # Errors
    /// The text is not the document, is of a newer version, or has a wrong field.
    pub fn from_json(text: &[u8]) -> Result<Self, NodeIdentityError> {
        let read: Self = serde_json::from_slice(text)?;
        if read.version != VERSION {
            let version = read.version;
            return Err(NodeIdentityError::Version { version });
        }
        read.check()?;
        Ok(read)
    }

    /// Writes the document, for people to read too.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and lists of texts are always json")
    }

    /// Returns the certificates (DER) of the authorities that sign the cloud's servers.
    ///
    /// # Errors
    /// One of them is not base64.
    pub fn authorities(&self) -> Result<Vec<Vec<u8>>, NodeIdentityError> {
        let decode = |text: &String| STANDARD.decode(text);
        let decoded: Result<Vec<_>, _> = self.authorities.iter().map(decode).collect();
        decoded.map_err(|_| NodeIdentityError::field("authorities", "must be base64"))
    }

    fn check(&self) -> Result<(), NodeIdentityError> {
        for (field, list, least) in [
            ("sync_addresses", &self.sync_addresses, 1),
            ("api_addresses", &self.api_addresses, 0),
            ("authorities", &self.authorities, 1),
        ] {
            if !(least..=MAX_ENTRIES).contains(&list.len()) {
                let description = format!("must have {least} to {MAX_ENTRIES} entries");
                return Err(NodeIdentityError::field(field, description));
            }
        }
        if self.trust_domain.is_empty() {
            return Err(NodeIdentityError::field(
                "trust_domain",
                "must not be empty",
            ));
        }
        self.authorities().map(drop)
    }
}

impl TryFrom<&wire::NodeIdentity> for NodeIdentityFile {
    type Error = NodeIdentityError;

    fn try_from(identity: &wire::NodeIdentity) -> Result<Self, NodeIdentityError> {
        let wrong =
            |field| move |error: crate::IdError| NodeIdentityError::field(field, error.description);
        let encode = |der: &prost::bytes::Bytes| STANDARD.encode(der);
        let file = Self {
            version: VERSION,
            namespace: NamespaceName::parse(&identity.namespace).map_err(wrong("namespace"))?,
            node: Name::parse(&identity.node).map_err(wrong("node"))?,
            node_uid: Uid::parse(&identity.node_uid).map_err(wrong("node_uid"))?,
            trust_domain: identity.trust_domain.clone(),
            sync_addresses: identity.sync_addresses.clone(),
            api_addresses: identity.api_addresses.clone(),
            authorities: identity.authorities.iter().map(encode).collect(),
        };
        file.check()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
