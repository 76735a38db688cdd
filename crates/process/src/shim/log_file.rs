//! Writes captured output into numbered files under a cap.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::LogCaps;
use crate::logs::{file_name, file_numbers};

/// Gathered before it is written, so that a flood of short lines costs few calls.
const GATHERED: usize = 64 << 10;

/// The log of one instance.
///
/// Never fails: what cannot be written, for a full disk mostly, is dropped and counted,
/// and writing goes on as soon as there is room again.
#[derive(Debug)]
pub(crate) struct LogFile {
    folder: PathBuf,
    caps: LogCaps,
    number: u64,
    file: Option<File>,
    /// Bytes of whole records in the file.
    written: u64,
    gathered: Vec<u8>,
    dropped_bytes: u64,
}

impl LogFile {
    /// A log that begins with its first record.
    pub(crate) fn new(folder: PathBuf, caps: LogCaps) -> Self {
        Self {
            folder,
            caps,
            number: 0,
            file: None,
            written: 0,
            gathered: Vec::with_capacity(GATHERED),
            dropped_bytes: 0,
        }
    }

    /// Takes one whole record.
    pub(crate) fn append(&mut self, record: &[u8]) {
        let size = self.written + (self.gathered.len() + record.len()) as u64;
        if size > self.caps.max_bytes {
            self.flush();
            self.file = None;
            self.written = 0;
        }
        if self.gathered.len() + record.len() > GATHERED {
            self.flush();
        }
        self.gathered.extend_from_slice(record);
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        match self.write_gathered() {
            Ok(()) => self.written += self.gathered.len() as u64,
            Err(_) => self.dropped_bytes += self.gathered.len() as u64,
        }
        self.gathered.clear();
    }

    pub(crate) fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.next_file()?,
        };
        let written = file.write_all(&self.gathered);
        if written.is_err() {
            // What was written in part would be a torn record.
            file.set_len(self.written)?;
        }
        self.file = Some(file);
        written
    }

    /// Removes what is too much before it creates, so that the cap always holds.
    fn next_file(&mut self) -> io::Result<File> {
        self.written = 0;
        fs::create_dir_all(&self.folder)?;
        let numbers = file_numbers(&self.folder)?;
        let kept = usize::try_from(self.caps.files)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        for number in &numbers[..numbers.len().saturating_sub(kept)] {
            fs::remove_file(self.folder.join(file_name(*number)))?;
        }
        let number = numbers.last().copied().unwrap_or(0).max(self.number) + 1;
        // Appending keeps the position right after a file was cut back.
        let path = self.folder.join(file_name(number));
        let file = File::options().append(true).create_new(true).open(path)?;
        self.number = number;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
