//! The server as clients see it: HTTP on the loopback interface.

mod accept;
mod call;
mod connection;
mod discovery;
mod handle;
mod logs;
mod query;
mod respond;
mod route;
mod watch;
mod write;

use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;

pub(crate) use connection::serve;

/// An answer, perhaps one that never ends.
pub(crate) type Answer = http::Response<UnsyncBoxBody<Bytes, std::io::Error>>;
