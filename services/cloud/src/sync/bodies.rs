//! `FetchBodies`: the stored bytes of what a node's desired state references, in chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use baetyl_model::{Digest, Kind, Name, Revision};
use baetyl_proto::sync::v1 as wire;
use baetyl_service_kit::fault::{self, Code, Fault, InvalidArgument, Violation};
use bytes::Bytes;
use futures::{Stream, stream};
use tonic::Status;

use super::registry::Registry;
use crate::activation::{Caller, Standing};
use crate::matching::{Body, DesiredRecord, desired_key};
use crate::store::{Key, Store, StoreError};

/// The bytes of one chunk, as the contract bounds them.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bodies of one request.
const MAX_BODIES: usize = 1000;

/// Why bodies are not given.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The desired state of the node does not reference it.
    #[error("the desired state of this node does not reference {kind} {name} with that digest")]
    NotReferenced { kind: String, name: String },
    /// It was dropped or replaced since.
    #[error("{kind} {name} with that digest does not exist any more")]
    Gone { kind: String, name: String },
    /// The offset is behind the end.
    #[error("the offset is behind the end of {kind} {name}")]
    Offset { kind: String, name: String },
    /// The request is malformed.
    #[error(transparent)]
    Invalid(#[from] InvalidArgument),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for BodyError {
    fn code(&self) -> Code {
        match self {
            Self::NotReferenced { .. } => Code::PermissionDenied,
            Self::Gone { .. } => Code::NotFound,
            Self::Offset { .. } => Code::OutOfRange,
            Self::Invalid(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotReferenced { .. } => "NOT_REFERENCED",
            Self::Gone { .. } => "BODY_GONE",
            Self::Offset { .. } => "OFFSET_OUT_OF_RANGE",
            Self::Invalid(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(error) => error.violations(),
            _ => Vec::new(),
        }
    }
}

/// A body that a node may have.
struct Granted {
    reference: wire::BodyRef,
    key: Key,
    revision: Revision,
}

/// Checks a request before the first byte is sent: all of it is granted, or nothing.
pub(super) async fn fetch(
    store: Arc<dyn Store>,
    registry: &Registry,
    caller: &Caller,
    request: wire::FetchBodiesRequest,
) -> Result<impl Stream<Item = Result<wire::FetchBodiesResponse, Status>> + use<>, BodyError> {
    let count = request.bodies.len();
    if count == 0 || count > MAX_BODIES {
        let description = format!("must have 1 to {MAX_BODIES} entries, got {count}");
        let violation = Violation::new("bodies", "OUT_OF_BOUNDS", description);
        InvalidArgument::check(vec![violation])?;
    }
    let key = desired_key(&caller.namespace, &caller.uid);
    let desired = DesiredRecord::read(&*store, &key).await?.bodies();
    let mut granted = VecDeque::with_capacity(count);
    for reference in request.bodies {
        let body = desired.get(&reference.digest).cloned();
        // A document that was overtaken while the node fetches for it.
        let body = body.or_else(|| registry.sent_body(&caller.uid, &reference.digest));
        let body = body.filter(|_| caller.standing == Standing::Live);
        granted.push_back(grant(caller, reference, body)?);
    }
    let sending = Sending {
        store,
        granted,
        current: None,
    };
    Ok(stream::try_unfold(sending, |mut sending| async move {
        match sending.next().await {
            Ok(Some(chunk)) => Ok(Some((chunk, sending))),
            Ok(None) => Ok(None),
            Err(error) => Err(fault::status(&error)),
        }
    }))
}

fn grant(
    caller: &Caller,
    reference: wire::BodyRef,
    body: Option<Body>,
) -> Result<Granted, BodyError> {
    let body = body.filter(|body| body.kind == reference.kind && body.name == reference.name);
    let resolved = body.and_then(|body| {
        let kind: Kind = body.kind.parse().ok()?;
        let name = Name::parse(&body.name).ok()?;
        Some((kind, name, Revision::new(body.revision)?))
    });
    let Some((kind, name, revision)) = resolved else {
        tracing::warn!(
            node.uid = caller.uid.as_str(),
            digest = reference.digest,
            "a node asked for a body that it may not have"
        );
        return Err(BodyError::NotReferenced {
            kind: reference.kind,
            name: reference.name,
        });
    };
    let key = Key {
        namespace: caller.namespace.clone(),
        kind,
        name,
    };
    Ok(Granted {
        reference,
        key,
        revision,
    })
}

struct Sending {
    store: Arc<dyn Store>,
    granted: VecDeque<Granted>,
    current: Option<(wire::BodyRef, Bytes)>,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<wire::FetchBodiesResponse>, BodyError> {
        let (mut reference, body) = match self.current.take() {
            Some(current) => current,
            None => match self.granted.pop_front() {
                Some(granted) => self.read(granted).await?,
                None => return Ok(None),
            },
        };
        let total = body.len();
        let start = usize::try_from(reference.offset).unwrap_or(usize::MAX);
        if start > total {
            return Err(BodyError::Offset {
                kind: reference.kind,
                name: reference.name,
            });
        }
        let end = total.min(start + CHUNK_BYTES);
        let chunk = wire::FetchBodiesResponse {
            digest: reference.digest.clone(),
            offset: start as u64,
            data: body.slice(start..end),
            total_bytes: total as u64,
            end: end == total,
        };
        if end < total {
            reference.offset = end as u64;
            self.current = Some((reference, body));
        }
        Ok(Some(chunk))
    }

    async fn read(&self, granted: Granted) -> Result<(wire::BodyRef, Bytes), BodyError> {
        let stored = self
            .store
            .get_revision(&granted.key, granted.revision)
            .await?;
        let wanted: Option<Digest> = granted.reference.digest.parse().ok();
        // A resource that was deleted and made again counts its revisions anew.
        let stored = stored.filter(|stored| Some(stored.digest) == wanted);
        let Some(stored) = stored else {
            return Err(BodyError::Gone {
                kind: granted.reference.kind,
                name: granted.reference.name,
            });
        };
        Ok((granted.reference, stored.body))
    }
}
