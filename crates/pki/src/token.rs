//! Bearer tokens of people and programs, join tokens of devices.
//!
//! Text forms, all of them visible ASCII without spaces:
//!
//! | token | form |
//! |---|---|
//! | bearer | `bt_<id>.<secret>` |
//! | join | `jt_<id>.<secret>.<fingerprint of the authority>` |
//!
//! The id (24 hexadecimal digits) finds the token in a table and may be
//! logged; the secret is 256 random bits in base64url, and a store keeps only
//! its SHA-256. No salt is needed: nobody guesses 256 bits.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::fingerprint::{read_hex, write_hex};
use crate::{Fingerprint, random};

const BEARER_PREFIX: &str = "bt_";
const JOIN_PREFIX: &str = "jt_";

/// A text is not a token. It is not shown, since it may nearly be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not {expected}")]
pub struct TokenError {
    expected: &'static str,
}

impl TokenError {
    /// Returns the stable reason, in UPPER_SNAKE.
    pub fn reason(&self) -> &'static str {
        "TOKEN_MALFORMED"
    }
}

/// The public part of a token: finds it in a table, may be logged.
///
/// Text form: 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 12]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        parse_id(text).ok_or(TokenError {
            expected: "a token id (24 hexadecimal digits)",
        })
    }
}

/// The SHA-256 of a token's secret: what a store keeps.
///
/// It is not comparable with `==`: [`SecretHash::matches`] takes the same time
/// whatever it finds.
#[derive(Clone, Debug)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Takes back the bytes that a store kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, as a store keeps them.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Says whether both are of the same secret, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(other.0)
            .fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs));
        std::hint::black_box(difference) == 0
    }
}

/// The secret part; `Debug` hides it.
struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    fn random() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let mut secret = Zeroizing::new([0; 32]);
        if bytes.len() != secret.len() {
            return None;
        }
        secret.copy_from_slice(&bytes);
        Some(Self(secret))
    }

    fn hash(&self) -> SecretHash {
        SecretHash(*Fingerprint::of(&*self.0).as_bytes())
    }

    fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }
}

/// A token of a person or program, sent as `authorization: bearer <token>`.
pub struct BearerToken {
    id: TokenId,
    secret: Secret,
}

impl BearerToken {
    /// Makes a new token.
    pub fn generate() -> Self {
        Self {
            id: TokenId(random::bytes()),
            secret: Secret::random(),
        }
    }

    /// Returns the id under which the store keeps it.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns what the store keeps of the secret.
    pub fn hash(&self) -> SecretHash {
        self.secret.hash()
    }

    /// Writes the whole token, for the one who shall have it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{BEARER_PREFIX}{}.{}",
            self.id,
            *self.secret.reveal()
        ))
    }
}

impl FromStr for BearerToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let read = || {
            let (id, secret) = text.strip_prefix(BEARER_PREFIX)?.split_once('.')?;
            Some(Self {
                id: parse_id(id)?,
                secret: Secret::parse(secret)?,
            })
        };
        read().ok_or(TokenError {
            expected: "a bearer token (bt_...)",
        })
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BearerToken({}, secret)", self.id)
    }
}

/// A token with which a device joins, and by which it knows the authority of
/// the cloud that it joins.
pub struct JoinToken {
    id: TokenId,
    secret: Secret,
    authority: Fingerprint,
}

impl JoinToken {
    /// Makes a new token that names the cloud's authority.
    pub fn generate(authority: Fingerprint) -> Self {
        Self {
            id: TokenId(random::bytes()),
            secret: Secret::random(),
            authority,
        }
    }

    /// Returns the id under which the store keeps it.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns what the store keeps of the secret.
    pub fn hash(&self) -> SecretHash {
        self.secret.hash()
    }

    /// Returns the fingerprint of the authority's certificate, for
    /// [`crate::verify::PinnedAuthority`].
    pub fn authority(&self) -> Fingerprint {
        self.authority
    }

    /// Writes the whole token, for the device that shall have it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{JOIN_PREFIX}{}.{}.{}",
            self.id,
            *self.secret.reveal(),
            self.authority
        ))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let read = || {
            let (id, rest) = text.strip_prefix(JOIN_PREFIX)?.split_once('.')?;
            let (secret, authority) = rest.split_once('.')?;
            Some(Self {
                id: parse_id(id)?,
                secret: Secret::parse(secret)?,
                authority: authority.parse().ok()?,
            })
        };
        read().ok_or(TokenError {
            expected: "a join token (jt_...)",
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, secret, {})", self.id, self.authority)
    }
}

fn parse_id(text: &str) -> Option<TokenId> {
    read_hex(text)?.try_into().ok().map(TokenId)
}

#[cfg(test)]
mod tests;
