//! One record of captured output, and how it is written.
//!
//! `<nanoseconds since 1970> <o|e|O|E> <text>\n`: `o` is standard output, `e` standard
//! error; a capital says that the line goes on in the next record of the same output.
//! The text is kept byte for byte and never holds a line feed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// When the shim read it, to the nanosecond.
    pub time: SystemTime,
    /// Where it was written.
    pub output: Output,
    /// Without line feed, at most 16 KiB; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// The line goes on in the next record of this output.
    pub is_partial: bool,
}

/// Most bytes that a record adds to its text: 20 digits, two blanks, marker, line feed.
pub(crate) const MAX_OVERHEAD: usize = 24;

/// Appends a record; `text` must hold no line feed.
pub(crate) fn encode(
    time: SystemTime,
    output: Output,
    text: &[u8],
    is_partial: bool,
    buffer: &mut Vec<u8>,
) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let marker = match (output, is_partial) {
        (Output::Stdout, false) => 'o',
        (Output::Stdout, true) => 'O',
        (Output::Stderr, false) => 'e',
        (Output::Stderr, true) => 'E',
    };
    buffer.extend_from_slice(format!("{nanoseconds} {marker} ").as_bytes());
    buffer.extend_from_slice(text);
    buffer.push(b'\n');
}

/// Reads a record without its line feed; `None` when it is none, as after a loss of
/// power in the middle of writing.
pub(crate) fn decode(line: &[u8]) -> Option<LogRecord> {
    let blank = line.iter().position(|byte| *byte == b' ')?;
    let nanoseconds = std::str::from_utf8(&line[..blank]).ok()?.parse().ok()?;
    let (output, is_partial) = match line.get(blank + 1)? {
        b'o' => (Output::Stdout, false),
        b'O' => (Output::Stdout, true),
        b'e' => (Output::Stderr, false),
        b'E' => (Output::Stderr, true),
        _ => return None,
    };
    let text = line.get(blank + 2..)?.strip_prefix(b" ")?;
    Some(LogRecord {
        time: UNIX_EPOCH.checked_add(Duration::from_nanos(nanoseconds))?,
        output,
        text: String::from_utf8_lossy(text).into_owned(),
        is_partial,
    })
}

#[cfg(test)]
mod tests;
