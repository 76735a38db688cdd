//! Keys, certificates, tokens and encryption at rest: the only crate that knows them.
//!
//! Private keys are ECDSA P-256, made where they are used, and never travel.
//! A certificate is signed from nothing of a request but its public key; every
//! name comes from the issuer. Nothing here reads a clock: time is an argument,
//! always a [`SystemTime`](std::time::SystemTime) with whole seconds of meaning.
//!
//! | module | what |
//! |---|---|
//! | [`key`] | key pairs, public keys, proof of possession |
//! | [`csr`] | signing requests: made on the device, checked by the issuer |
//! | [`ca`] | certificate authorities and what they issue |
//! | [`identity`] | who a certificate speaks for |
//! | [`verify`] | chains against roots; a server behind a pinned authority |
//! | [`credentials`] | a key with its chain, as one file |
//! | [`details`] | what certificates of others say, and whether a key belongs to one |
//! | [`token`] | bearer and join tokens |
//! | [`seal`] | encryption at rest |
//! | [`files`] | files written whole, with their mode |
//! | [`pem`] | PEM text, in and out |

pub mod ca;
pub mod credentials;
pub mod csr;
pub mod details;
mod error;
pub mod files;
mod fingerprint;
pub mod identity;
pub mod key;
pub mod pem;
mod random;
pub mod seal;
#[cfg(test)]
mod testing;
mod time;
pub mod token;
pub mod verify;

pub use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub use self::ca::{Authority, Issued, Profile, Validity};
pub use self::credentials::Credentials;
pub use self::csr::SigningRequest;
pub use self::details::Details;
pub use self::error::Error;
pub use self::files::FileError;
pub use self::fingerprint::Fingerprint;
pub use self::identity::{Name, PeerIdentity, Serial, SpiffeId, Subject, TrustDomain};
pub use self::key::{KeyPair, PublicKey};
pub use self::seal::{SealError, Sealer};
pub use self::token::{BearerToken, JoinToken, SecretHash, TokenError, TokenId};
pub use self::verify::{Roots, Usage};
