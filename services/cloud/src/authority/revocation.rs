//! Revoked certificates, in a file that no backup of the store holds.
//!
//! When an old backup is restored, the store forgets what was revoked since; the file does not.
//! One line for each certificate, only ever appended: serial, uid and name of the node.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use baetyl_model::{Name, NamespaceName, Uid};
use baetyl_pki::Serial;
use parking_lot::{Mutex, RwLock};

/// The file of revoked certificates; clones share it.
#[derive(Clone, Debug)]
pub struct Revocations {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    serials: RwLock<HashSet<Serial>>,
    file: Option<Mutex<File>>,
}

/// One certificate to revoke.
#[derive(Clone, Debug)]
pub(crate) struct Revoked {
    pub(crate) serial: Serial,
    pub(crate) uid: Uid,
    pub(crate) namespace: NamespaceName,
    pub(crate) node: Name,
}

impl Revocations {
    /// Opens the file, or makes it. Without a path it forgets with the process.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::new(HashSet::new(), None));
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        // A line that a crash cut short names no certificate that was reported as revoked.
        let serials = text
            .lines()
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect();
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok(Self::new(serials, Some(Mutex::new(file))))
    }

    fn new(serials: HashSet<Serial>, file: Option<Mutex<File>>) -> Self {
        let serials = RwLock::new(serials);
        Self {
            inner: Arc::new(Inner { serials, file }),
        }
    }

    /// Whether the certificate was revoked.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.inner.serials.read().contains(serial)
    }

    /// Writes certificates down, durably, and refuses them from then on.
    pub(crate) async fn add(&self, revoked: Vec<Revoked>) -> io::Result<()> {
        let inner = self.inner.clone();
        let written = tokio::task::spawn_blocking(move || inner.add(&revoked)).await;
        written.unwrap_or_else(|_| Err(io::Error::other("the writer stopped")))
    }
}

impl Inner {
    fn add(&self, revoked: &[Revoked]) -> io::Result<()> {
        let mut lines = String::new();
        for each in revoked {
            let Revoked {
                serial,
                uid,
                namespace,
                node,
            } = each;
            lines.push_str(&format!("{serial} {uid} {namespace}/{node}\n"));
        }
        if let Some(file) = &self.file {
            let mut file = file.lock();
            file.write_all(lines.as_bytes())?;
            file.sync_data()?;
        }
        let serials = revoked.iter().map(|each| each.serial.clone());
        self.serials.write().extend(serials);
        Ok(())
    }
}
