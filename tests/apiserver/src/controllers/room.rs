//! What a container sees: its variables, files, mounts and ports, and where its output goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::paths::Paths;

/// Output of a container that has not been taken yet is cut to this.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// The files of a volume by their path in it; folders are not kept.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Contents by path.
    pub(crate) entries: BTreeMap<String, String>,
    /// Bytes beside the contents.
    pub(crate) filled: u64,
    /// Bytes that it may hold.
    pub(crate) limit: Option<u64>,
}

impl Files {
    /// Whether it holds more than it may.
    pub(crate) fn is_overfull(&self) -> bool {
        self.limit.is_some_and(|limit| self.filled > limit)
    }
}

/// A volume; containers, pods and the kubelet share it.
pub(crate) type Volume = Arc<Mutex<Files>>;

/// A volume in a container.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// Where it appears.
    pub(crate) path: String,
    /// Which part of it; empty for the whole.
    pub(crate) sub_path: String,
    /// Whether it cannot be written there.
    pub(crate) is_read_only: bool,
    /// What is mounted.
    pub(crate) volume: Volume,
}

/// The surroundings of one container.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Environment variables.
    pub(crate) env: BTreeMap<String, String>,
    /// Working folder.
    pub(crate) folder: String,
    /// User id.
    pub(crate) user: i64,
    /// Whether the files of the image cannot be written.
    pub(crate) is_read_only: bool,
    /// Whether the program of the image runs: what it listens at and writes nobody knows.
    pub(crate) is_own_program: bool,
    /// Mounts, the longest paths first.
    pub(crate) mounts: Vec<Mount>,
    /// Ports that are served, with the folder.
    pub(crate) ports: BTreeMap<u16, String>,
    /// The folders on this machine that a real program sees; it sees no others.
    pub(crate) paths: Paths,
    /// Whether a real program runs, whose files are on this machine.
    pub(crate) is_real: bool,
    own: BTreeMap<String, String>,
    output: String,
}

/// The words of the real errors.
const READ_ONLY: &str = "Read-only file system";

impl Room {
    /// A room without mounts.
    pub(crate) fn new(
        env: BTreeMap<String, String>,
        folder: &str,
        user: i64,
        is_read_only: bool,
    ) -> Self {
        Self {
            env,
            folder: folder.to_owned(),
            user,
            is_read_only,
            ..Self::default()
        }
    }

    /// Returns the value of a variable; empty when there is none.
    pub(crate) fn variable(&self, name: &str) -> String {
        self.env.get(name).cloned().unwrap_or_default()
    }

    /// Whether there is such a variable.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.env.contains_key(name)
    }

    /// Mounts a volume.
    pub(crate) fn mount(&mut self, mount: Mount) {
        self.mounts.push(mount);
        self.mounts
            .sort_by_key(|mount| std::cmp::Reverse(mount.path.len()));
    }

    /// Returns the content of a file.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let path = self.absolute(path);
        if self.is_real {
            let bytes = std::fs::read(self.paths.file(&path)?).ok()?;
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        match self.place(&path) {
            Some((mount, inner)) => mount.volume.lock().entries.get(&inner).cloned(),
            None => self.own.get(&path).cloned(),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// The place cannot be written; the sentence is that of the system.
    pub(crate) fn write(
        &mut self,
        path: &str,
        text: &str,
        is_append: bool,
    ) -> Result<(), &'static str> {
        let path = self.absolute(path);
        if path == "/dev/null" {
            return Ok(());
        }
        let put = |entries: &mut BTreeMap<String, String>, path: String| {
            let entry = entries.entry(path).or_default();
            if !is_append {
                entry.clear();
            }
            entry.push_str(text);
        };
        match self.place(&path) {
            Some((mount, _)) if mount.is_read_only => Err(READ_ONLY),
            Some((mount, inner)) => {
                put(&mut mount.volume.lock().entries, inner);
                Ok(())
            }
            None if self.is_read_only => Err(READ_ONLY),
            None => {
                put(&mut self.own, path);
                Ok(())
            }
        }
    }

    /// Writes so many bytes of nothing.
    ///
    /// # Errors
    /// The place cannot be written.
    pub(crate) fn fill(&mut self, path: &str, bytes: u64) -> Result<(), &'static str> {
        self.write(path, "", false)?;
        let path = self.absolute(path);
        if let Some((mount, _)) = self.place(&path) {
            mount.volume.lock().filled += bytes;
        }
        Ok(())
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, path: &str) {
        let path = self.absolute(path);
        match self.place(&path) {
            Some((mount, inner)) if !mount.is_read_only => {
                mount.volume.lock().entries.remove(&inner);
            }
            Some(_) => {}
            None => {
                self.own.remove(&path);
            }
        }
    }

    /// Serves a folder at a port.
    pub(crate) fn listen(&mut self, port: u16, folder: &str) {
        let folder = self.absolute(folder);
        self.ports.insert(port, folder);
    }

    /// What a GET at a port answers; `None` when nobody listens.
    pub(crate) fn answer(&self, port: u16, path: &str) -> Option<u16> {
        let folder = self.ports.get(&port)?;
        let path = path.split('?').next().unwrap_or(path);
        let file = match path.trim_start_matches('/') {
            "" => "index.html",
            file => file,
        };
        let is_there = self.read(&format!("{folder}/{file}")).is_some();
        Some(if is_there { 200 } else { 404 })
    }

    /// Adds to the output.
    pub(crate) fn print(&mut self, text: &str) {
        if self.output.len() + text.len() <= MAX_OUTPUT_BYTES {
            self.output.push_str(text);
        }
    }

    /// Takes the output since the last time.
    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        format!("{}/{path}", self.folder.trim_end_matches('/'))
    }

    /// The mount that a path lies in, and the path in its volume.
    fn place(&self, path: &str) -> Option<(&Mount, String)> {
        self.mounts.iter().find_map(|mount| {
            let inner = path.strip_prefix(mount.path.trim_end_matches('/'))?;
            if !inner.is_empty() && !inner.starts_with('/') {
                return None;
            }
            let inner = format!("{}/{}", mount.sub_path, inner.trim_matches('/'));
            Some((mount, inner.trim_matches('/').to_owned()))
        })
    }
}
