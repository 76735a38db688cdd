//! Lines of a log with a bound: a longer one comes in pieces, each with the line's time.

use std::io;

use futures::{AsyncBufRead, AsyncBufReadExt};

/// The longest text of one piece.
const MAX_TEXT: usize = 16 * 1024;

/// The shortest time of a line, with its blank: a longer one leaves less for the text.
const SHORTEST_TIME: usize = 21;

/// The longest that may stand before the first blank and be a time.
const LONGEST_TIME: usize = 64;

/// Splits what a reader gives into lines.
pub(super) struct Pieces<R> {
    reader: R,
    /// The time of the line that goes on, with its blank; empty at the start of a line.
    head: Vec<u8>,
}

impl<R: AsyncBufRead + Send + Unpin> Pieces<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            head: Vec::new(),
        }
    }

    /// The next line without its end, or the next piece of it; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        let mut piece = self.head.clone();
        loop {
            let goes_on = !self.head.is_empty();
            let most = MAX_TEXT
                + if goes_on {
                    self.head.len()
                } else {
                    SHORTEST_TIME
                };
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                let is_empty = piece.len() == self.head.len();
                self.head.clear();
                return Ok((!is_empty).then(|| text(piece)));
            }
            let room = most - piece.len();
            let end = buffer.iter().take(room).position(|byte| *byte == b'\n');
            let taken = end.unwrap_or_else(|| buffer.len().min(room));
            piece.extend_from_slice(&buffer[..taken]);
            if end.is_some() {
                self.reader.consume_unpin(taken + 1);
                let is_over = goes_on && piece.len() == self.head.len();
                self.head.clear();
                if is_over {
                    // The line was as long as its pieces.
                    piece.clear();
                    continue;
                }
                return Ok(Some(text(piece)));
            }
            self.reader.consume_unpin(taken);
            if piece.len() == most {
                if !goes_on {
                    let blank = piece
                        .iter()
                        .take(LONGEST_TIME)
                        .position(|byte| *byte == b' ');
                    self.head = piece[..blank.map_or(0, |blank| blank + 1)].to_vec();
                }
                return Ok(Some(text(piece)));
            }
        }
    }
}

fn text(mut piece: Vec<u8>) -> String {
    if piece.last() == Some(&b'\r') {
        piece.pop();
    }
    String::from_utf8(piece)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
