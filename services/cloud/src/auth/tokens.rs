//! Making, listing and revoking tokens.

use std::time::{Duration, SystemTime};

use baetyl_model::{NamespaceName, ServiceName, Violation};
use baetyl_pki::{BearerToken, TokenId};

use super::record::{NameRecord, TokenRecord, id_key, name_key};
use super::{Caller, Scope, Tokens};
use crate::error::Error;
use crate::records;
use crate::store::{Commit, Precondition, StoreError, Table, Write};

/// Name of the token that is made at the first start.
pub const FIRST_TOKEN: &str = "admin";

/// The longest life of a token that has one.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A token without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// When it was made.
    pub create_time: SystemTime,
    /// When it lapses; `None` for never.
    pub expire_time: Option<SystemTime>,
}

/// A token with its text, which is shown once.
#[derive(Debug)]
pub struct NewToken {
    /// What it is.
    pub token: Token,
    /// Its text.
    pub secret: BearerToken,
}

impl Tokens {
    /// Makes the first token when there is none: at the first start, or after the last one was
    /// deleted, which only who may start the program can mend. It is good for all tenants.
    ///
    /// # Errors
    /// The store fails.
    pub async fn ensure_first(&self, now: SystemTime) -> Result<Option<NewToken>, Error> {
        if !self.store.records(&name_key(""), None, 1).await?.is_empty() {
            return Ok(None);
        }
        match self.make(FIRST_TOKEN, Scope::All, None, now).await {
            Ok(token) => Ok(Some(token)),
            // Another process was first.
            Err(Error::TokenExists(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a token for `namespace`: the caller's own when empty, `*` for all.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NamespaceForbidden`] and [`Error::AllNamespacesNeeded`] when
    /// it would be good for more than the caller's, [`Error::TokenExists`]; the store fails.
    pub async fn create(
        &self,
        caller: &Caller,
        name: &str,
        namespace: &str,
        lifetime: Option<Duration>,
        now: SystemTime,
    ) -> Result<NewToken, Error> {
        let mut violations = Vec::new();
        if let Err(error) = ServiceName::parse(name) {
            violations.push(Violation::new("name", error.reason, error.description));
        }
        if lifetime.is_some_and(|lifetime| lifetime.is_zero() || lifetime > MAX_LIFETIME) {
            let description = "must be more than nothing and at most 10 years";
            violations.push(Violation::new("lifetime", "OUT_OF_BOUNDS", description));
        }
        if !violations.is_empty() {
            return Err(Error::violations(violations));
        }
        let scope = match namespace {
            "" => caller.scope.clone(),
            records::INSTALLATION => {
                caller.insist_on_all()?;
                Scope::All
            }
            named => Scope::Namespace(caller.namespace(named)?),
        };
        let expire_time = lifetime.map(|lifetime| now + lifetime);
        self.make(name, scope, expire_time, now).await
    }

    async fn make(
        &self,
        name: &str,
        scope: Scope,
        expire_time: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<NewToken, Error> {
        let secret = BearerToken::generate();
        let by_id = TokenRecord::new(&secret, name, &scope, expire_time);
        let by_name = NameRecord {
            id: secret.id().to_string(),
            namespace: scope.as_str().to_owned(),
            create_time: now,
            expire_time,
        };
        let commit = Commit {
            preconditions: vec![Precondition::RecordAt(name_key(name), 0)],
            writes: vec![
                records::put(id_key(secret.id()), &by_id),
                records::put(name_key(name), &by_name),
            ],
        };
        match self.store.commit(commit).await {
            Ok(()) => {}
            Err(StoreError::Precondition(_)) => return Err(Error::TokenExists(name.to_owned())),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(
            token.name = name,
            token.namespace = scope.as_str(),
            "bearer token made"
        );
        let token = Token {
            name: name.to_owned(),
            scope,
            create_time: now,
            expire_time,
        };
        Ok(NewToken { token, secret })
    }

    /// Returns the tokens that the caller may manage, by name, those after `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Token>, Error> {
        let prefix = name_key("");
        let mut after = after.map(|after| name_key(after).key);
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self
                .store
                .records(&prefix, after.as_deref(), records::PAGE)
                .await?;
            let is_last = page.len() < records::PAGE;
            after = page.last().map(|record| record.key.clone());
            for record in page {
                let kept: NameRecord = records::parse(Table::Token, &record.value)?;
                let name = record.key.trim_start_matches(&prefix.key);
                found.extend(
                    kept.token(name)
                        .filter(|token| may_manage(caller, &token.scope)),
                );
            }
            if is_last {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Revokes a token at once.
    ///
    /// # Errors
    /// [`Error::TokenNotFound`], also when it is good for more than the caller's; the store fails.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let not_found = || Error::TokenNotFound(name.to_owned());
        let key = name_key(name);
        let kept: Option<records::Versioned<NameRecord>> =
            records::read(&*self.store, &key).await?;
        let kept = kept.ok_or_else(not_found)?;
        let scope = Scope::parse(&kept.value.namespace);
        if !scope.is_some_and(|scope| may_manage(caller, &scope)) {
            return Err(not_found());
        }
        let id: TokenId = kept.value.id.parse().map_err(|_| not_found())?;
        let commit = Commit {
            preconditions: vec![records::unchanged(key.clone(), &kept)],
            writes: vec![Write::DeleteRecord(id_key(id)), Write::DeleteRecord(key)],
        };
        let revoking = self.revoking();
        let outcome = self.store.commit(commit).await;
        drop(revoking);
        match outcome {
            Ok(()) => {}
            // Somebody else deleted it.
            Err(StoreError::Precondition(_)) => return Err(not_found()),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(token.name = name, "bearer token revoked");
        Ok(())
    }

    /// Returns what revokes every token of one tenant; [`Tokens::revoking`] is to be
    /// held over the commit.
    pub(crate) async fn revocations(&self, namespace: &NamespaceName) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        for record in records::all(&*self.store, &name_key("")).await? {
            let kept: NameRecord = records::parse(Table::Token, &record.value)?;
            if kept.namespace != namespace.as_str() {
                continue;
            }
            if let Ok(id) = kept.id.parse::<TokenId>() {
                writes.push(Write::DeleteRecord(id_key(id)));
            }
            let key = records::key(records::INSTALLATION, Table::Token, record.key);
            writes.push(Write::DeleteRecord(key));
        }
        Ok(writes)
    }
}

/// A token manages those that are good for no more than itself.
fn may_manage(caller: &Caller, scope: &Scope) -> bool {
    caller.scope == Scope::All || caller.scope == *scope
}

impl NameRecord {
    fn token(self, name: &str) -> Option<Token> {
        Some(Token {
            name: name.to_owned(),
            scope: Scope::parse(&self.namespace)?,
            create_time: self.create_time,
            expire_time: self.expire_time,
        })
    }
}
