//! What the watcher of `examples/` has taken: it appends a line with the time to `taken.log`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::time::Instant;

/// How long a change may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the file is looked at. The time is in the line, so this adds nothing to it.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Reads the file of one watcher, line by line.
#[derive(Debug)]
pub struct Taken {
    file: BufReader<File>,
    /// The beginning of a line that is still being written.
    line: String,
}

impl Taken {
    /// Opens the file in the working folder of a watcher's process; lines that are there are read
    /// first.
    ///
    /// # Errors
    /// There is no such process, or it is no watcher.
    pub fn open(pid: u32) -> Result<Self> {
        let path = PathBuf::from(format!("/proc/{pid}/cwd/taken.log"));
        let file = File::open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            file: BufReader::new(file),
            line: String::new(),
        })
    }

    /// Waits until limits were taken that have this value under `key`, and says when that was, as
    /// time since 1970.
    ///
    /// # Errors
    /// They are not taken within a minute, or a line is none of the watcher's.
    pub async fn wait(&mut self, key: &str, value: u64) -> Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some((limits, time)) = self.next()? {
                if limits[key] == value {
                    return Ok(time);
                }
            }
            ensure!(
                Instant::now() < deadline,
                "{key} {value} is not taken within {PATIENCE:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The next whole line: limits and time.
    fn next(&mut self) -> Result<Option<(Value, Duration)>> {
        self.file.read_line(&mut self.line)?;
        if !self.line.ends_with('\n') {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let mut taken: Value = serde_json::from_str(&line)?;
        let nanos = taken["unix_nanos"].as_u64();
        let nanos = nanos.with_context(|| format!("no time in {line:?}"))?;
        Ok(Some((taken["limits"].take(), Duration::from_nanos(nanos))))
    }
}
