//! Fetching the bodies that a desired state needs: in chunks, resumed where a stream was cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_proto::sync::v1::{BodyRef, FetchBodiesRequest, FetchBodiesResponse};
use baetyl_service_kit::serve::MAX_MESSAGE_BYTES;
use baetyl_service_kit::telemetry::propagation::TracedChannel;
use baetyl_shadow::Digest;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use tonic::Status;

use crate::store::Wanted;

/// The largest body: an object of 4 MiB, with its frame.
const MAX_BODY_BYTES: u64 = MAX_MESSAGE_BYTES as u64;

/// Bodies in memory at one time, until their desired state is accepted.
const MAX_STAGED_BYTES: usize = 128 * 1024 * 1024;

/// Bodies in one request.
const BATCH: usize = 64;

/// Requests at one time.
const CONCURRENT: usize = 2;

/// How long the next chunk may take.
const CHUNK_DEADLINE: Duration = Duration::from_secs(30);

/// How often one body may arrive damaged before that is an error.
const MAX_DAMAGED: u32 = 3;

/// Bodies could not be fetched; what arrived is kept for the next attempt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the cloud refused a body or the line broke")]
    Call(#[from] Status),
    #[error("the next chunk did not come in time")]
    Deadline,
    #[error("the stream ended before the bodies did")]
    Cut,
    #[error("the body {0} came damaged too often")]
    Damaged(Digest),
    #[error("the bodies are larger than {limit} bytes together, or one is too large")]
    TooLarge { limit: usize },
    #[error("the cloud sent a chunk that was not asked for")]
    Unexpected,
}

/// What arrived of bodies, kept over lost streams and sessions.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    state: Mutex<Staged>,
}

#[derive(Debug, Default)]
struct Staged {
    whole: BTreeMap<Digest, Bytes>,
    partial: BTreeMap<Digest, BytesMut>,
    damaged: BTreeMap<Digest, u32>,
}

impl Staged {
    fn bytes(&self) -> usize {
        let whole: usize = self.whole.values().map(Bytes::len).sum();
        let partial: usize = self.partial.values().map(BytesMut::len).sum();
        whole + partial
    }

    fn take(
        &mut self,
        chunk: FetchBodiesResponse,
        asked: &BTreeSet<Digest>,
    ) -> Result<(), FetchError> {
        let digest: Digest = chunk.digest.parse().map_err(|_| FetchError::Unexpected)?;
        if !asked.contains(&digest) || self.whole.contains_key(&digest) {
            return Err(FetchError::Unexpected);
        }
        let is_too_large = chunk.total_bytes > MAX_BODY_BYTES
            || self.bytes() + chunk.data.len() > MAX_STAGED_BYTES;
        if is_too_large {
            return Err(FetchError::TooLarge {
                limit: MAX_STAGED_BYTES,
            });
        }
        let body = self.partial.entry(digest).or_default();
        let after = body.len() as u64 + chunk.data.len() as u64;
        if chunk.offset != body.len() as u64 || after > chunk.total_bytes {
            self.partial.remove(&digest);
            return Err(FetchError::Unexpected);
        }
        body.extend_from_slice(&chunk.data);
        if !chunk.end {
            return Ok(());
        }
        let body = self.partial.remove(&digest).unwrap_or_default().freeze();
        if Digest::of(&body) == digest {
            self.whole.insert(digest, body);
            return Ok(());
        }
        let damaged = self.damaged.entry(digest).or_default();
        *damaged += 1;
        if *damaged >= MAX_DAMAGED {
            self.damaged.remove(&digest);
            return Err(FetchError::Damaged(digest));
        }
        Ok(())
    }
}

impl Stage {
    /// Fetches bodies, and returns them when all are there. Bodies of other desired states that
    /// are staged are dropped.
    ///
    /// # Cancel safety
    /// What arrived stays staged.
    pub(crate) async fn fetch(
        &self,
        client: &SyncServiceClient<TracedChannel>,
        wanted: &[Wanted],
    ) -> Result<BTreeMap<Digest, Bytes>, FetchError> {
        self.keep_only(wanted);
        loop {
            let missing = self.missing(wanted);
            if missing.is_empty() {
                return Ok(self.state.lock().whole.clone());
            }
            let batches: Vec<Vec<BodyRef>> = missing.chunks(BATCH).map(<[_]>::to_vec).collect();
            futures::stream::iter(batches)
                .map(|batch| self.fetch_batch(client.clone(), batch))
                .buffer_unordered(CONCURRENT)
                .try_collect::<Vec<()>>()
                .await?;
        }
    }

    /// Drops everything: it is on disk now.
    pub(crate) fn clear(&self) {
        *self.state.lock() = Staged::default();
    }

    fn keep_only(&self, wanted: &[Wanted]) {
        let digests: BTreeSet<Digest> = wanted.iter().map(|body| body.digest).collect();
        let mut state = self.state.lock();
        state.whole.retain(|digest, _| digests.contains(digest));
        state.partial.retain(|digest, _| digests.contains(digest));
        state.damaged.retain(|digest, _| digests.contains(digest));
    }

    fn missing(&self, wanted: &[Wanted]) -> Vec<BodyRef> {
        let state = self.state.lock();
        wanted
            .iter()
            .filter(|body| !state.whole.contains_key(&body.digest))
            .map(|body| BodyRef {
                kind: body.kind.word().to_owned(),
                name: body.name.clone(),
                digest: body.digest.to_string(),
                offset: state
                    .partial
                    .get(&body.digest)
                    .map_or(0, |partial| partial.len() as u64),
            })
            .collect()
    }

    async fn fetch_batch(
        &self,
        mut client: SyncServiceClient<TracedChannel>,
        bodies: Vec<BodyRef>,
    ) -> Result<(), FetchError> {
        let parsed = bodies.iter().filter_map(|body| body.digest.parse().ok());
        let asked: BTreeSet<Digest> = parsed.collect();
        let mut ended = BTreeSet::new();
        let opened = client.fetch_bodies(FetchBodiesRequest { bodies });
        let opened = tokio::time::timeout(CHUNK_DEADLINE, opened).await;
        let mut chunks = opened.map_err(|_| FetchError::Deadline)??.into_inner();
        loop {
            let next = tokio::time::timeout(CHUNK_DEADLINE, chunks.message()).await;
            let Some(chunk) = next.map_err(|_| FetchError::Deadline)?? else {
                break;
            };
            if chunk.end {
                ended.insert(chunk.digest.clone());
            }
            self.state.lock().take(chunk, &asked)?;
        }
        if ended.len() < asked.len() {
            return Err(FetchError::Cut);
        }
        Ok(())
    }
}
