//! The function runtime host: runs the functions of one service in one language.
//!
//! The host starts workers, processes that need nothing but the standard library of their
//! language, and talks to each over a Unix socket with small frames (`protocol`). A worker runs
//! one call at a time, so a crashed or stuck call costs one worker and not the service. Towards
//! the function service the host is one runtime: it attaches with a stream, offers as many slots
//! as workers are idle, and ends each call with exactly one result.
//!
//! | module | what |
//! |---|---|
//! | `language` | the languages: their worker scripts and interpreters |
//! | `protocol` | frames between host and worker |
//! | `worker` | one worker process |
//! | `slot` | keeps one worker running, and gives it calls |
//! | `call` | one call on one worker: deadline, cancel, credit |
//! | `pool` | which workers are idle, as the function service knows it |
//! | `session` | the calls of one attach stream |
//! | `outbox` | what waits to be sent on it |
//! | `attach` | connects, attaches, comes back |
//! | `output` | what user code prints |

mod attach;
mod call;
mod error;
mod host;
mod language;
mod metrics;
mod outbox;
mod output;
mod pool;
mod protocol;
mod session;
mod settings;
mod slot;
mod worker;

pub use baetyl_model::runtime_config::{RuntimeConfig, RuntimeFunction};
pub use error::Error;
pub use host::{Options, load, run};
pub use output::{LineSink, StandardStreams, Stream};
