//! The memory of processes, once nothing happens any more, and how it is written down.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use baetyl_benches::{Memory, memory};
use baetyl_tests::instances;

/// How long the system is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(5);

/// How often it is read then; the largest counts.
const READINGS: u32 = 5;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Processes by id, with a name for each and its largest memory.
pub(crate) type Processes = BTreeMap<u32, (String, Memory)>;

/// Every process of the site in this folder, with a name for it.
fn processes(folder: &Path) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    let marked = instances(folder);
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has just ended has no command line.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let own = folder.display().to_string();
        if marked.contains(&pid) || words.iter().any(|word| word.contains(&own)) {
            found.push((pid, title(&words)));
        }
    }
    Ok(found)
}

/// The largest memory of each process over some readings, once nothing happens any more.
pub(crate) async fn readings(folder: &Path) -> Result<Processes> {
    tokio::time::sleep(SETTLE).await;
    let mut largest = Processes::new();
    for _ in 0..READINGS {
        for (pid, name) in processes(folder)? {
            // A worker may end between two looks; the services may not, which their count shows.
            let Ok(now) = memory(pid) else {
                continue;
            };
            let known = largest
                .entry(pid)
                .or_insert_with(|| (name, Memory::default()));
            if now.rss > known.1.rss {
                known.1 = now;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(largest)
}

/// What a process is called: the part of `baetyl`, or the program and its first argument.
fn title(words: &[String]) -> String {
    let file = |word: &String| {
        let name = Path::new(word).file_name().map(OsString::from);
        name.unwrap_or_default().to_string_lossy().into_owned()
    };
    let program = words.first().map(file).unwrap_or_default();
    let first = words.get(1).map(file).unwrap_or_default();
    match program.as_str() {
        // What was started by `baetyl` runs the very same file.
        "baetyl" | "exe" => first,
        _ => format!("{program} {first}"),
    }
}

pub(crate) fn of(processes: &Processes, wanted: &str) -> Vec<Memory> {
    let named = processes.values().filter(|(name, _)| name == wanted);
    named.map(|(_, memory)| *memory).collect()
}

/// RSS, PSS and own memory of processes of one kind, summed.
pub(crate) fn figures(all: &[Memory]) -> [String; 3] {
    let sum = |part: fn(&Memory) -> u64| mebibytes(all.iter().map(part).sum());
    let figures = [
        sum(|one| one.rss),
        sum(|one| one.pss),
        sum(|one| one.anonymous),
    ];
    figures.map(|figure| format!("{figure:.1}"))
}

/// A target in mebibytes, and whether the resident memory is below.
pub(crate) fn judged(all: &[Memory], target: f64) -> [String; 2] {
    let rss = mebibytes(all.iter().map(|one| one.rss).sum());
    let is_below = if rss < target { "yes" } else { "no" };
    [format!("{target:.1}"), is_below.to_owned()]
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}
