//! Small files, written whole or not at all, with their mode.
//!
//! A file is written beside its place, flushed, moved there, and the folder is
//! flushed too: after a power cut the old content or the new one is there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::fingerprint::write_hex;
use crate::random;

/// A file larger than this is not read; keys and chains have a few kilobytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file does not exist.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file was to be created and exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may use a private file.
    #[error("{} has mode {mode:04o}, others may use it; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is larger than [`MAX_BYTES`].
    #[error("{} is too large", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, for instance `write`.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl FileError {
    /// Returns the stable reason, in UPPER_SNAKE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "FILE_MISSING",
            Self::Exists { .. } => "FILE_EXISTS",
            Self::Exposed { .. } => "FILE_EXPOSED",
            Self::TooLarge { .. } => "FILE_TOO_LARGE",
            Self::Io { .. } => "FILE_IO",
        }
    }

    fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io {
                path,
                action,
                source,
            },
        }
    }
}

/// Writes a file that only its owner may read (mode 0600), replacing an old one.
///
/// # Errors
/// [`FileError::Missing`] when the folder is not there, [`FileError::Io`]
/// otherwise; the old content, if any, is still there.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, PRIVATE_MODE)
}

/// Writes a file that everyone may read (mode 0644), replacing an old one.
///
/// # Errors
/// As [`write_private`].
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, PUBLIC_MODE)
}

/// Writes a private file (mode 0600) that must not be there yet.
///
/// Of two processes that try, one wins and the file is the winner's.
///
/// # Errors
/// [`FileError::Exists`] when it is there; otherwise as [`write_private`].
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let beside = write_beside(path, bytes, PRIVATE_MODE)?;
    // A link never replaces its target, a rename would.
    let linked = fs::hard_link(&beside.0, path).map_err(|e| FileError::io(path, "create", e));
    drop(beside);
    linked?;
    sync_folder(path)
}

/// Reads a private file and refuses it when others than its owner may use it.
///
/// The bytes are erased from memory when dropped.
///
/// # Errors
/// [`FileError::Missing`], [`FileError::Exposed`], [`FileError::TooLarge`], or
/// [`FileError::Io`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    read(path, true)
}

/// Reads a file that anyone may read.
///
/// # Errors
/// [`FileError::Missing`], [`FileError::TooLarge`], or [`FileError::Io`].
pub fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    read(path, false).map(|mut bytes| std::mem::take(&mut *bytes))
}

fn read(path: &Path, is_private: bool) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |error| FileError::io(path, "read", error);
    let file = File::open(path).map_err(failed)?;
    // The open file is asked, not the path: nobody can swap it in between.
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if is_private && mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(FileError::Exposed { path, mode });
    }
    let too_large = || FileError::TooLarge {
        path: path.to_owned(),
    };
    let length = usize::try_from(metadata.len()).map_err(|_| too_large())?;
    if metadata.len() > MAX_BYTES {
        return Err(too_large());
    }
    // One byte more, so that the buffer need not grow to see the end.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    (&file)
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large());
    }
    Ok(bytes)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let beside = write_beside(path, bytes, mode)?;
    fs::rename(&beside.0, path).map_err(|e| FileError::io(path, "replace", e))?;
    sync_folder(path)
}

/// A file on its way; its name is removed at the end, if it is still there.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // After a rename there is nothing to remove. Otherwise nothing better
        // can be done than to leave it: nobody reads it.
        let _ = fs::remove_file(&self.0);
    }
}

fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> Result<Beside, FileError> {
    let failed = |error| FileError::io(path, "write", error);
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut text = format!(".{}.", name.to_string_lossy());
    write_hex(&mut text, &random::bytes::<8>()).expect("a string takes every write");
    let beside = Beside(folder(path).join(text));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside.0)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(beside)
}

fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = folder(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| FileError::io(folder, "flush", e))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
