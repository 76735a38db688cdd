//! Finds processes by the marker in their environment.

use std::path::Path;

/// Process ids whose environment says that they belong to a node with its data below `folder`.
/// Zombies aside, and the commands of probes, which come and go every second.
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
        let has = |start: &[u8]| {
            let mut pairs = environment.split(|byte| *byte == 0);
            pairs.any(|pair| pair.starts_with(start))
        };
        let is_marked = has(b"BAETYL_INSTANCE=") || has(b"BAETYL_WORKER=");
        let is_probe = has(b"BAETYL_WORKER=probe-");
        let is_below = String::from_utf8_lossy(&environment).contains(&needle);
        if is_marked && !is_probe && is_below && !is_zombie(&entry.path()) {
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
