//! Tokens as they are stored: by id with the hash, by name without it.

use std::time::SystemTime;

use baetyl_pki::{BearerToken, SecretHash, TokenId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Caller, Scope};
use crate::error::Error;
use crate::records::{self, INSTALLATION};
use crate::store::{RecordKey, Table};

/// What is read when somebody calls.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TokenRecord {
    pub(super) name: String,
    /// A tenant, or `*`.
    pub(super) namespace: String,
    /// SHA-256 of the secret, in base64.
    hash: String,
    pub(super) expire_time: Option<SystemTime>,
}

/// What is read when tokens are listed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct NameRecord {
    /// Id of the token.
    pub(super) id: String,
    /// A tenant, or `*`.
    pub(super) namespace: String,
    pub(super) create_time: SystemTime,
    pub(super) expire_time: Option<SystemTime>,
}

impl TokenRecord {
    pub(super) fn new(
        token: &BearerToken,
        name: &str,
        scope: &Scope,
        expire_time: Option<SystemTime>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            namespace: scope.as_str().to_owned(),
            hash: STANDARD.encode(token.hash().as_bytes()),
            expire_time,
        }
    }

    pub(super) fn matches(&self, token: &BearerToken) -> bool {
        let bytes = STANDARD.decode(&self.hash).unwrap_or_default();
        let Ok(bytes) = <[u8; 32]>::try_from(bytes) else {
            return false;
        };
        SecretHash::from_bytes(bytes).matches(&token.hash())
    }

    /// Who calls with it.
    pub(super) fn caller(&self, id: TokenId, now: SystemTime) -> Result<Caller, Error> {
        if self
            .expire_time
            .is_some_and(|expire_time| expire_time <= now)
        {
            return Err(Error::TokenExpired);
        }
        let scope = Scope::parse(&self.namespace).ok_or(Error::TokenInvalid)?;
        Ok(Caller {
            name: self.name.clone(),
            scope,
            id,
        })
    }
}

pub(super) fn id_key(id: TokenId) -> RecordKey {
    records::key(INSTALLATION, Table::Token, format!("id/{id}"))
}

pub(super) fn name_key(name: &str) -> RecordKey {
    records::key(INSTALLATION, Table::Token, format!("name/{name}"))
}
