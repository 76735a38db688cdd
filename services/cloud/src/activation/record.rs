//! The records of activation.

use std::time::SystemTime;

use baetyl_model::{Name, NamespaceName, Uid};
use baetyl_pki::{CertificateDer, Fingerprint, JoinToken, SecretHash, Serial, TokenId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::records::{self, INSTALLATION};
use crate::store::{RecordKey, StoreError, Table};

/// A join token without its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinTokenRecord {
    /// SHA-256 of the secret, in hexadecimal digits.
    pub(crate) hash: String,
    /// The tenant.
    pub(crate) namespace: NamespaceName,
    /// Name of the node.
    pub(crate) node: Name,
    /// Uid of the node.
    pub(crate) uid: Uid,
    /// How often the node had been revoked when the token was made.
    pub(crate) revocations: u64,
    /// When it lapses.
    pub(crate) expire_time: SystemTime,
    /// The first use.
    pub(crate) bound: Option<BoundKey>,
}

/// The first use of a join token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BoundKey {
    /// Fingerprint of the key that the token is good for from now on.
    pub(crate) key: String,
    /// The certificate that was given (DER in base64).
    certificate: String,
}

impl BoundKey {
    pub(crate) fn certificate(&self) -> Result<CertificateDer<'static>, StoreError> {
        let bytes = STANDARD.decode(&self.certificate);
        let bytes = bytes.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(CertificateDer::from(bytes))
    }
}

impl JoinTokenRecord {
    pub(crate) fn matches(&self, token: &JoinToken) -> bool {
        let Ok(hash) = self.hash.parse::<Fingerprint>() else {
            return false;
        };
        SecretHash::from_bytes(*hash.as_bytes()).matches(&token.hash())
    }

    pub(crate) fn bind(&mut self, key: String, certificate: &CertificateDer<'_>) {
        let certificate = STANDARD.encode(certificate);
        self.bound = Some(BoundKey { key, certificate });
    }
}

/// A certificate that was issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CertificateRecord {
    /// Uid of the node.
    pub(crate) uid: Uid,
    /// Name of the node.
    pub(crate) node: Name,
    /// Fingerprint of its key.
    pub(crate) key: String,
    /// When it expires.
    pub(crate) expire_time: SystemTime,
    /// Whether it was revoked.
    pub(crate) is_revoked: bool,
}

/// What a node's certificates have in common.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct EnrolmentRecord {
    /// How often all of its certificates were revoked.
    pub(crate) revocations: u64,
    /// When the first one was issued.
    pub(crate) activate_time: Option<SystemTime>,
    /// When the newest one expires.
    pub(crate) expire_time: Option<SystemTime>,
}

/// A deleted node whose device must still be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DecommissionRecord {
    /// Its name, for people.
    pub(crate) node: Name,
    /// Whether the data folders of its applications go, too.
    pub(crate) remove_data: bool,
    /// When it was deleted.
    pub(crate) delete_time: SystemTime,
}

/// Join tokens are found without knowing their namespace, which stands in the record.
pub(crate) fn join_token_key(id: TokenId) -> RecordKey {
    records::key(INSTALLATION, Table::JoinToken, id.to_string())
}

/// A certificate by its serial number.
pub(crate) fn certificate_key(namespace: &NamespaceName, serial: &Serial) -> RecordKey {
    records::key(namespace.as_str(), Table::Certificate, serial.to_string())
}

/// The enrolment of a node.
pub(crate) fn enrolment_key(namespace: &NamespaceName, uid: &Uid) -> RecordKey {
    records::key(
        namespace.as_str(),
        Table::NodeState,
        format!("{uid}/enrolment"),
    )
}

/// A deleted node.
pub(crate) fn decommission_key(namespace: &NamespaceName, uid: &Uid) -> RecordKey {
    records::key(namespace.as_str(), Table::Decommission, uid.as_str())
}
