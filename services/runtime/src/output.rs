//! What user code prints: taken without ever holding it up, written out line by line.
//!
//! Lines wait in a queue with a cap; a function that prints faster than lines can be written loses
//! some, and a line says how many.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baetyl_model::runtime_config::{INVOCATION_MARK, mark_invocation};
use tokio::sync::mpsc;

use crate::metrics;

#[cfg(test)]
mod tests;

/// Lines that may wait; with their longest they are 8 MiB.
const MAX_WAITING_LINES: usize = 512;

/// Longer lines are cut into pieces.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Lines that are written at once.
const BATCH: usize = 128;

/// Longest invocation id; see `split_invocation`.
const MAX_INVOCATION_BYTES: usize = 128;

/// Where a line was printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes the captured lines of all workers.
pub trait LineSink: Send + 'static {
    /// Writes whole lines, each with its line feed. May block; a failure loses them.
    ///
    /// # Errors
    /// Why they could not be written.
    fn write(&mut self, stream: Stream, lines: &[u8]) -> io::Result<()>;
}

/// Writes to the standard streams of this process, where the engine captures them.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandardStreams;

impl LineSink for StandardStreams {
    fn write(&mut self, stream: Stream, lines: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Stream::Stderr => io::stderr().lock().write_all(lines),
        }
    }
}

/// The end that takes lines; clones share the queue.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    queue: mpsc::Sender<(Stream, String)>,
    dropped: Arc<AtomicU64>,
}

/// The end that writes them; to be run as a task.
pub(crate) struct Writer {
    queue: mpsc::Receiver<(Stream, String)>,
    dropped: Arc<AtomicU64>,
    sink: Box<dyn LineSink>,
}

/// Creates the two ends.
pub(crate) fn channel(sink: Box<dyn LineSink>) -> (Output, Writer) {
    let (sender, queue) = mpsc::channel(MAX_WAITING_LINES);
    let dropped = Arc::new(AtomicU64::new(0));
    let output = Output {
        queue: sender,
        dropped: dropped.clone(),
    };
    let writer = Writer {
        queue,
        dropped,
        sink,
    };
    (output, writer)
}

impl Output {
    /// Takes lines, joined by line feeds, of an invocation or of none.
    pub(crate) fn lines(&self, stream: Stream, invocation: Option<&str>, text: &str) {
        for line in text.split('\n') {
            for piece in pieces(line) {
                let marked = marked(invocation, piece);
                if self.queue.try_send((stream, marked)).is_err() {
                    self.dropped(1);
                }
            }
        }
    }

    /// Counts lines that were lost before they came here.
    pub(crate) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        metrics::LINES_DROPPED.add(count, &[]);
    }
}

/// An id that can be written into a mark, as the worker gave it.
pub(crate) fn checked_invocation(id: &[u8]) -> Option<&str> {
    let id = std::str::from_utf8(id).ok()?;
    let is_good = !id.is_empty()
        && id.len() <= MAX_INVOCATION_BYTES
        && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_good.then_some(id)
}

fn marked(invocation: Option<&str>, text: &str) -> String {
    match invocation {
        Some(id) => mark_invocation(id, text),
        // Text that looks marked must not pass for somebody else's: it gets an empty mark.
        None if text.starts_with(INVOCATION_MARK) => mark_invocation("", text),
        None => text.to_owned(),
    }
}

/// Cuts a line into pieces of bounded length, at characters. An empty line is one empty piece.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.floor_char_boundary(MAX_LINE_BYTES);
        let (piece, after) = text.split_at(end);
        rest = (!after.is_empty()).then_some(after);
        Some(piece)
    })
}

impl Writer {
    /// Writes until every [`Output`] is gone.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let text = format!("{dropped} lines of output were dropped");
                batch.push((Stream::Stderr, text));
            }
            let lines = std::mem::take(&mut batch);
            let mut sink = self.sink;
            let written = tokio::task::spawn_blocking(move || {
                let written = write_all(&mut *sink, &lines);
                (sink, written)
            });
            let Ok((sink, written)) = written.await else {
                // The runtime is ending, or the sink panicked: there is nowhere to write to.
                return;
            };
            self.sink = sink;
            if let Err(error) = written {
                tracing::debug!(error = %error, "captured output was not written");
            }
        }
    }
}

/// Writes runs of lines of the same stream at once.
fn write_all(sink: &mut dyn LineSink, lines: &[(Stream, String)]) -> io::Result<()> {
    for run in lines.chunk_by(|one, next| one.0 == next.0) {
        let mut text = String::new();
        for (_, line) in run {
            text.push_str(line);
            text.push('\n');
        }
        sink.write(run[0].0, text.as_bytes())?;
    }
    Ok(())
}
