//! One stream of a host, as the function service has it, and the calls on it.

use std::collections::BTreeMap;

use baetyl_proto::function::v1::proxy_frame::Kind as ProxyKind;
use baetyl_proto::function::v1::runtime_frame::Kind;
use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, Call, CallResult, Cancel, Chunk, Credit, GoAway, MetadataEntry,
    ProxyFrame, ProxyWelcome, RuntimeHello,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::support::soon;

/// One stream, as the function service has it. Checks on the way that no call has two results,
/// and that slots are what they can be.
pub(crate) struct Attached {
    from: Streaming<AttachRequest>,
    to: Option<mpsc::Sender<Result<AttachResponse, Status>>>,
    waiting: Vec<Kind>,
    /// Slots that the host offers.
    pub(crate) slots: i64,
    /// Calls without result.
    pub(crate) running: i64,
    pub(crate) results: BTreeMap<u64, CallResult>,
    /// Values and, at the end, the beginning of the next one, by call.
    pub(crate) chunks: BTreeMap<u64, Vec<(Bytes, bool)>>,
    /// Every frame that came, by name.
    pub(crate) seen: Vec<&'static str>,
    /// Whether chunks are credited as they come.
    pub(crate) auto_credit: bool,
}

impl Attached {
    pub(crate) fn new(
        from: Streaming<AttachRequest>,
        to: mpsc::Sender<Result<AttachResponse, Status>>,
    ) -> Self {
        Self {
            from,
            to: Some(to),
            waiting: Vec::new(),
            slots: 0,
            running: 0,
            results: BTreeMap::new(),
            chunks: BTreeMap::new(),
            seen: Vec::new(),
            auto_credit: true,
        }
    }

    async fn next(&mut self) -> Option<Kind> {
        while self.waiting.is_empty() {
            let message = soon("a message of the host", self.from.message()).await;
            let frames = message.ok().flatten()?.frames;
            self.waiting = frames
                .into_iter()
                .rev()
                .filter_map(|frame| frame.kind)
                .collect();
        }
        self.waiting.pop()
    }

    pub(crate) async fn hello(&mut self) -> RuntimeHello {
        let Some(Kind::Hello(hello)) = self.next().await else {
            panic!("the first frame is Hello");
        };
        self.slots = i64::from(hello.slots);
        hello
    }

    pub(crate) async fn welcome(&mut self, functions: u32, window: u32) {
        self.send(ProxyKind::Welcome(ProxyWelcome {
            protocol_version: 1,
            lease_id: "lease".into(),
            epoch: 1,
            function_ids: (0..functions).collect(),
            call_window_bytes: window,
            ..ProxyWelcome::default()
        }))
        .await;
    }

    pub(crate) async fn send(&self, kind: ProxyKind) {
        let frames = vec![ProxyFrame { kind: Some(kind) }];
        let to = self.to.as_ref().unwrap();
        to.send(Ok(AttachResponse { frames })).await.unwrap();
    }

    pub(crate) async fn start(&mut self, call: Call) {
        self.running += 1;
        self.send(ProxyKind::Call(call)).await;
    }

    pub(crate) async fn cancel(&self, call_id: u64) {
        let reason = "CALL_CANCELLED".to_owned();
        self.send(ProxyKind::Cancel(Cancel { call_id, reason }))
            .await;
    }

    pub(crate) async fn credit(&self, call_id: u64, bytes: u32) {
        self.send(ProxyKind::Credit(Credit { call_id, bytes }))
            .await;
    }

    pub(crate) async fn chunk(&self, call_id: u64, data: Bytes, end: bool) {
        self.send(ProxyKind::Chunk(Chunk { call_id, data, end }))
            .await;
    }

    pub(crate) async fn go_away(&mut self, reason: &str) {
        let farewell = GoAway {
            reason: reason.into(),
            ..GoAway::default()
        };
        self.send(ProxyKind::GoAway(farewell)).await;
        self.to = None;
    }

    /// Takes the next frame; false at the end of the stream.
    pub(crate) async fn step(&mut self) -> bool {
        let Some(kind) = self.next().await else {
            return false;
        };
        self.seen.push(name(&kind));
        match kind {
            Kind::Ready(ready) => self.slots += i64::from(ready.slots_delta),
            Kind::Result(result) => {
                self.running -= 1;
                let before = self.results.insert(result.call_id, result);
                assert!(before.is_none(), "a call has one result");
            }
            Kind::Chunk(chunk) => {
                let bytes = u32::try_from(chunk.data.len()).unwrap();
                let chunks = self.chunks.entry(chunk.call_id).or_default();
                chunks.push((chunk.data, chunk.end));
                if self.auto_credit {
                    self.credit(chunk.call_id, bytes).await;
                }
            }
            Kind::Ping(ping) => {
                let pong = baetyl_proto::function::v1::Pong {
                    nonce: ping.nonce,
                    active_calls: 0,
                };
                self.send(ProxyKind::Pong(pong)).await;
            }
            _ => {}
        }
        true
    }

    /// Waits for the result of a call.
    pub(crate) async fn result(&mut self, call_id: u64) -> CallResult {
        while !self.results.contains_key(&call_id) {
            assert!(self.step().await, "the stream ended before the result");
        }
        self.results[&call_id].clone()
    }

    /// Waits until all workers are there again.
    pub(crate) async fn until_slots(&mut self, slots: i64) {
        while self.slots != slots {
            assert!(self.step().await, "the stream ended");
        }
    }

    /// Runs a call to its end.
    pub(crate) async fn run(&mut self, call: Call) -> CallResult {
        let call_id = call.call_id;
        self.start(call).await;
        self.result(call_id).await
    }

    /// The values that a call streamed.
    pub(crate) fn values(&self, call_id: u64) -> Vec<Bytes> {
        let mut values = Vec::new();
        let mut partial = Vec::new();
        for (data, end) in self.chunks.get(&call_id).into_iter().flatten() {
            partial.extend_from_slice(data);
            if *end {
                values.push(std::mem::take(&mut partial).into());
            }
        }
        values
    }
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Hello(_) => "hello",
        Kind::Ready(_) => "ready",
        Kind::Result(_) => "result",
        Kind::Chunk(_) => "chunk",
        Kind::Credit(_) => "credit",
        Kind::Pong(_) => "pong",
        Kind::Drain(_) => "drain",
        Kind::Logs(_) => "logs",
        Kind::Ping(_) => "ping",
        Kind::Started(_) => "started",
    }
}

/// A call of function number `function` with a deadline far away, which functions are told.
pub(crate) fn call(call_id: u64, function: u32, payload: &[u8]) -> Call {
    Call {
        call_id,
        function_id: function,
        timeout_us: 600_000_000,
        attempt: 1,
        payload: Bytes::copy_from_slice(payload),
        invocation_id: format!("inv-{call_id}"),
        metadata: vec![MetadataEntry {
            key: "who".into(),
            value: "test".into(),
        }],
        ..Call::default()
    }
}

pub(crate) fn stream_call(call_id: u64, function: u32, payload: &[u8]) -> Call {
    Call {
        stream_response: true,
        ..call(call_id, function, payload)
    }
}

pub(crate) fn reason(result: &CallResult) -> &str {
    result
        .failure
        .as_ref()
        .map_or("", |failure| failure.reason.as_str())
}
