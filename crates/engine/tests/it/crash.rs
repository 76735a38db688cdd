//! The engine is killed at every named place and started again: nothing is lost, nothing is left
//! over, and what was healthy is not touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use baetyl_engine::crash::POINTS;

use crate::rig::{built, home_processes, kill};

/// How often each place is passed before the kill.
const COUNTS: [u32; 2] = [1, 2];

struct Site {
    root: tempfile::TempDir,
}

/// Pids by application and revision.
type Running = BTreeMap<(String, u64), u32>;

impl Site {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn run(&self, generation: u64, crash_at: Option<&str>) -> Output {
        let mut command = Command::new(built("engine-host"));
        command
            .arg(self.root.path())
            .arg(generation.to_string())
            .env_remove("BAETYL_CRASH_POINT");
        if let Some(point) = crash_at {
            command.env("BAETYL_CRASH_POINT", point);
        }
        command.output().unwrap()
    }

    fn converge(&self, generation: u64) -> Result<Running, String> {
        let output = self.run(generation, None);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let name = words.next()?.to_owned();
            let revision = words.next()?.parse().ok()?;
            Some(((name, revision), words.next()?.parse().ok()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// Converges, is killed on the way to the next generation, and converges again.
    fn survive(&self, crash_at: &str) -> Result<bool, String> {
        let before = self.converge(1)?;
        let bystander = ("bystander".to_owned(), 1);

        let was_killed = self.run(2, Some(crash_at)).status.signal() == Some(9);

        let after = self.converge(2)?;
        let expected = [bystander.clone(), ("watcher".to_owned(), 2)];
        if !after.keys().eq(expected.iter()) {
            return Err(format!("runs {after:?}"));
        }
        if before.get(&bystander) != after.get(&bystander) {
            return Err("the bystander was restarted".to_owned());
        }
        let mut pids: Vec<u32> = after.values().copied().collect();
        pids.sort_unstable();
        let mut live = home_processes(&self.data());
        live.sort_unstable();
        if live != pids {
            return Err(format!("{live:?} live, {pids:?} are known"));
        }
        self.check_files()?;
        Ok(was_killed)
    }

    /// The bystander sees the new file, and no instance has folders without being known.
    fn check_files(&self) -> Result<(), String> {
        let names = |path: &Path| -> Vec<String> {
            let entries = fs::read_dir(path).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let instances = names(&self.data().join("instances"));
        let bystander = instances.iter().find(|name| name.starts_with("bystander"));
        let root = self
            .data()
            .join("instances")
            .join(bystander.unwrap())
            .join("root");
        let seen = fs::read_to_string(root.join("etc/files/generation")).unwrap();
        if seen != "2" {
            return Err(format!("the bystander sees generation {seen}"));
        }
        let mut known: Vec<String> = Vec::new();
        for file in names(&self.root.path().join("records")) {
            let text = fs::read(self.root.path().join("records").join(file)).unwrap();
            let record = baetyl_engine::AppRecord::decode(&text).unwrap();
            let slots = record.releases().flat_map(|release| &release.slots);
            known.extend(slots.filter_map(|slot| Some(slot.instance.as_ref()?.to_string())));
            known.extend(record.past.iter().map(|past| past.id.to_string()));
        }
        let unknown: Vec<&String> = instances
            .iter()
            .filter(|one| !known.contains(one))
            .collect();
        if !unknown.is_empty() {
            return Err(format!("{unknown:?} are left over"));
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for pid in home_processes(&self.data()) {
            kill(pid);
        }
    }
}

#[test]
fn when_the_engine_is_killed_anywhere_then_the_next_one_makes_it_right() {
    let rows: Vec<String> = POINTS
        .iter()
        .flat_map(|point| COUNTS.iter().map(move |count| format!("{point}:{count}")))
        .collect();
    let survive = |rows: &[String]| {
        let survive = |row: &String| (row.clone(), Site::new().survive(row));
        rows.iter().map(survive).collect::<Vec<_>>()
    };
    let (one, other) = rows.split_at(rows.len() / 2);
    let outcomes = thread::scope(|scope| {
        let other = scope.spawn(|| survive(other));
        let mut outcomes = survive(one);
        outcomes.extend(other.join().unwrap());
        outcomes
    });

    let failures: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.is_err())
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    // Every place was reached: without the feature this would prove nothing.
    for point in POINTS {
        let first = format!("{point}:1");
        let killed = outcomes.iter().find(|(row, _)| *row == first);
        assert!(
            matches!(killed, Some((_, Ok(true)))),
            "{point} was not reached"
        );
    }
}
