//! Copies the two outputs of a program into its log.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ChildStderr, ChildStdout};
use std::time::SystemTime;

use crate::logs::{Lines, Output, encode};
use crate::shim::log_file::LogFile;

/// Read at once from each output, so that neither starves the other.
const CHUNK: usize = 64 << 10;

/// What a pipe may still hold after the last process is gone (its default capacity).
const LAST_CHUNKS: usize = 2;

/// Both outputs and the log that they share.
pub(crate) struct Outputs {
    log: LogFile,
    stdout: Source<ChildStdout>,
    stderr: Source<ChildStderr>,
    chunk: Vec<u8>,
    record: Vec<u8>,
}

struct Source<R> {
    output: Output,
    pipe: Option<R>,
    lines: Lines,
}

impl Outputs {
    /// Takes over the pipes, which from here on never block.
    pub(crate) fn new(
        log: LogFile,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> Self {
        let stdout = Source {
            output: Output::Stdout,
            pipe: stdout,
            lines: Lines::default(),
        };
        let stderr = Source {
            output: Output::Stderr,
            pipe: stderr,
            lines: Lines::default(),
        };
        for pipe in [stdout.descriptor(), stderr.descriptor()]
            .into_iter()
            .flatten()
        {
            // Cannot fail for a pipe; if it did, the copying would only wait longer.
            let _ = rustix::io::ioctl_fionbio(pipe, true);
        }
        Self {
            log,
            stdout,
            stderr,
            chunk: vec![0; CHUNK],
            record: Vec::new(),
        }
    }

    /// Both ends are closed, so nothing can come any more.
    pub(crate) fn are_closed(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// The pipes that are open.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.stdout.descriptor(), self.stderr.descriptor()]
            .into_iter()
            .flatten()
    }

    /// Copies what is there, at most one chunk of each.
    pub(crate) fn copy(&mut self) {
        self.stdout
            .copy(&mut self.chunk, &mut self.record, &mut self.log);
        self.stderr
            .copy(&mut self.chunk, &mut self.record, &mut self.log);
        self.log.flush();
    }

    /// Copies what is left, with lines that were never ended.
    pub(crate) fn finish(&mut self) {
        for _ in 0..LAST_CHUNKS {
            self.copy();
        }
        self.stdout.finish(&mut self.record, &mut self.log);
        self.stderr.finish(&mut self.record, &mut self.log);
        self.log.flush();
    }

    pub(crate) fn dropped_bytes(&self) -> u64 {
        self.log.dropped_bytes()
    }
}

impl<R: Read + AsFd> Source<R> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    fn copy(&mut self, chunk: &mut [u8], record: &mut Vec<u8>, log: &mut LogFile) {
        let Some(pipe) = &mut self.pipe else {
            return;
        };
        match pipe.read(chunk) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let now = SystemTime::now();
                self.lines.push(&chunk[..count], |text, is_partial| {
                    append(log, record, (now, self.output), text, is_partial);
                });
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.pipe = None,
        }
    }

    fn finish(&mut self, record: &mut Vec<u8>, log: &mut LogFile) {
        let stamp = (SystemTime::now(), self.output);
        self.lines
            .finish(|text, is_partial| append(log, record, stamp, text, is_partial));
    }
}

fn append(
    log: &mut LogFile,
    record: &mut Vec<u8>,
    (time, output): (SystemTime, Output),
    text: &[u8],
    is_partial: bool,
) {
    record.clear();
    encode(time, output, text, is_partial, record);
    log.append(record);
}
