//! Who calls: bearer tokens of people and programs.
//!
//! A token's text holds its id, so that finding it is one read; the store keeps only the hash of
//! the secret. The first token is made at the first start and is good for every tenant.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::NamespaceName;
use baetyl_pki::{BearerToken, TokenId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Error;
use crate::records;
use crate::store::{Store, Table};

mod record;
mod tokens;

pub use tokens::{FIRST_TOKEN, NewToken, Token};

use record::{TokenRecord, id_key};

/// The tenant of a caller who is good for all and names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Name and scheme of the header.
const HEADER: &str = "authorization";
const SCHEME: &str = "bearer";

/// How long a token that was read is trusted before it is read again, should another process
/// have revoked it; what is revoked here is forgotten at once.
const TRUSTED_FOR: Duration = Duration::from_secs(5);

/// Tokens that are remembered; above that all are read again.
const REMEMBERED: usize = 1024;

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Every tenant.
    All,
    /// One tenant.
    Namespace(NamespaceName),
}

impl Scope {
    /// Reads the text of a scope: `*`, or a tenant's name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == records::INSTALLATION {
            return Some(Self::All);
        }
        NamespaceName::parse(text).ok().map(Self::Namespace)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => records::INSTALLATION,
            Self::Namespace(namespace) => namespace.as_str(),
        }
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the token; the author of what it writes.
    pub name: String,
    /// What the token is good for.
    pub scope: Scope,
    id: TokenId,
}

impl Caller {
    /// Returns the tenant that a request is about: the one that it asks for when the token is
    /// good for that, the caller's own when it asks for none.
    ///
    /// # Errors
    /// [`Error::NamespaceForbidden`] for another tenant, [`Error::Invalid`] for no name.
    pub fn namespace(&self, asked: &str) -> Result<NamespaceName, Error> {
        match &self.scope {
            Scope::Namespace(own) if asked.is_empty() || asked == own.as_str() => Ok(own.clone()),
            Scope::Namespace(_) => Err(Error::NamespaceForbidden(asked.to_owned())),
            Scope::All if asked.is_empty() => Ok(default_namespace()),
            Scope::All => NamespaceName::parse(asked)
                .map_err(|error| Error::field("namespace", error.reason, error.description)),
        }
    }

    /// Insists on a token for all tenants.
    ///
    /// # Errors
    /// [`Error::AllNamespacesNeeded`].
    pub fn insist_on_all(&self) -> Result<(), Error> {
        match self.scope {
            Scope::All => Ok(()),
            Scope::Namespace(_) => Err(Error::AllNamespacesNeeded),
        }
    }
}

/// Returns the tenant that exists from the first start.
pub fn default_namespace() -> NamespaceName {
    NamespaceName::parse(DEFAULT_NAMESPACE).expect("it is a name")
}

/// The bearer tokens of an installation; clones share what is remembered.
#[derive(Clone)]
pub struct Tokens {
    store: Arc<dyn Store>,
    memory: Arc<Mutex<Memory>>,
}

/// Tokens that were read lately.
#[derive(Default)]
struct Memory {
    tokens: HashMap<TokenId, Remembered>,
    /// Revocations that are under way: nothing is remembered then.
    revoking: usize,
    /// How many began: who read a token before the last of them keeps it to himself.
    revocations: u64,
}

/// Tokens are being revoked; all are read from the store until this is dropped.
#[must_use = "dropped at once it protects nothing"]
pub(crate) struct Revoking(Arc<Mutex<Memory>>);

impl Drop for Revoking {
    fn drop(&mut self) {
        self.0.lock().revoking -= 1;
    }
}

#[derive(Clone)]
struct Remembered {
    record: TokenRecord,
    until: Instant,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Opens the tokens of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            memory: Arc::default(),
        }
    }

    /// Finds out who calls from the headers of a request.
    ///
    /// # Errors
    /// [`Error::TokenMissing`], [`Error::TokenInvalid`], [`Error::TokenExpired`]; and the store
    /// fails.
    pub async fn authenticate(
        &self,
        headers: &http::HeaderMap,
        now: SystemTime,
    ) -> Result<Caller, Error> {
        let header = headers.get(HEADER).ok_or(Error::TokenMissing)?;
        let text = header.to_str().map_err(|_| Error::TokenInvalid)?;
        let (scheme, token) = text.split_once(' ').ok_or(Error::TokenInvalid)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Error::TokenMissing);
        }
        let token: BearerToken = token.trim().parse().map_err(|_| Error::TokenInvalid)?;
        let record = self.find(token.id()).await?;
        if !record.matches(&token) {
            return Err(Error::TokenInvalid);
        }
        record.caller(token.id(), now)
    }

    /// Checks that a caller's token is still good, for streams that last.
    ///
    /// # Errors
    /// As [`Tokens::authenticate`].
    pub async fn check(&self, caller: &Caller, now: SystemTime) -> Result<(), Error> {
        let record = self.find(caller.id).await?;
        record.caller(caller.id, now).map(|_| ())
    }

    async fn find(&self, id: TokenId) -> Result<TokenRecord, Error> {
        let now = Instant::now();
        let (remembered, revocations) = {
            let memory = self.memory.lock();
            (memory.tokens.get(&id).cloned(), memory.revocations)
        };
        if let Some(found) = remembered.filter(|found| found.until > now) {
            return Ok(found.record);
        }
        let Some(record) = self.store.record(&id_key(id)).await? else {
            return Err(Error::TokenInvalid);
        };
        let record: TokenRecord = records::parse(Table::Token, &record.value)?;
        let mut memory = self.memory.lock();
        if memory.tokens.len() >= REMEMBERED {
            memory.tokens.clear();
        }
        if memory.revoking == 0 && memory.revocations == revocations {
            let record = record.clone();
            let until = now + TRUSTED_FOR;
            memory.tokens.insert(id, Remembered { record, until });
        }
        Ok(record)
    }

    /// To be held over a commit that revokes tokens: whoever it wakes finds them gone.
    pub(crate) fn revoking(&self) -> Revoking {
        let mut memory = self.memory.lock();
        memory.revoking += 1;
        memory.revocations += 1;
        memory.tokens.clear();
        Revoking(Arc::clone(&self.memory))
    }
}

#[cfg(test)]
mod tests;
