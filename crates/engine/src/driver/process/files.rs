//! Folders of files: written aside, synced, and put in place by one rename.
//!
//! A stable folder is switched as Kubernetes does it, so that programs that know that layout work:
//! the files are links through `..data`, which is replaced by a rename. A reader sees the old
//! files or the new ones, and a watcher of the folder sees `..data` move.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use baetyl_shadow::Digest;

use crate::inputs::Files;

/// The link that is switched.
const DATA: &str = "..data";

/// The link before it takes its place.
const NEXT: &str = "..data_next";

/// Who may read the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody on the node who gets through the folders above.
    Shared,
    /// The user of the applications only.
    Private,
}

impl Access {
    fn file_mode(self) -> u32 {
        match self {
            Self::Shared => 0o644,
            Self::Private => 0o600,
        }
    }

    fn folder_mode(self) -> u32 {
        match self {
            Self::Shared => 0o755,
            Self::Private => 0o700,
        }
    }
}

/// Makes a folder and those above it, for this user only.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Removes a file, link or folder; one that is not there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let removed = if found.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a folder that is named by its content, unless it is there.
pub(super) fn write_content(folder: &Path, files: &Files, access: Access) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = parent_of(folder)?;
    make_private(parent)?;
    let staged = folder.with_extension(format!("staged{:x}", rand::random::<u64>()));
    stage(&staged, files, access)?;
    if let Err(error) = fs::rename(&staged, folder) {
        remove(&staged)?;
        // Somebody else was faster with the same content.
        return if folder.is_dir() { Ok(()) } else { Err(error) };
    }
    sync(parent)
}

/// Whether a stable folder holds this content and shows all of its names: a switch that was cut
/// short may have come as far as the content only.
pub(super) fn is_switched(folder: &Path, digest: &Digest) -> bool {
    let version = version_name(digest);
    let points_there =
        fs::read_link(folder.join(DATA)).is_ok_and(|target| target == Path::new(&version));
    let (Ok(shown), Ok(wanted)) = (visible(folder), visible(&folder.join(&version))) else {
        return false;
    };
    points_there && shown == wanted && wanted.iter().all(|name| is_linked(folder, name))
}

/// Names in a folder that are not for switching.
fn visible(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
    let is_visible = |name: &OsString| !name.as_encoded_bytes().starts_with(b"..");
    names
        .filter(|name| name.as_ref().map_or(true, is_visible))
        .collect()
}

/// Whether a name in a stable folder leads to the content.
fn is_linked(folder: &Path, name: impl AsRef<Path>) -> bool {
    let target = Path::new(DATA).join(&name);
    fs::read_link(folder.join(name)).is_ok_and(|found| found == target)
}

/// Switches a stable folder to other content.
pub(super) fn switch(
    folder: &Path,
    digest: &Digest,
    files: &Files,
    access: Access,
) -> io::Result<()> {
    make_private(folder)?;
    let name = version_name(digest);
    let version = folder.join(&name);
    if !version.is_dir() {
        let staged = folder.join(format!("{name}.staged{:x}", rand::random::<u64>()));
        stage(&staged, files, access)?;
        fs::rename(&staged, &version)?;
    }
    let next = folder.join(NEXT);
    remove(&next)?;
    symlink(&name, &next)?;
    fs::rename(&next, folder.join(DATA))?;
    link_files(folder, files)?;
    sync(folder)?;
    remove_versions(folder, &name)
}

/// Removes what is not linked any more, also what a killed engine left half way.
fn remove_versions(folder: &Path, current: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("..") && name != DATA && name != current {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes the visible names what the content is: new ones appear, gone ones go.
fn link_files(folder: &Path, files: &Files) -> io::Result<()> {
    for name in visible(folder)? {
        let is_wanted = name.to_str().is_some_and(|name| files.contains_key(name));
        if !is_wanted {
            remove(&folder.join(name))?;
        }
    }
    for name in files.keys().filter(|name| !is_linked(folder, name)) {
        let link = folder.join(name);
        remove(&link)?;
        symlink(Path::new(DATA).join(name), &link)?;
    }
    Ok(())
}

/// Names start with `..`, which no key does.
fn version_name(digest: &Digest) -> String {
    let text = digest.to_string();
    let hex = text.strip_prefix("sha256:").unwrap_or(&text);
    format!("..{}", &hex[..hex.len().min(32)])
}

/// Writes all files into a new folder, durably.
fn stage(folder: &Path, files: &Files, access: Access) -> io::Result<()> {
    fs::DirBuilder::new()
        .mode(access.folder_mode())
        .create(folder)?;
    for (name, content) in files {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(access.file_mode())
            .open(folder.join(name))?;
        file.write_all(content)?;
        file.sync_all()?;
    }
    sync(folder)
}

/// Writes one private file, replacing what was there.
pub(super) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    make_private(parent_of(path)?)?;
    let staged = path.with_extension(format!("staged{:x}", rand::random::<u64>()));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    file.write_all(content)?;
    fs::rename(&staged, path)
}

/// Lets a file be executed.
pub(super) fn make_executable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests;
