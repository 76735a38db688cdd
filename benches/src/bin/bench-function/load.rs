//! A closed loop: so many callers, each with its next call when its last one was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_proto::function::v1::{InvokeRequest, InvokeStreamRequest};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::keys;

type Client = FunctionServiceClient<Channel>;

/// How long the last calls of a slice may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many call at the same time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// On each connection.
    pub(crate) streams: usize,
}

/// What is expected for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// One, equal to the payload.
    Answer,
    /// A stream of so many values, each equal to the payload.
    Values(usize),
}

/// What is called.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) service: &'static str,
    pub(crate) payload: Bytes,
    pub(crate) asked: Asked,
    pub(crate) bearer: MetadataValue<Ascii>,
}

/// What a slice gave: how long every call took that ended while it was measured.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Vec<Duration>,
}

impl Driven {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of calls are far below 2^52"
    )]
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// A payload of this length that is not the same byte all over.
pub(crate) fn payload(length: usize) -> Bytes {
    (0..=u8::MAX).cycle().take(length).collect()
}

/// What the callers look at.
#[derive(Debug, Default)]
struct Phase {
    is_measured: AtomicBool,
    is_over: AtomicBool,
    has_ended_one: AtomicBool,
}

/// Calls for the two lengths, warm and measured; `read` is read at both ends of the second.
pub(crate) async fn drive<T>(
    clients: &[Client],
    call: &Call,
    shape: Shape,
    (warm, length): (Duration, Duration),
    read: impl Fn() -> Result<T>,
) -> Result<(Driven, T, T)> {
    let phase = Arc::new(Phase::default());
    let mut callers = JoinSet::new();
    for client in clients.iter().take(shape.connections) {
        for _ in 0..shape.streams {
            callers.spawn(caller(client.clone(), call.clone(), phase.clone()));
        }
    }
    tokio::time::sleep(warm).await;
    let before = read()?;
    let begun = Instant::now();
    phase.is_measured.store(true, Ordering::Relaxed);
    tokio::time::sleep(length).await;
    // On a machine that is busy with something else, or without optimisation.
    while !phase.has_ended_one.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    phase.is_measured.store(false, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let after = read()?;
    phase.is_over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    let ended = async {
        while let Some(caller) = callers.join_next().await {
            latencies.extend(caller??);
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .context("calls do not end")??;
    ensure!(!latencies.is_empty(), "no call ended");
    Ok((Driven { elapsed, latencies }, before, after))
}

async fn caller(mut client: Client, call: Call, phase: Arc<Phase>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while !phase.is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match call.asked {
            Asked::Answer => unary(&mut client, &call).await?,
            Asked::Values(count) => stream(&mut client, &call, count).await?,
        }
        if phase.is_measured.load(Ordering::Relaxed) {
            latencies.push(begun.elapsed());
            if latencies.len() == 1 {
                phase.has_ended_one.store(true, Ordering::Relaxed);
            }
        }
    }
    Ok(latencies)
}

async fn unary(client: &mut Client, call: &Call) -> Result<()> {
    let message = InvokeRequest {
        service: call.service.to_owned(),
        function: keys::FUNCTION.to_owned(),
        payload: call.payload.clone(),
        ..InvokeRequest::default()
    };
    let answer = client
        .invoke(with(message, &call.bearer))
        .await?
        .into_inner();
    ensure!(answer.payload == call.payload, "the answer is another");
    Ok(())
}

async fn stream(client: &mut Client, call: &Call, count: usize) -> Result<()> {
    let message = InvokeStreamRequest {
        service: call.service.to_owned(),
        function: keys::FUNCTION.to_owned(),
        payload: call.payload.clone(),
        ..InvokeStreamRequest::default()
    };
    let mut values = client
        .invoke_stream(with(message, &call.bearer))
        .await?
        .into_inner();
    let mut seen = 0;
    while let Some(value) = values.message().await? {
        ensure!(value.payload == call.payload, "a value is another");
        seen += 1;
    }
    ensure!(seen == count, "{seen} values came instead of {count}");
    Ok(())
}

/// A request of somebody who holds the edge token.
pub(crate) fn with<T>(message: T, bearer: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", bearer.clone());
    request
}
