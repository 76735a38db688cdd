//! Finds processes by the marker in their environment.

use std::path::Path;

/// Process ids whose environment says that they belong to a node with its data below `folder`,
/// zombies aside.
#[must_use]
pub fn instances(folder: &Path) -> Vec<u32> {
    let needle = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|pair| {
            pair.starts_with(b"BAETYL_INSTANCE=") || pair.starts_with(b"BAETYL_WORKER=")
        });
        let environment = String::from_utf8_lossy(&environment);
        if marked && environment.contains(&needle) && !is_zombie(&entry.path()) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    found
}

fn is_zombie(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_none_or(|rest| rest.starts_with('Z') || rest.starts_with('X'))
}
