//! Cuts a stream of bytes into lines of bounded length.

/// Longest text of one piece, 16 KiB.
pub(crate) const MAX_TEXT: usize = 16 << 10;

/// The unfinished line of one output.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes bytes and gives every piece that they finish, with whether its line
    /// goes on in the next piece.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut give: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = MAX_TEXT - self.rest.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
                let taken = window.len().min(room);
                self.rest.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                // Only more bytes tell whether the line ends right here.
                if self.rest.len() == MAX_TEXT && !bytes.is_empty() {
                    give(&self.rest, true);
                    self.rest.clear();
                }
                continue;
            };
            if self.rest.is_empty() {
                give(&bytes[..end], false);
            } else {
                self.rest.extend_from_slice(&bytes[..end]);
                give(&self.rest, false);
                self.rest.clear();
            }
            bytes = &bytes[end + 1..];
        }
    }

    /// Gives what is left without a line feed.
    pub(crate) fn finish(&mut self, give: impl FnOnce(&[u8], bool)) {
        if !self.rest.is_empty() {
            give(&self.rest, false);
            self.rest.clear();
        }
    }
}

#[cfg(test)]
mod tests;
