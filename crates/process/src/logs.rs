//! Captured output of an instance: reading it, from the past or as it comes.
//!
//! The shim writes numbered files; the highest number is being written, the lowest is
//! removed when there are too many. A reader keeps its file open, and goes to the next
//! number only after it has read everything of a file that is no longer written, so
//! rotation loses and repeats nothing. Only a reader that falls behind by the whole
//! cap misses the files that were removed.

mod lines;
mod reader;
mod record;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::Error;
use reader::{Batch, Reader};

pub(crate) use lines::Lines;
pub(crate) use reader::{file_name, file_numbers};
pub(crate) use record::encode;
pub use record::{LogRecord, Output};

/// How often a follower looks for more.
const FOLLOW_PERIOD: Duration = Duration::from_millis(200);

/// Which records to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// At most this many of the records that exist; those that come later are not counted.
    pub tail_lines: Option<u64>,
    /// Nothing written before.
    pub since: Option<SystemTime>,
    /// Goes on with what is written later, until the instance has ended.
    pub follow: bool,
    /// Ends before the record with which the texts would exceed this many bytes.
    pub limit_bytes: Option<u64>,
}

/// Reads the output kept in an instance's folder, oldest first.
///
/// Ends at the end of what exists, or, when following, when the instance has ended and
/// everything was read, or its folder was removed. An error ends the stream. Dropping
/// the stream is always safe.
pub fn read(folder: &Path, query: LogQuery) -> BoxStream<'static, Result<LogRecord, Error>> {
    let follower = Follower {
        folder: folder.to_owned(),
        budget: query.limit_bytes,
        query,
        reader: None,
        has_ended: false,
    };
    stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next_records().await {
            Ok(Some(records)) => {
                let items: Vec<_> = records.into_iter().map(Ok).collect();
                Some((stream::iter(items), Some(follower)))
            }
            Ok(None) => None,
            Err(error) => Some((stream::iter(vec![Err(error)]), None)),
        }
    })
    .flatten()
    .boxed()
}

struct Follower {
    folder: PathBuf,
    query: LogQuery,
    budget: Option<u64>,
    reader: Option<Reader>,
    /// The shim was gone before the last look, so that look saw everything.
    has_ended: bool,
}

impl Follower {
    async fn next_records(&mut self) -> Result<Option<Vec<LogRecord>>, Error> {
        if self.budget == Some(0) {
            return Ok(None);
        }
        loop {
            let Batch { records, at_end } = self.next_batch().await?;
            if !records.is_empty() {
                return Ok(Some(self.within_limits(records)));
            }
            if !at_end {
                continue;
            }
            if !self.query.follow || self.has_ended {
                return Ok(None);
            }
            self.has_ended = !crate::folder::is_locked(&self.folder)
                .map_err(Error::io("look at the lock of", &self.folder))?;
            if !self.has_ended {
                tokio::time::sleep(FOLLOW_PERIOD).await;
            }
        }
    }

    async fn next_batch(&mut self) -> Result<Batch, Error> {
        let folder = crate::folder::log_folder(&self.folder);
        let failed = Error::io("read", &folder);
        let tail = self.query.tail_lines;
        // Taken out and put back: a cancelled read leaves no reader, and the stream
        // that owned it is gone with it.
        let reader = self.reader.take();
        let task = tokio::task::spawn_blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => Reader::open(&folder, tail)?,
            };
            let batch = reader.next_batch()?;
            Ok((reader, batch))
        });
        let (reader, batch) = task
            .await
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(failed)?;
        self.reader = Some(reader);
        Ok(batch)
    }

    fn within_limits(&mut self, records: Vec<LogRecord>) -> Vec<LogRecord> {
        let mut kept = Vec::with_capacity(records.len());
        for record in records {
            if self.query.since.is_some_and(|since| record.time < since) {
                continue;
            }
            let size = record.text.len() as u64;
            match &mut self.budget {
                Some(left) if *left < size => {
                    self.budget = Some(0);
                    break;
                }
                Some(left) => *left -= size,
                None => {}
            }
            kept.push(record);
        }
        kept
    }
}
