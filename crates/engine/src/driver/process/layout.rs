//! Where everything of an application lies.
//!
//! ```text
//! <data>/run/<instance>/                          shim: lock, state, log
//! <data>/instances/<instance>/{root,work,empty}   what one instance sees
//! <data>/apps/<app>/content/<digest>/             program, code and fixed inputs
//! <data>/apps/<app>/releases/<n>/<volume>/        reloaded inputs, switched in place
//! <data>/apps/<app>/persistent/<volume>/          outlives everything
//! <secret>/apps/<app>/{content,releases}/…        the same, of secrets
//! <secret>/apps/<app>/certificates/<service>/     switched in place
//! <secret>/environment/<instance>.json            for probes that run commands
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use baetyl_model::Name;
use baetyl_process::InstanceId;
use baetyl_shadow::Digest;

use super::files::{make_private, remove};
use crate::desired::{InputKey, InputKind};
use crate::driver::{DriverError, Kept, ReleaseKey};

/// Where Linux mounts file systems in memory.
const IN_MEMORY: [&str; 2] = ["/run", "/dev/shm"];

/// From `linux/magic.h`.
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// The folders.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    data: PathBuf,
    secret: PathBuf,
    is_secret_in_memory: bool,
}

impl Layout {
    /// Makes the folders that everything lies in.
    pub(super) fn make(data: &Path, secret: Option<&Path>) -> Result<Self, DriverError> {
        let failed = |path: &Path, error: io::Error| {
            DriverError::new(format!("make folder {}", path.display()), error)
        };
        if !data.is_absolute() {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(failed(data, error));
        }
        for folder in ["run", "instances", "apps"] {
            let path = data.join(folder);
            make_private(&path).map_err(|error| failed(&path, error))?;
        }
        let chosen = match secret {
            Some(secret) => Some(secret.to_owned()),
            None => in_memory(data),
        };
        let secret = chosen.unwrap_or_else(|| data.join("secret"));
        make_private(&secret).map_err(|error| failed(&secret, error))?;
        let is_secret_in_memory = is_in_memory(&secret);
        for folder in ["apps", "environment"] {
            let path = secret.join(folder);
            make_private(&path).map_err(|error| failed(&path, error))?;
        }
        Ok(Self {
            data: data.to_owned(),
            secret,
            is_secret_in_memory,
        })
    }

    pub(super) fn is_secret_in_memory(&self) -> bool {
        self.is_secret_in_memory
    }

    pub(super) fn runs(&self) -> PathBuf {
        self.data.join("run")
    }

    pub(super) fn instance(&self, id: &InstanceId) -> PathBuf {
        self.data.join("instances").join(id.as_str())
    }

    /// Instances that have folders.
    pub(super) fn instances(&self) -> io::Result<Vec<InstanceId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.data.join("instances"))? {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| InstanceId::parse(name).ok()));
        }
        Ok(ids)
    }

    pub(super) fn work(&self, id: &InstanceId) -> PathBuf {
        self.instance(id).join("work")
    }

    pub(super) fn environment(&self, id: &InstanceId) -> PathBuf {
        let folder = self.secret.join("environment");
        folder.join(format!("{}.json", id.as_str()))
    }

    /// The folder of an input's content.
    pub(super) fn content(&self, application: &str, input: &InputKey, digest: &Digest) -> PathBuf {
        let base = self.base(input.kind);
        base.join(application).join("content").join(hex(digest))
    }

    /// The stable folder of a reloaded input.
    pub(super) fn reloaded(&self, release: &ReleaseKey, input: &InputKey, volume: &str) -> PathBuf {
        self.base(input.kind)
            .join(&release.application)
            .join("releases")
            .join(release.number.to_string())
            .join(volume)
    }

    pub(super) fn persistent(&self, application: &str, volume: &str) -> PathBuf {
        let own = self.data.join("apps").join(application);
        own.join("persistent").join(volume)
    }

    pub(super) fn certificates(&self, application: &str, service: &str) -> PathBuf {
        let own = self.secret.join("apps").join(application);
        own.join("certificates").join(service)
    }

    fn base(&self, kind: InputKind) -> PathBuf {
        match kind {
            InputKind::Configuration => self.data.join("apps"),
            InputKind::Secret | InputKind::Certificate | InputKind::Registry => {
                self.secret.join("apps")
            }
        }
    }

    /// The folders of an application, when its name can have any.
    fn own(&self, application: &str) -> Vec<PathBuf> {
        if Name::parse(application).is_err() {
            return Vec::new();
        }
        vec![
            self.data.join("apps").join(application),
            self.secret.join("apps").join(application),
        ]
    }

    pub(super) fn tidy(&self, application: &str, keep: &[Kept]) -> io::Result<()> {
        let numbers: BTreeSet<String> = keep.iter().map(|kept| kept.number.to_string()).collect();
        let digests: BTreeSet<String> = keep
            .iter()
            .flat_map(|kept| kept.digests.iter().map(hex))
            .collect();
        for own in self.own(application) {
            remove_others(&own.join("releases"), &numbers)?;
            remove_others(&own.join("content"), &digests)?;
        }
        Ok(())
    }

    pub(super) fn forget(&self, application: &str, remove_data: bool) -> io::Result<()> {
        for own in self.own(application) {
            for folder in ["content", "releases", "certificates"] {
                remove(&own.join(folder))?;
            }
            if remove_data {
                remove(&own)?;
            } else {
                // Fails when data is left, and that is what is wanted.
                let _ = fs::remove_dir(&own);
            }
        }
        Ok(())
    }

    pub(super) fn forget_all(&self) -> io::Result<()> {
        for folder in ["apps", "instances", "run"] {
            remove_others(&self.data.join(folder), &BTreeSet::new())?;
        }
        for folder in ["apps", "environment"] {
            remove_others(&self.secret.join(folder), &BTreeSet::new())?;
        }
        Ok(())
    }
}

fn hex(digest: &Digest) -> String {
    let text = digest.to_string();
    text.strip_prefix("sha256:").unwrap_or(&text).to_owned()
}

fn remove_others(folder: &Path, keep: &BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let is_kept = entry
            .file_name()
            .to_str()
            .is_some_and(|name| keep.contains(name));
        if !is_kept {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// A folder of our own on a file system in memory, named after the data folder.
fn in_memory(data: &Path) -> Option<PathBuf> {
    in_memory_candidates(data).find(|folder| {
        let base = folder.parent();
        base.is_some_and(is_in_memory) && make_own(folder)
    })
}

/// Removes the folders that [`in_memory`] may have made.
pub(super) fn remove_in_memory(data: &Path) -> io::Result<()> {
    for folder in in_memory_candidates(data).filter(|folder| is_own(folder)) {
        remove(&folder)?;
    }
    Ok(())
}

fn in_memory_candidates(data: &Path) -> impl Iterator<Item = PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let digest = hex(&Digest::of(data.as_os_str().as_bytes()));
    let name = format!("baetyl-{}", &digest[..16]);
    IN_MEMORY
        .iter()
        .map(move |base| Path::new(base).join(&name))
}

/// Makes a folder, or takes one that only this user could have made: others may write beside it.
fn make_own(folder: &Path) -> bool {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => return true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(_) => return false,
    }
    is_own(folder)
}

fn is_own(folder: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0)
}

fn is_in_memory(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| {
        // The type is signed on some platforms; only its bits matter.
        let kind = u64::try_from(found.f_type).unwrap_or_default();
        [TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind)
    })
}

#[cfg(test)]
mod tests;
