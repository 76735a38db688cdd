//! The role of a runtime: attaches to the proxy and echoes, many calls in one message.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use baetyl_proto::function::v1::proxy_frame::Kind as Told;
use baetyl_proto::function::v1::runtime_frame::Kind;
use baetyl_proto::function::v1::runtime_service_client::RuntimeServiceClient;
use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, Call, CallResult, Chunk, Failure, FailureOrigin, Pong,
    RuntimeFrame, RuntimeHello, RuntimeInstance, ServedFunction,
};
use baetyl_service_kit::serve::{ConnectOptions, MAX_MESSAGE_BYTES, Target, connect};
use futures::Stream;
use tokio::sync::mpsc;
use tonic::{Request, Streaming};

use crate::path::{PAYLOADS, REVISION, SLOTS, VALUES};
use crate::{RoleArgs, child, keys};

/// Most frames of one message, as the contract says.
const BATCH: usize = 64;

/// Frames that may wait to be written: all that the slots can have on the way.
const QUEUE: usize = SLOTS as usize * (VALUES + 1);

const WELCOME: Duration = Duration::from_secs(10);

/// Everything that is ready, in one message.
struct Batches(mpsc::Receiver<RuntimeFrame>);

impl Stream for Batches {
    type Item = AttachRequest;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<AttachRequest>> {
        let mut frames = Vec::with_capacity(BATCH);
        let polled = self.0.poll_recv_many(context, &mut frames, BATCH);
        polled.map(|count| (count > 0).then_some(AttachRequest { frames }))
    }
}

/// Attaches, and echoes until the stream or the process that started us ends.
pub(crate) async fn attached(args: &RoleArgs) -> Result<()> {
    let tls = if args.tls {
        let identity = keys::identity(&args.keys, "runtime.pem")?;
        Some(Target::tls(keys::roots(&args.keys)?, Some(identity)))
    } else {
        None
    };
    let channel = connect(&keys::target(&args.to, tls)?, &ConnectOptions::default()).await?;
    let mut client = RuntimeServiceClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (outgoing, queue) = mpsc::channel(QUEUE);
    outgoing.send(frame(Kind::Hello(hello()))).await?;
    let mut request = Request::new(Batches(queue));
    if !args.tls {
        request
            .metadata_mut()
            .insert("authorization", keys::bearer(&args.keys)?.parse()?);
    }
    let mut incoming = client.attach(request).await?.into_inner();
    let welcomed = tokio::time::timeout(WELCOME, incoming.message()).await;
    let first = welcomed
        .context("there is no welcome")??
        .context("the stream ended")?;
    check(&first)?;
    tokio::select! {
        ended = child::ready(&[]) => ended,
        ended = echo(&mut incoming, &outgoing) => ended,
    }
}

/// Whether the proxy welcomes us, and gives room for the largest answer without credit.
fn check(first: &AttachResponse) -> Result<()> {
    let first = first.frames.first().and_then(|frame| frame.kind.as_ref());
    let Some(Told::Welcome(welcome)) = first else {
        bail!("not welcome: {first:?}");
    };
    let largest = PAYLOADS.iter().max().copied().unwrap_or_default() * VALUES;
    ensure!(
        welcome.call_window_bytes as usize >= largest,
        "a window of {} bytes is too small for {largest}",
        welcome.call_window_bytes
    );
    Ok(())
}

async fn echo(
    incoming: &mut Streaming<AttachResponse>,
    outgoing: &mpsc::Sender<RuntimeFrame>,
) -> Result<()> {
    while let Some(message) = incoming.message().await? {
        for told in message.frames {
            match told.kind {
                Some(Told::Call(call)) => answer(call, outgoing).await?,
                Some(Told::Ping(ping)) => {
                    let pong = Pong {
                        nonce: ping.nonce,
                        active_calls: 0,
                    };
                    outgoing.send(frame(Kind::Pong(pong))).await?;
                }
                Some(Told::GoAway(farewell)) => bail!("sent away: {farewell:?}"),
                // Answers stay inside of the window, and a call has ended before it is cancelled.
                _ => {}
            }
        }
    }
    bail!("the stream ended")
}

async fn answer(call: Call, outgoing: &mpsc::Sender<RuntimeFrame>) -> Result<()> {
    let call_id = call.call_id;
    if call.stream_response {
        for _ in 0..VALUES {
            let chunk = Chunk {
                call_id,
                data: call.payload.clone(),
                end: true,
            };
            outgoing.send(frame(Kind::Chunk(chunk))).await?;
        }
    }
    // A payload that comes in pieces is larger than any that is measured.
    let failure = call.more.then(|| Failure {
        origin: FailureOrigin::Runtime.into(),
        reason: "PAYLOAD_TOO_LARGE".to_owned(),
        message: "payloads that come in pieces are not measured".to_owned(),
        ..Failure::default()
    });
    let payload = if call.stream_response {
        bytes::Bytes::new()
    } else {
        call.payload
    };
    let result = CallResult {
        call_id,
        failure,
        payload,
        ..CallResult::default()
    };
    outgoing.send(frame(Kind::Result(result))).await?;
    Ok(())
}

fn frame(kind: Kind) -> RuntimeFrame {
    RuntimeFrame { kind: Some(kind) }
}

fn hello() -> RuntimeHello {
    RuntimeHello {
        protocol_version: 1,
        instance: Some(RuntimeInstance {
            id: "bench".to_owned(),
            incarnation: 1,
            runtime: "rust".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        application: keys::APPLICATION.to_owned(),
        service: keys::SERVICE.to_owned(),
        revision: REVISION,
        functions: vec![ServedFunction {
            name: keys::FUNCTION.to_owned(),
            idempotent: false,
        }],
        slots: SLOTS,
        ..RuntimeHello::default()
    }
}
