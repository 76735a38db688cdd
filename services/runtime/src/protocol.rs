//! Frames between the host and a worker, over a Unix socket.
//!
//! A frame is the length of what follows (`u32`), a kind (`u8`) and a body; numbers are
//! big-endian, texts UTF-8. The host listens, the worker connects, one call runs at a time.
//!
//! | kind | from | name | body |
//! |---|---|---|---|
//! | `01` | host | load | JSON: `codeFolder`, `maxPayload`, `functions` of `name` and `handler` |
//! | `02` | host | call | call `u64`, length of the header `u32`, header as JSON, payload |
//! | `03` | host | cancel | call `u64` |
//! | `11` | worker | hello | JSON: `protocol`, `runtime`, `version`; the first frame |
//! | `12` | worker | loaded | JSON, empty so far |
//! | `13` | worker | load error | JSON: `function`, `type`, `message`, `stack` |
//! | `14` | worker | result | call `u64`, microseconds `u64`, payload; ends the call |
//! | `15` | worker | chunk | call `u64`, one yielded value |
//! | `16` | worker | error | call `u64`, microseconds `u64`, JSON: `kind`, `type`, `message`, `stack`; ends the call |
//! | `17` | worker | log | stream `u8` (1 or 2), length of the invocation id `u8`, the id, lines |
//! | `18` | worker | dropped | lines of output that the worker dropped `u64` |
//!
//! The header of a call: `function` (its place in load), `stream`, `timeoutMs`, and `context`, the
//! metadata for the handler. Kinds of errors: `raised`, `not_encodable`, `too_large`, `cancelled`.
//! A worker ends when its socket does.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use crate::output::Stream;
use crate::settings::MAX_PAYLOAD_BYTES;

#[cfg(test)]
mod tests;

/// Version of these frames.
pub(crate) const VERSION: u32 = 1;

/// Largest frame: a payload, or an error whose texts JSON has escaped.
const MAX_FRAME_BYTES: usize = MAX_PAYLOAD_BYTES + 256 * 1024;

const LOAD: u8 = 0x01;
const CALL: u8 = 0x02;
const CANCEL: u8 = 0x03;

/// A frame of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Hello(Hello),
    Loaded,
    LoadError(WorkerError),
    Result {
        call: u64,
        run_us: u64,
        payload: Bytes,
    },
    Chunk {
        call: u64,
        data: Bytes,
    },
    Error {
        call: u64,
        run_us: u64,
        error: WorkerError,
    },
    Log {
        stream: Stream,
        invocation: Bytes,
        lines: Bytes,
    },
    Dropped(u64),
}

/// Who a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) version: String,
}

/// An error in the user's language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerError {
    pub(crate) kind: ErrorKind,
    pub(crate) function: String,
    pub(crate) r#type: String,
    pub(crate) message: String,
    pub(crate) stack: String,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorKind {
    /// The user's code raised.
    #[default]
    Raised,
    /// The answer has no JSON form.
    NotEncodable,
    /// The answer is too large.
    TooLarge,
    /// The call was cancelled.
    Cancelled,
}

/// A worker that does not keep to the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("frame {kind:#04x} of a worker {problem}")]
pub(crate) struct ProtocolError {
    pub(crate) kind: u8,
    pub(crate) problem: &'static str,
}

/// The codec that finds frames in the stream.
pub(crate) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME_BYTES)
        .new_codec()
}

/// Reads a frame, without its length.
///
/// # Errors
/// It is of no known kind, or its body is not what the kind says.
pub(crate) fn decode(mut frame: Bytes) -> Result<Frame, ProtocolError> {
    if frame.is_empty() {
        return Err(ProtocolError {
            kind: 0,
            problem: "is empty",
        });
    }
    let kind = frame.get_u8();
    let wrong = |problem| ProtocolError { kind, problem };
    let mut number = || {
        let is_there = frame.len() >= size_of::<u64>();
        is_there
            .then(|| frame.get_u64())
            .ok_or_else(|| wrong("is too short"))
    };
    let unreadable = |_| wrong("is not the JSON that it should be");
    Ok(match kind {
        0x11 => Frame::Hello(serde_json::from_slice(&frame).map_err(unreadable)?),
        0x12 => Frame::Loaded,
        0x13 => Frame::LoadError(serde_json::from_slice(&frame).map_err(unreadable)?),
        0x14 => Frame::Result {
            call: number()?,
            run_us: number()?,
            payload: frame,
        },
        0x15 => Frame::Chunk {
            call: number()?,
            data: frame,
        },
        0x16 => Frame::Error {
            call: number()?,
            run_us: number()?,
            error: serde_json::from_slice(&frame).map_err(unreadable)?,
        },
        0x17 => log(frame).ok_or_else(|| wrong("is too short"))?,
        0x18 => Frame::Dropped(number()?),
        _ => return Err(wrong("is of no known kind")),
    })
}

fn log(mut body: Bytes) -> Option<Frame> {
    let &[stream, length, ..] = &*body else {
        return None;
    };
    body.advance(2);
    let length = usize::from(length);
    if body.len() < length {
        return None;
    }
    let invocation = body.split_to(length);
    let stream = if stream == 2 {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    Some(Frame::Log {
        stream,
        invocation,
        lines: body,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBody<'a> {
    code_folder: &'a str,
    max_payload: usize,
    functions: Vec<FunctionBody<'a>>,
}

#[derive(Serialize)]
struct FunctionBody<'a> {
    name: &'a str,
    handler: &'a str,
}

/// Encodes the frame that makes a worker load its functions, as pairs of name and handler.
pub(crate) fn load<'a>(
    code_folder: &str,
    functions: impl Iterator<Item = (&'a str, &'a str)>,
) -> Bytes {
    let body = LoadBody {
        code_folder,
        max_payload: MAX_PAYLOAD_BYTES,
        functions: functions
            .map(|(name, handler)| FunctionBody { name, handler })
            .collect(),
    };
    let body = serde_json::to_vec(&body).expect("texts and numbers are always json");
    let mut frame = begin(LOAD, body.len());
    frame.put_slice(&body);
    frame.freeze()
}

/// What a worker needs to know of a call beside its payload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallHeader<'a> {
    /// Place of the function in load.
    pub(crate) function: usize,
    /// Whether values are wanted as they come.
    pub(crate) stream: bool,
    /// What is left of the deadline.
    pub(crate) timeout_ms: u64,
    /// Metadata for the handler.
    pub(crate) context: BTreeMap<&'a str, &'a str>,
}

/// Encodes a call up to its payload, which follows as it is.
pub(crate) fn call(call: u64, header: &CallHeader<'_>, payload_bytes: usize) -> Bytes {
    let header = serde_json::to_vec(header).expect("texts and numbers are always json");
    let mut frame = begin(CALL, 12 + header.len() + payload_bytes);
    frame.put_u64(call);
    frame.put_u32(u32::try_from(header.len()).expect("metadata is bounded far below"));
    frame.put_slice(&header);
    frame.freeze()
}

/// Encodes a cancel.
pub(crate) fn cancel(call: u64) -> Bytes {
    let mut frame = begin(CANCEL, size_of::<u64>());
    frame.put_u64(call);
    frame.freeze()
}

fn begin(kind: u8, body_bytes: usize) -> BytesMut {
    let length = u32::try_from(body_bytes + 1).expect("payloads are bounded far below");
    let mut frame = BytesMut::with_capacity(5 + body_bytes.min(64 * 1024));
    frame.put_u32(length);
    frame.put_u8(kind);
    frame
}
