//! Reads the numbered files of one log folder, in order, while they are written.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::lines::MAX_TEXT;
use super::record::{LogRecord, MAX_OVERHEAD, decode};

/// Read at once; several of the longest records, so that one always fits.
const BLOCK: usize = 64 << 10;
const _: () = assert!(BLOCK > 2 * (MAX_TEXT + MAX_OVERHEAD));

/// Name of the file with this number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:010}.log")
}

/// Numbers of the files that exist, lowest first; none when the folder is missing.
pub(crate) fn file_numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What one step of reading gave.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) records: Vec<LogRecord>,
    /// Nothing more exists at the moment.
    pub(crate) at_end: bool,
}

/// A position in the log.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    current: Option<Current>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: File,
    offset: u64,
    /// A later file was seen, so this one is complete.
    is_complete: bool,
}

impl Reader {
    /// Stands at the oldest record, or before the last `tail` ones.
    pub(crate) fn open(folder: &Path, tail: Option<u64>) -> io::Result<Self> {
        let mut reader = Self {
            folder: folder.to_owned(),
            current: None,
            buffer: Vec::new(),
        };
        let Some(mut missing) = tail else {
            return Ok(reader);
        };
        for number in file_numbers(folder)?.into_iter().rev() {
            let Some(file) = open_if_exists(&folder.join(file_name(number)))? else {
                break;
            };
            let (offset, found) = offset_of_tail(&file, missing)?;
            reader.current = Some(Current {
                number,
                file,
                offset,
                is_complete: false,
            });
            missing -= found;
            if missing == 0 {
                break;
            }
        }
        Ok(reader)
    }

    /// Reads on by one block.
    pub(crate) fn next_batch(&mut self) -> io::Result<Batch> {
        loop {
            if let Some(current) = &mut self.current {
                let records = current.read(&mut self.buffer)?;
                if !records.is_empty() {
                    return Ok(Batch {
                        records,
                        at_end: false,
                    });
                }
            }
            if !self.advance()? {
                return Ok(Batch {
                    records: Vec::new(),
                    at_end: true,
                });
            }
        }
    }

    /// At the end of a file: finds out whether it is complete, or goes to the next
    /// one. False when there is nothing to go to.
    fn advance(&mut self) -> io::Result<bool> {
        let last = self.current.as_ref().map(|current| current.number);
        let later: Vec<u64> = file_numbers(&self.folder)?
            .into_iter()
            .filter(|number| last.is_none_or(|last| *number > last))
            .collect();
        if later.is_empty() {
            return Ok(false);
        }
        if let Some(current) = &mut self.current
            && !current.is_complete
        {
            // More may have been written between the last look and the rotation.
            current.is_complete = true;
            return Ok(true);
        }
        for number in later {
            // One that is removed at this moment is skipped.
            if let Some(file) = open_if_exists(&self.folder.join(file_name(number)))? {
                self.current = Some(Current {
                    number,
                    file,
                    offset: 0,
                    is_complete: false,
                });
                return Ok(true);
            }
        }
        // All of them were removed since they were listed; there are later ones.
        Ok(true)
    }
}

impl Current {
    /// Whole records only; one that is being written is left for the next time.
    fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Vec<LogRecord>> {
        loop {
            buffer.resize(BLOCK, 0);
            let length = read_block(&self.file, buffer, self.offset)?;
            let block = &buffer[..length];
            let Some(last) = block.iter().rposition(|byte| *byte == b'\n') else {
                if length == BLOCK {
                    // No record is that long: damage, to be stepped over.
                    self.offset += length as u64;
                    continue;
                }
                return Ok(Vec::new());
            };
            self.offset += last as u64 + 1;
            let records: Vec<_> = block[..last]
                .split(|byte| *byte == b'\n')
                .filter_map(decode)
                .collect();
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }
}

fn open_if_exists(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fills the block as far as the file goes.
fn read_block(file: &File, block: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where the last `wanted` records begin, and how many (at most `wanted`) those are.
fn offset_of_tail(file: &File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    if wanted == 0 {
        return Ok((end_of_records(file, size)?, 0));
    }
    let mut block = vec![0; BLOCK];
    let mut position = size;
    let mut line_feeds = 0;
    while position > 0 {
        let start = position.saturating_sub(BLOCK as u64);
        let length = usize::try_from(position - start).unwrap_or(BLOCK);
        let length = read_block(file, &mut block[..length], start)?;
        for index in (0..length).rev().filter(|index| block[*index] == b'\n') {
            // The feed before the first wanted record, so one more than wanted.
            if line_feeds == wanted {
                return Ok((start + index as u64 + 1, wanted));
            }
            line_feeds += 1;
        }
        position = start;
    }
    Ok((0, line_feeds))
}

/// The end of the last whole record.
fn end_of_records(file: &File, size: u64) -> io::Result<u64> {
    let start = size.saturating_sub(BLOCK as u64);
    let mut block = vec![0; usize::try_from(size - start).unwrap_or(BLOCK)];
    let length = read_block(file, &mut block, start)?;
    let last = block[..length].iter().rposition(|byte| *byte == b'\n');
    Ok(last.map_or(start, |last| start + last as u64 + 1))
}

#[cfg(test)]
mod tests;
