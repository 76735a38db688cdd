//! The files of a ConfigMap or Secret in a folder, switched all at once as the real kubelet does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::controllers::paths::Paths;
use crate::controllers::room::Volume;

/// The link that is switched; what has a name of its own points through it.
const CURRENT: &str = "..data";

/// A volume as files.
#[derive(Debug)]
pub(super) struct Shown {
    folder: PathBuf,
    volume: Volume,
    /// What stands there now; `None` before the first time.
    entries: Option<BTreeMap<String, String>>,
    number: u64,
}

impl Shown {
    /// A volume that is to be shown in a folder.
    pub(super) fn new(folder: PathBuf, volume: Volume) -> Self {
        Self {
            folder,
            volume,
            entries: None,
            number: 0,
        }
    }

    /// Writes what changed since the last time. Paths in it are those of the container.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn show(&mut self, paths: &Paths) -> io::Result<()> {
        let entries = self.volume.lock().entries.clone();
        if self.entries.as_ref() == Some(&entries) {
            return Ok(());
        }
        // The container may have been started before.
        if self.number == 0 && self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        self.number += 1;
        let version = format!("..{}", self.number);
        let folder = self.folder.join(&version);
        fs::create_dir_all(&folder)?;
        for (path, text) in &entries {
            let file = folder.join(path);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(file, paths.text(text))?;
        }
        let draft = self.folder.join("..draft");
        symlink(&version, &draft)?;
        fs::rename(draft, self.folder.join(CURRENT))?;
        self.link(&entries)?;
        if self.number > 1 {
            let before = self.folder.join(format!("..{}", self.number - 1));
            fs::remove_dir_all(before)?;
        }
        self.entries = Some(entries);
        Ok(())
    }

    /// Makes the names that are missing, and removes those that lead nowhere.
    fn link(&self, entries: &BTreeMap<String, String>) -> io::Result<()> {
        let wanted: BTreeSet<&str> = entries
            .keys()
            .filter_map(|path| path.split('/').next())
            .collect();
        for name in &wanted {
            match symlink(format!("{CURRENT}/{name}"), self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with("..") && !wanted.contains(&*name) {
                fs::remove_file(self.folder.join(&*name))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
