//! A scripted runtime: attaches, takes what it is sent, and says what a test wants it to say.

use std::collections::VecDeque;

use baetyl_proto::function::v1::proxy_frame::Kind as FromProxy;
use baetyl_proto::function::v1::runtime_frame::Kind as FromRuntime;
use baetyl_proto::function::v1::runtime_service_client::RuntimeServiceClient;
use baetyl_proto::function::v1::{
    AttachRequest, AttachResponse, Call, CallResult, Cancel, Chunk, Failure, FailureOrigin, GoAway,
    Ping, Pong, ProxyWelcome, RuntimeFrame, RuntimeHello, RuntimeInstance, ServedFunction,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::node::{As, Node, soon};

pub(crate) struct Runtime {
    sender: mpsc::Sender<AttachRequest>,
    incoming: Streaming<AttachResponse>,
    frames: VecDeque<FromProxy>,
    pub(crate) welcome: ProxyWelcome,
    /// Whether pings are answered.
    pub(crate) is_alive: bool,
}

/// The hello of a runtime of `sensors.sensors`, revision 1, with as many slots.
pub(crate) fn hello(id: &str, slots: u32) -> RuntimeHello {
    let function = |name: &str| ServedFunction {
        name: name.to_owned(),
        idempotent: false,
    };
    RuntimeHello {
        protocol_version: 1,
        instance: Some(RuntimeInstance {
            id: id.to_owned(),
            incarnation: 1,
            runtime: "scripted".to_owned(),
            runtime_version: "1".to_owned(),
        }),
        application: "sensors".to_owned(),
        service: "sensors".to_owned(),
        revision: 1,
        functions: vec![function("window"), function("other")],
        slots,
        ..RuntimeHello::default()
    }
}

pub(crate) fn result(call: &Call, payload: impl Into<Bytes>) -> FromRuntime {
    FromRuntime::Result(CallResult {
        call_id: call.call_id,
        payload: payload.into(),
        ..CallResult::default()
    })
}

pub(crate) fn failed(call: &Call, origin: FailureOrigin, reason: &str) -> FromRuntime {
    FromRuntime::Result(CallResult {
        call_id: call.call_id,
        failure: Some(Failure {
            origin: origin.into(),
            reason: reason.to_owned(),
            message: "it went wrong".to_owned(),
            ..Failure::default()
        }),
        ..CallResult::default()
    })
}

pub(crate) fn chunk(call: &Call, data: impl Into<Bytes>, end: bool) -> FromRuntime {
    FromRuntime::Chunk(Chunk {
        call_id: call.call_id,
        data: data.into(),
        end,
    })
}

impl Runtime {
    /// Attaches a runtime with a hello of its own instance.
    pub(crate) async fn attach(node: &Node, id: &str, slots: u32) -> Self {
        Self::attach_with(node, hello(id, slots))
            .await
            .expect("it is welcome")
    }

    /// Attaches, or says why not.
    pub(crate) async fn attach_with(node: &Node, hello: RuntimeHello) -> Result<Self, GoAway> {
        let who = As::Service(&hello.application, &hello.service);
        let channel = node.attach_channel(&who);
        Self::attach_over(channel, FromRuntime::Hello(hello), None).await
    }

    /// Attaches over any channel, with any first frame and token.
    pub(crate) async fn attach_over(
        channel: Channel,
        first: FromRuntime,
        token: Option<&str>,
    ) -> Result<Self, GoAway> {
        let (sender, receiver) = mpsc::channel(64);
        let frames = vec![RuntimeFrame { kind: Some(first) }];
        sender
            .send(AttachRequest { frames })
            .await
            .expect("there is room");
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("visible");
            request.metadata_mut().insert("authorization", value);
        }
        let mut client = RuntimeServiceClient::new(channel);
        let incoming = soon(client.attach(request))
            .await
            .expect("a stream")
            .into_inner();
        let mut runtime = Self {
            sender,
            incoming,
            frames: VecDeque::new(),
            welcome: ProxyWelcome::default(),
            is_alive: true,
        };
        match runtime.next().await {
            FromProxy::Welcome(welcome) => runtime.welcome = welcome,
            FromProxy::GoAway(away) => return Err(away),
            other => panic!("neither welcome nor goaway: {other:?}"),
        }
        Ok(runtime)
    }

    /// Sends frames in one message.
    pub(crate) async fn send(&self, kinds: impl IntoIterator<Item = FromRuntime>) {
        let frames = kinds
            .into_iter()
            .map(|kind| RuntimeFrame { kind: Some(kind) });
        let frames = frames.collect();
        soon(self.sender.send(AttachRequest { frames }))
            .await
            .expect("the stream is open");
    }

    /// The next frame that is no ping; `None` at the end of the stream.
    pub(crate) async fn next_or_end(&mut self) -> Option<FromProxy> {
        loop {
            while let Some(frame) = self.frames.pop_front() {
                match frame {
                    FromProxy::Ping(_) if !self.is_alive => {}
                    FromProxy::Ping(Ping { nonce }) => {
                        let active_calls = 0;
                        let pong = Pong {
                            nonce,
                            active_calls,
                        };
                        self.send([FromRuntime::Pong(pong)]).await;
                    }
                    other => return Some(other),
                }
            }
            let message = soon(self.incoming.message())
                .await
                .expect("the stream is whole")?;
            assert!(
                message.frames.len() <= 64,
                "a message has at most 64 frames"
            );
            self.frames = message
                .frames
                .into_iter()
                .filter_map(|frame| frame.kind)
                .collect();
        }
    }

    /// Answers some pings, while nothing else comes.
    pub(crate) async fn answer_pings(&mut self, count: usize) {
        for _ in 0..count {
            let message = soon(self.incoming.message())
                .await
                .expect("the stream is whole");
            for frame in message.expect("the stream goes on").frames {
                let Some(FromProxy::Ping(Ping { nonce })) = frame.kind else {
                    panic!("not a ping: {frame:?}");
                };
                let active_calls = 0;
                let pong = Pong {
                    nonce,
                    active_calls,
                };
                self.send([FromRuntime::Pong(pong)]).await;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> FromProxy {
        self.next_or_end().await.expect("the stream goes on")
    }

    pub(crate) async fn call(&mut self) -> Call {
        match self.next().await {
            FromProxy::Call(call) => call,
            other => panic!("not a call: {other:?}"),
        }
    }

    pub(crate) async fn cancel(&mut self) -> Cancel {
        match self.next().await {
            FromProxy::Cancel(cancel) => cancel,
            other => panic!("not a cancel: {other:?}"),
        }
    }

    pub(crate) async fn go_away(&mut self) -> GoAway {
        match self.next().await {
            FromProxy::GoAway(away) => {
                assert_eq!(self.next_or_end().await, None, "it is the last frame");
                away
            }
            other => panic!("not a goaway: {other:?}"),
        }
    }

    /// Answers a call with a payload.
    pub(crate) async fn answer(&self, call: &Call, payload: &'static str) {
        self.send([result(call, payload)]).await;
    }

    /// Waits until the proxy has taken everything that was sent, and asserts that it had nothing
    /// else to say.
    pub(crate) async fn settle(&mut self) {
        let nonce = 77;
        self.send([FromRuntime::Ping(Ping { nonce })]).await;
        match self.next().await {
            FromProxy::Pong(pong) => assert_eq!(pong.nonce, nonce),
            other => panic!("not a pong: {other:?}"),
        }
    }
}
