//! A key with its certificate chain, as one file.
//!
//! One file, because two cannot be replaced at once: after a crash in the
//! middle of a renewal the key would not fit its certificate.

use std::fmt;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::ca::{Authority, Profile, Validity};
use crate::identity::invalid;
use crate::{Error, KeyPair, PeerIdentity, files, pem};

/// A key pair with the chain that was issued for it, and who it speaks for.
pub struct Credentials {
    key: KeyPair,
    chain: Vec<CertificateDer<'static>>,
    identity: PeerIdentity,
}

impl Credentials {
    /// Puts a key and its chain, the leaf first, together.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`] when the leaf was made for another key;
    /// [`Error::CertificateInvalid`] when the chain is empty; those of
    /// [`PeerIdentity::from_der`].
    pub fn new(key: KeyPair, chain: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let leaf = chain.first().ok_or_else(|| invalid("the chain is empty"))?;
        let identity = PeerIdentity::from_der(leaf)?;
        if identity.public_key != *key.public_key() {
            return Err(Error::KeyMismatch);
        }
        Ok(Self {
            key,
            chain,
            identity,
        })
    }

    /// Makes a new key here and has the authority sign it: for the authority's
    /// own machine. The chain holds the authority's certificate too.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue(
        authority: &Authority,
        profile: &Profile,
        validity: Validity,
    ) -> Result<Self, Error> {
        let key = KeyPair::generate();
        let issued = authority.issue(key.public_key(), profile, validity)?;
        Self::new(key, authority.chain(&issued))
    }

    /// Reads a key and a chain from one PEM text.
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::KeyInvalid`], and as [`Credentials::new`].
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        Self::new(KeyPair::from_pem(text)?, pem::certs(text)?)
    }

    /// Writes the key, then the chain, as one PEM text, which is erased from
    /// memory when dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let key = self.key.to_pem();
        let chain = pem::encode_certs(&self.chain);
        let mut text = Zeroizing::new(String::with_capacity(key.len() + chain.len()));
        text.push_str(&key);
        text.push_str(&chain);
        text
    }

    /// Reads what [`Credentials::store`] wrote.
    ///
    /// # Errors
    /// [`Error::File`], notably when others than the owner may use the file,
    /// and as [`Credentials::from_pem`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_pem(&files::read_private(path)?)
    }

    /// Writes everything into one private file, at once.
    ///
    /// # Errors
    /// [`Error::File`]; the old file, if any, is still there.
    pub fn store(&self, path: &Path) -> Result<(), Error> {
        files::write_private(path, self.to_pem().as_bytes())?;
        Ok(())
    }

    /// Returns the key pair.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// Returns the chain, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Returns who the leaf speaks for, and until when.
    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
