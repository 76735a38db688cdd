//! The route table on disk: one file, replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Version of the form of the file.
const FORMAT: u32 = 1;

/// A file that is larger is not ours: a table comes in one message, which is far smaller.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why a table is not on disk, or cannot be read from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What lies there is no table of ours.
    #[error("{} is no route table", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file was written by a later version of the program, or is far too large.
    #[error("{} has an unknown form", path.display())]
    UnknownForm {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct Document<T> {
    format: u32,
    table: T,
}

/// The file in which a table is kept.
#[derive(Debug, Clone)]
pub struct RouteFile {
    path: PathBuf,
}

impl RouteFile {
    /// Opens the folder, and makes it with mode 0700 when it is not there. Blocks.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed("create", folder, source))?;
        Ok(Self {
            path: folder.join("routes.json"),
        })
    }

    /// Reads the table; `None` when none was written yet. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or is broken.
    pub fn load<T: for<'de> Deserialize<'de>>(&self) -> Result<Option<T>, StoreError> {
        let path = &self.path;
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("open", path, source)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| failed("read", path, source))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(StoreError::UnknownForm { path: path.clone() });
        }
        let unreadable = |source| StoreError::Unreadable {
            path: path.clone(),
            source,
        };
        let document: Document<serde_json::Value> =
            serde_json::from_slice(&bytes).map_err(unreadable)?;
        if document.format != FORMAT {
            return Err(StoreError::UnknownForm { path: path.clone() });
        }
        serde_json::from_value(document.table)
            .map(Some)
            .map_err(unreadable)
    }

    /// Writes the table: beside its place, flushed, moved there, and the folder flushed, so that
    /// the old one or the new one is there whatever happens. Blocks.
    ///
    /// # Errors
    /// The operating system refused; the old table is still there.
    pub fn save<T: Serialize>(&self, table: &T) -> Result<(), StoreError> {
        let document = Document {
            format: FORMAT,
            table,
        };
        let beside = self.path.with_extension("json.new");
        let bytes = serde_json::to_vec(&document).map_err(|source| StoreError::Unreadable {
            path: self.path.clone(),
            source,
        })?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(|source| failed("create", &beside, source))?;
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .map_err(|source| failed("write", &beside, source))?;
        fs::rename(&beside, &self.path).map_err(|source| failed("replace", &self.path, source))?;
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed("flush", folder, source))
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
