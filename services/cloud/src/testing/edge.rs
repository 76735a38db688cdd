//! Devices, and a scripted edge.

use baetyl_model::Digest;
use baetyl_pki::KeyPair;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame;
use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_service_kit::tls::Identity;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::PATIENCE;

/// A device that was activated.
pub(crate) struct Device {
    pub(crate) key: KeyPair,
    pub(crate) identity: wire::NodeIdentity,
}

impl Device {
    pub(crate) fn tls(&self) -> Identity {
        let chain = self.identity.certificate_chain.iter();
        let chain = chain.map(|der| der.to_vec().into()).collect();
        Identity::try_new((chain, self.key.to_private_key_der())).unwrap()
    }

    /// The Hello of a device that holds nothing.
    pub(crate) fn hello(&self) -> wire::Hello {
        wire::Hello {
            protocol_version: 1,
            node_uid: self.identity.node_uid.clone(),
            incarnation: "boot-1".to_owned(),
            core_version: "0.1.0".to_owned(),
            ..wire::Hello::default()
        }
    }

    /// The Hello of a device that holds a document.
    pub(crate) fn holding(&self, held: &Held) -> wire::Hello {
        wire::Hello {
            held: Some(held.fence),
            held_digest: held.digest.clone(),
            ..self.hello()
        }
    }
}

/// A document as the edge took it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) fence: wire::Fence,
    pub(crate) digest: String,
    pub(crate) document: wire::DesiredDocument,
}

impl Held {
    pub(crate) fn names(&self) -> Vec<&str> {
        let applications = self.document.applications.iter();
        applications.map(|one| one.name.as_str()).collect()
    }

    /// The first input of an application.
    pub(crate) fn input(&self, application: &str) -> &wire::InputRef {
        let mut applications = self.document.applications.iter();
        let found = applications.find(|one| one.name == application).unwrap();
        &found.inputs[0]
    }
}

/// The edge's end of a stream.
pub(crate) struct Edge {
    pub(crate) up: mpsc::Sender<wire::SyncRequest>,
    pub(crate) down: Streaming<wire::SyncResponse>,
    pub(crate) client: SyncServiceClient<Channel>,
}

impl Edge {
    /// Opens a stream and sends Hello.
    pub(crate) async fn open(channel: Channel, hello: wire::Hello) -> Result<Self, Status> {
        let mut client = SyncServiceClient::new(channel);
        let (up, receiver) = mpsc::channel(64);
        let frame = Some(Up::Hello(hello));
        up.send(wire::SyncRequest { frame }).await.unwrap();
        let down = client
            .sync(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Self { up, down, client })
    }

    pub(crate) async fn send(&self, frame: Up) {
        let frame = Some(frame);
        self.up.send(wire::SyncRequest { frame }).await.unwrap();
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let next = tokio::time::timeout(PATIENCE, self.down.message()).await;
        let message = next.expect("a frame within patience").ok().flatten()?;
        Some(message.frame.unwrap())
    }

    pub(crate) async fn welcome(&mut self) -> wire::Welcome {
        match self.next().await {
            Some(Frame::Welcome(welcome)) => welcome,
            other => panic!("Welcome was expected, not {other:?}"),
        }
    }

    /// The next document, put together from its pages.
    pub(crate) async fn desired(&mut self) -> Held {
        let mut bytes = Vec::new();
        loop {
            let page = match self.next().await {
                Some(Frame::Desired(page)) => page,
                other => panic!("Desired was expected, not {other:?}"),
            };
            bytes.extend_from_slice(&page.data);
            if page.end {
                assert_eq!(bytes.len() as u64, page.total_bytes);
                assert_eq!(Digest::of(&bytes).to_string(), page.digest);
                return Held {
                    fence: page.fence.unwrap(),
                    digest: page.digest,
                    document: wire::DesiredDocument::decode(bytes.as_slice()).unwrap(),
                };
            }
        }
    }

    /// The newest document that fulfils a condition; levels in between are skipped.
    pub(crate) async fn desired_where(&mut self, is_it: impl Fn(&Held) -> bool) -> Held {
        loop {
            let held = self.desired().await;
            if is_it(&held) {
                return held;
            }
        }
    }

    pub(crate) async fn goodbye(&mut self) -> wire::Goodbye {
        loop {
            match self.next().await {
                Some(Frame::Goodbye(goodbye)) => return goodbye,
                Some(_) => {}
                None => panic!("the stream ended without Goodbye"),
            }
        }
    }
}
