//! Encryption at rest: what a store keeps secret is sealed with a data key, and
//! the data key is wrapped by a key file.
//!
//! XChaCha20-Poly1305 throughout; its nonces are long enough to be drawn at
//! random. A sealed blob is `version (1) | nonce (24) | ciphertext | tag (16)`;
//! the version says which way the rest is read, so that ways can be added.

use std::fmt;
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::files::{self, FileError};
use crate::random;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;
const KEY: usize = 32;

/// What the wrapped data key is bound to; nothing else is ever sealed with it.
const WRAPPED_KEY: &[u8] = b"baetyl data key";

type Key = Zeroizing<[u8; KEY]>;

/// Something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is a wrapped data key, and the key file that opens it is gone.
    /// Restore the file: nothing else opens the store.
    #[error("the key file {path} is missing; restore it, the store cannot be opened without it")]
    KeyFileMissing {
        /// The key file.
        path: String,
    },
    /// The key file does not hold exactly 32 bytes.
    #[error("the key file {path} does not hold 32 bytes")]
    KeyFileInvalid {
        /// The key file.
        path: String,
    },
    /// The key file is another one than the data key was wrapped with.
    #[error("the key file does not belong to this store")]
    KeyMismatch,
    /// The bytes were changed, cut, or sealed for something else.
    #[error("the sealed bytes are damaged, or belong to something else")]
    Corrupt,
    /// A newer program sealed the bytes.
    #[error("the sealed bytes have version {version}, which this program does not know")]
    VersionUnknown {
        /// The version that was found.
        version: u8,
    },
    /// The key file could not be read or written, or others than its owner may use it.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SealError {
    /// Returns the stable reason, in UPPER_SNAKE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::KeyFileMissing { .. } => "KEY_FILE_MISSING",
            Self::KeyFileInvalid { .. } => "KEY_FILE_INVALID",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::Corrupt => "CORRUPT",
            Self::VersionUnknown { .. } => "SEAL_VERSION_UNKNOWN",
            Self::File(error) => error.reason(),
        }
    }
}

/// Seals and opens what a store keeps secret. The data key never leaves it in the clear.
pub struct Sealer {
    data_key: Box<Key>,
}

/// A [`Sealer`], and what must be stored before it is used.
#[derive(Debug)]
pub struct Opened {
    /// The sealer.
    pub sealer: Sealer,
    /// A wrapped data key that is new: store it durably before anything is
    /// sealed. `None` when the one that was given is still right.
    pub new_wrapped_key: Option<Vec<u8>>,
}

impl Sealer {
    /// Opens a store's data key, or makes one for a store that has none.
    ///
    /// `wrapped_key` is what the store keeps, `None` when it is new; only then
    /// a missing key file is created (32 random bytes, mode 0600).
    ///
    /// # Errors
    /// [`SealError::KeyFileMissing`], [`SealError::KeyFileInvalid`],
    /// [`SealError::KeyMismatch`], [`SealError::Corrupt`] when the wrapped key
    /// has not the form of one, and [`SealError::File`] with
    /// [`FileError::Exposed`] when others than the owner may use the key file.
    pub fn open_or_create(
        key_file: &Path,
        wrapped_key: Option<&[u8]>,
    ) -> Result<Opened, SealError> {
        let Some(wrapped_key) = wrapped_key else {
            let sealer = Self {
                data_key: Box::new(Zeroizing::new(random::bytes())),
            };
            let new_wrapped_key = Some(sealer.wrap(&read_or_create_key(key_file)?));
            return Ok(Opened {
                sealer,
                new_wrapped_key,
            });
        };
        Ok(Opened {
            sealer: Self {
                data_key: Box::new(unwrap(&read_key(key_file)?, wrapped_key)?),
            },
            new_wrapped_key: None,
        })
    }

    /// Wraps the data key for another key file, made if it is not there: store
    /// the result, then drop the old key file. What was sealed stays readable.
    ///
    /// # Errors
    /// As [`Sealer::open_or_create`], of the new key file.
    pub fn rewrap(&self, new_key_file: &Path) -> Result<Vec<u8>, SealError> {
        Ok(self.wrap(&read_or_create_key(new_key_file)?))
    }

    /// Seals bytes for one place, `aad`, for instance a table and a key in it.
    ///
    /// The result is 41 bytes longer than the plaintext and opens only with
    /// the same `aad`, so that nobody can move it to another place.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        encrypt(&self.data_key, aad, plaintext)
    }

    /// Opens what [`Sealer::seal`] sealed with the same `aad`.
    ///
    /// The plaintext is erased from memory when dropped.
    ///
    /// # Errors
    /// [`SealError::Corrupt`] when a bit or the `aad` differs;
    /// [`SealError::VersionUnknown`] when a newer program sealed it.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        decrypt(&self.data_key, aad, sealed)?.ok_or(SealError::Corrupt)
    }

    fn wrap(&self, key: &Key) -> Vec<u8> {
        encrypt(key, WRAPPED_KEY, &**self.data_key)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

fn unwrap(key: &Key, wrapped: &[u8]) -> Result<Key, SealError> {
    if wrapped.len() != 1 + NONCE + KEY + TAG {
        return Err(SealError::Corrupt);
    }
    let bytes = decrypt(key, WRAPPED_KEY, wrapped)?.ok_or(SealError::KeyMismatch)?;
    let mut data_key = Zeroizing::new([0; KEY]);
    data_key.copy_from_slice(&bytes);
    Ok(data_key)
}

fn read_key(path: &Path) -> Result<Key, SealError> {
    let shown = || path.display().to_string();
    let bytes = files::read_private(path).map_err(|error| match error {
        FileError::Missing { .. } => SealError::KeyFileMissing { path: shown() },
        other => SealError::File(other),
    })?;
    if bytes.len() != KEY {
        return Err(SealError::KeyFileInvalid { path: shown() });
    }
    let mut key = Zeroizing::new([0; KEY]);
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn read_or_create_key(path: &Path) -> Result<Key, SealError> {
    match read_key(path) {
        Err(SealError::KeyFileMissing { .. }) => {}
        read => return read,
    }
    let key = Zeroizing::new(random::bytes());
    match files::create_private(path, &*key) {
        Ok(()) => Ok(key),
        // Another process was first: its key is the one.
        Err(FileError::Exists { .. }) => read_key(path),
        Err(error) => Err(error.into()),
    }
}

fn encrypt(key: &Key, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce = random::bytes::<NONCE>();
    let ciphertext = XChaCha20Poly1305::new((&**key).into())
        .encrypt(
            &XNonce::from(nonce),
            Payload {
                msg: plaintext,
                aad: &bound(aad),
            },
        )
        .expect("only a text of 256 gigabytes is too long");
    [&[VERSION], &nonce[..], &ciphertext].concat()
}

/// Gives `None` when key, `aad` or bytes are not those of the sealing.
fn decrypt(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    let (version, rest) = sealed.split_first().ok_or(SealError::Corrupt)?;
    if *version != VERSION {
        return Err(SealError::VersionUnknown { version: *version });
    }
    let (nonce, ciphertext) = rest
        .split_first_chunk::<NONCE>()
        .ok_or(SealError::Corrupt)?;
    let plaintext = XChaCha20Poly1305::new((&**key).into()).decrypt(
        &XNonce::from(*nonce),
        Payload {
            msg: ciphertext,
            aad: &bound(aad),
        },
    );
    Ok(plaintext.ok().map(Zeroizing::new))
}

/// The version is bound too, so that it cannot be exchanged.
fn bound(aad: &[u8]) -> Vec<u8> {
    [&[VERSION], aad].concat()
}

#[cfg(test)]
mod tests;
