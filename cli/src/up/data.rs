//! The data folder of `up`, with its lock, and the context that is written from it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use baetyl_core::local::LocalFolder;
use baetyl_pki::files;
use rustix::fs::{FlockOperation, flock};

use super::{Cloud, Edge};
use crate::context::{self, Context, Contexts};
use crate::failure::Failure;
use crate::output::say;

/// The longest path of the folder: sockets lie below it, and their paths are short.
const MAX_PATH_BYTES: usize = 70;

/// The folder, locked for as long as this lives.
pub(super) struct UpFolder {
    path: PathBuf,
    /// Whether nothing was there before.
    pub(super) is_new: bool,
    _lock: File,
}

impl UpFolder {
    /// Makes or takes the folder.
    pub(super) async fn open(path: &Path, reset: bool) -> Result<Self, Failure> {
        let given = std::path::absolute(path).map_err(Failure::local)?;
        if given.as_os_str().len() > MAX_PATH_BYTES {
            let shown = given.display();
            return Err(Failure::usage(format!(
                "{shown} is longer than {MAX_PATH_BYTES} bytes, too long for sockets below it: choose another --data"
            )));
        }
        std::fs::create_dir_all(&given).map_err(Failure::local)?;
        let lock = lock(&given)?;
        let path = given;
        if reset {
            clear(&path).await?;
        }
        let is_new = !path.join("cloud").exists();
        Ok(Self {
            path,
            is_new,
            _lock: lock,
        })
    }

    /// Folder of the control plane.
    pub(super) fn cloud(&self) -> PathBuf {
        self.path.join("cloud")
    }

    /// Folder of the node.
    pub(super) fn node(&self) -> PathBuf {
        self.path.join("node")
    }

    /// The token that the control plane made at its first start.
    pub(super) fn admin_token(&self) -> Result<String, Failure> {
        let path = self.cloud().join("admin.token");
        let text = files::read_private(&path).map_err(Failure::local)?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Writes the authority of the control plane where curl finds it.
    pub(super) fn cloud_ca(&self, pem: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join("cloud-ca.pem");
        files::write_public(&path, pem.as_bytes()).map_err(Failure::local)?;
        Ok(path)
    }
}

/// Takes the lock, or says who holds it.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join("up.lock");
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path);
    let mut file = opened.map_err(Failure::local)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder).ok();
        let (shown, holder) = (folder.display(), holder.trim().to_owned());
        return Err(Failure::failed(format!(
            "{shown} is in use by `baetyl up` with pid {holder}: end it, or choose another --data"
        )));
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .map_err(Failure::local)?;
    writeln!(file, "{}", std::process::id()).map_err(Failure::local)?;
    Ok(file)
}

/// Stops what an earlier `up` left running, and removes everything but the lock.
async fn clear(folder: &Path) -> Result<(), Failure> {
    let left = crate::service::core::remove_all(&folder.join("node")).await?;
    if left > 0 {
        say(&format!("stopped {left} instances of an earlier run"));
    }
    for entry in std::fs::read_dir(folder).map_err(Failure::local)? {
        let entry = entry.map_err(Failure::local)?;
        if entry.file_name() == "up.lock" {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(Failure::local)?;
    }
    Ok(())
}

/// Writes the context of the command line and makes it the current one.
pub(super) fn write_context(
    name: &str,
    data: &UpFolder,
    cloud: &Cloud,
    core: &str,
    edge: &Edge,
) -> Result<(), Failure> {
    let local = LocalFolder::new(data.node().join("local"));
    let read = |path: &Path| {
        let text = files::read_public(path).map_err(Failure::local)?;
        Ok::<_, Failure>(String::from_utf8_lossy(&text).into_owned())
    };
    let token = files::read_private(&local.token()).map_err(Failure::local)?;
    let context = Context {
        cloud: cloud.address.clone(),
        ca: cloud.ca.clone(),
        token: cloud.token.clone(),
        namespace: "default".to_owned(),
        core: core.to_owned(),
        function: edge.function.clone(),
        gateway: cloud.gateway.clone(),
        edge_gateway: edge.gateway.clone(),
        edge_ca: read(&local.ca())?,
        edge_token: String::from_utf8_lossy(&token).trim().to_owned(),
    };
    let path = context::path()?;
    let mut contexts = Contexts::load(&path)?;
    contexts.contexts.insert(name.to_owned(), context);
    name.clone_into(&mut contexts.current);
    contexts.store(&path)
}
