//! A cloud that follows a script: real sockets, real TLS, frames by the test.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::node_identity::{CREDENTIALS_FILE, NODE_FILE, NodeIdentityFile};
use baetyl_model::{Digest, Uid};
use baetyl_pki::{
    Authority, CertificateDer, Credentials, KeyPair, PeerIdentity, Profile, PublicKey,
    SigningRequest, Validity, files,
};
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::activation_service_server::{
    ActivationService, ActivationServiceServer,
};
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame as Down;
use baetyl_proto::sync::v1::sync_service_server::{SyncService, SyncServiceServer};
use baetyl_service_kit::serve::{Address, Grpc, Listener, Peer, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, Roots, server_config};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Longer than anything takes; reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// How `FetchBodies` misbehaves, once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Ends the stream after the first chunk.
    Cut,
    /// Changes a byte of the last chunk.
    Damage,
    /// Refuses, as if a newer generation had come.
    Refuse,
}

#[derive(Default)]
pub(crate) struct Bodies {
    pub(crate) held: BTreeMap<String, Bytes>,
    pub(crate) mischief: VecDeque<Mischief>,
    /// What was asked for, in order.
    pub(crate) asked: Vec<wire::BodyRef>,
}

/// The scripted cloud.
pub(crate) struct Cloud {
    pub(crate) authority: Arc<Authority>,
    pub(crate) sync_address: String,
    pub(crate) api_address: String,
    pub(crate) uid: Uid,
    pub(crate) bodies: Arc<Mutex<Bodies>>,
    sessions: mpsc::Receiver<Session>,
    /// The keys that were certified by renewal.
    pub(crate) renewed: watch::Receiver<Vec<PublicKey>>,
    /// How many bodies were asked for from the middle.
    pub(crate) resumed: watch::Receiver<usize>,
    shutdown: Shutdown,
}

/// One stream of the node.
pub(crate) struct Session {
    pub(crate) hello: wire::Hello,
    pub(crate) peer: PeerIdentity,
    up: Streaming<wire::SyncRequest>,
    down: mpsc::Sender<Result<wire::SyncResponse, Status>>,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        let trust_domain = "test.baetyl".parse().unwrap();
        let authority = Authority::create("cloud", &trust_domain, validity(1_000_000)).unwrap();
        let authority = Arc::new(authority);
        let host = "127.0.0.1".try_into().unwrap();
        let profile = Profile::cloud_system("sync".parse().unwrap(), vec![host]);
        let credentials = Credentials::issue(&authority, &profile, validity(100_000)).unwrap();
        let key = credentials.key().to_private_key_der();
        let shown = Identity::try_new((credentials.chain().to_vec(), key)).unwrap();
        let roots = Roots::try_new(std::slice::from_ref(authority.certificate())).unwrap();

        let shutdown = Shutdown::new();
        let (opened, sessions) = mpsc::channel(8);
        let bodies = Arc::new(Mutex::new(Bodies::default()));
        let (renewals, renewed) = watch::channel(Vec::new());
        let (resumptions, resumed) = watch::channel(0);
        let uid = Uid::random();
        let sync = SyncServer {
            opened,
            bodies: bodies.clone(),
            resumed: resumptions,
        };
        let auth = ClientAuth::Required(roots);
        let router = Grpc::new().add_service(SyncServiceServer::new(sync));
        let sync_address = listen(router, &shown, &auth, &shutdown).await;
        let activation = Activation {
            authority: authority.clone(),
            answer: Arc::new(Mutex::new(None)),
            renewed: renewals,
        };
        let answer = activation.answer.clone();
        let router = Grpc::new().add_service(ActivationServiceServer::new(activation));
        let api_address = listen(router, &shown, &ClientAuth::None, &shutdown).await;
        *answer.lock() = Some(identity(&uid, &sync_address, &api_address, &authority));
        Self {
            authority,
            sync_address,
            api_address,
            uid,
            bodies,
            sessions,
            renewed,
            resumed,
            shutdown,
        }
    }

    /// Activates a node: writes its identity folder.
    pub(crate) fn activate(&self, folder: &Path, lifetime: u64) {
        std::fs::create_dir_all(folder).unwrap();
        let key = KeyPair::generate();
        let message = identity(
            &self.uid,
            &self.sync_address,
            &self.api_address,
            &self.authority,
        );
        let document = NodeIdentityFile::try_from(&message).unwrap();
        files::write_public(&folder.join(NODE_FILE), document.to_json().as_bytes()).unwrap();
        let chain = issue(&self.authority, &self.uid, key.public_key(), lifetime);
        let credentials = Credentials::new(key, chain).unwrap();
        credentials.store(&folder.join(CREDENTIALS_FILE)).unwrap();
    }

    /// Waits for the node's next stream.
    pub(crate) async fn session(&mut self) -> Session {
        let session = soon("a session", self.sessions.recv()).await;
        session.expect("the server runs")
    }

    /// Makes bodies available for fetching.
    pub(crate) fn offer_bodies(&self, bodies: &[Bytes]) {
        let mut held = self.bodies.lock();
        for body in bodies {
            let digest = Digest::of(body).to_string();
            held.held.insert(digest, body.clone());
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.drain(PATIENCE).await;
    }
}

fn validity(seconds: u64) -> Validity {
    Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(seconds),
    }
}

fn issue(
    authority: &Authority,
    uid: &Uid,
    key: &PublicKey,
    lifetime: u64,
) -> Vec<CertificateDer<'static>> {
    let uid = uid.as_str().parse().unwrap();
    let profile = Profile::node("default".parse().unwrap(), "demo".parse().unwrap(), uid);
    let issued = authority.issue(key, &profile, validity(lifetime)).unwrap();
    authority.chain(&issued)
}

fn identity(uid: &Uid, sync: &str, api: &str, authority: &Authority) -> wire::NodeIdentity {
    wire::NodeIdentity {
        certificate_chain: Vec::new(),
        authorities: vec![authority.certificate().to_vec().into()],
        namespace: "default".into(),
        node: "demo".into(),
        node_uid: uid.to_string(),
        sync_addresses: vec![sync.to_owned()],
        api_addresses: vec![api.to_owned()],
        expire_time: None,
        trust_domain: "test.baetyl".into(),
    }
}

async fn listen(grpc: Grpc, shown: &Identity, auth: &ClientAuth, shutdown: &Shutdown) -> String {
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let tls = server_config(shown, auth, Protocols::Http2);
    let listener = Listener::bind(&any).await.unwrap().with_tls(tls);
    let address = listener.address().to_string();
    let grpc = grpc.descriptors(baetyl_proto::DESCRIPTOR);
    let router = grpc.into_router(&Readiness::new(), shutdown);
    let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
    shutdown.spawn("serve", OnCancel::Abort, serving);
    address
}

struct SyncServer {
    opened: mpsc::Sender<Session>,
    bodies: Arc<Mutex<Bodies>>,
    resumed: watch::Sender<usize>,
}

#[tonic::async_trait]
impl SyncService for SyncServer {
    type SyncStream = ReceiverStream<Result<wire::SyncResponse, Status>>;
    type FetchBodiesStream = BoxStream<'static, Result<wire::FetchBodiesResponse, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<wire::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let certificate = peer.and_then(|peer| peer.certificate().cloned());
        let certificate = certificate.expect("the listener demands one");
        let mut up = request.into_inner();
        let first = up.message().await?.and_then(|request| request.frame);
        let Some(Up::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first frame is not Hello"));
        };
        let (down, frames) = mpsc::channel(64);
        let session = Session {
            hello,
            peer: PeerIdentity::from_der(&certificate).expect("it was verified"),
            up,
            down,
        };
        self.opened.send(session).await.ok();
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn fetch_bodies(
        &self,
        request: Request<wire::FetchBodiesRequest>,
    ) -> Result<Response<Self::FetchBodiesStream>, Status> {
        let asked = request.into_inner().bodies;
        let resumed = asked.iter().filter(|body| body.offset > 0).count();
        self.resumed.send_modify(|count| *count += resumed);
        let mut bodies = self.bodies.lock();
        bodies.asked.extend(asked.iter().cloned());
        let mischief = bodies.mischief.pop_front();
        if mischief == Some(Mischief::Refuse) {
            return Err(Status::permission_denied("not referenced"));
        }
        let mut chunks = Vec::new();
        for body in asked {
            let Some(held) = bodies.held.get(&body.digest) else {
                return Err(Status::permission_denied("not referenced"));
            };
            let start = usize::try_from(body.offset).unwrap();
            let rest = held.slice(start..);
            let count = rest.chunks(1000).count().max(1);
            for index in 0..count {
                let from = index * 1000;
                let data = rest.slice(from..rest.len().min(from + 1000));
                chunks.push(wire::FetchBodiesResponse {
                    digest: body.digest.clone(),
                    offset: body.offset + from as u64,
                    data,
                    total_bytes: held.len() as u64,
                    end: index + 1 == count,
                });
            }
        }
        match mischief {
            Some(Mischief::Cut) => chunks.truncate(1),
            Some(Mischief::Damage) => {
                let last = chunks.last_mut().expect("something was asked for");
                let mut data = last.data.to_vec();
                *data.last_mut().expect("bodies are not empty") ^= 1;
                last.data = data.into();
            }
            Some(Mischief::Refuse) | None => {}
        }
        Ok(Response::new(stream::iter(chunks).map(Ok).boxed()))
    }
}

struct Activation {
    authority: Arc<Authority>,
    answer: Arc<Mutex<Option<wire::NodeIdentity>>>,
    renewed: watch::Sender<Vec<PublicKey>>,
}

#[tonic::async_trait]
impl ActivationService for Activation {
    async fn activate(
        &self,
        _request: Request<wire::ActivateRequest>,
    ) -> Result<Response<wire::ActivateResponse>, Status> {
        Err(Status::unimplemented("nodes come activated"))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let request = request.into_inner();
        let denied = |_| Status::permission_denied("no proof");
        let peer = PeerIdentity::from_der(&request.certificate).map_err(denied)?;
        let csr = &request.certificate_request;
        peer.public_key
            .check_proof(csr, &request.signature)
            .map_err(denied)?;
        let key = SigningRequest::parse(csr).map_err(denied)?;
        let uid = Uid::parse(&peer.uid.expect("nodes have one").to_string()).unwrap();
        let chain = issue(&self.authority, &uid, key.public_key(), 100_000);
        let mut answer = self.answer.lock().clone().expect("it was set");
        let chain = chain.iter().map(|der| der.to_vec().into());
        answer.certificate_chain = chain.collect();
        self.renewed
            .send_modify(|keys| keys.push(key.public_key().clone()));
        let identity = Some(answer);
        Ok(Response::new(wire::RenewResponse { identity }))
    }
}

impl Session {
    /// Answers Hello; heartbeats are rare, so that they do not get between.
    pub(crate) async fn welcome(&self, missing: &[&str]) {
        self.send(Down::Welcome(wire::Welcome {
            protocol_version: 1,
            session_id: "session".into(),
            heartbeat_interval: Some(seconds(60)),
            silence_timeout: Some(seconds(180)),
            max_frame_bytes: 1024 * 1024,
            missing_sections: missing.iter().map(|name| (*name).to_owned()).collect(),
        }))
        .await;
    }

    pub(crate) async fn send(&self, frame: Down) {
        let frame = Some(frame);
        let sent = self.down.send(Ok(wire::SyncResponse { frame }));
        soon("room in the stream", sent)
            .await
            .expect("the stream is open");
    }

    /// Waits for a frame that fits; acknowledges reports and passes over all else.
    pub(crate) async fn until<T>(&mut self, what: &str, fits: impl Fn(&Up) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let next = self.up.message().await.expect("the stream is open");
                let frame = next.expect("the stream goes on").frame.expect("a frame");
                if let Up::Report(report) = &frame {
                    let sequence = report.sequence;
                    self.send(Down::ReportAck(wire::ReportAck { sequence }))
                        .await;
                }
                if let Some(found) = fits(&frame) {
                    return found;
                }
            }
        };
        soon(what, waiting).await
    }

    /// Waits for the end of the node's half of the stream.
    pub(crate) async fn closed(mut self) {
        let ended = async { while let Ok(Some(_)) = self.up.message().await {} };
        soon("the end of the stream", ended).await;
    }

    pub(crate) async fn accepted(&mut self) -> wire::Fence {
        let frame = |frame: &Up| match frame {
            Up::Accepted(accepted) => accepted.fence,
            _ => None,
        };
        self.until("Accepted", frame).await
    }

    pub(crate) async fn converged(&mut self) -> wire::Fence {
        let frame = |frame: &Up| match frame {
            Up::Converged(converged) => converged.fence,
            _ => None,
        };
        self.until("Converged", frame).await
    }

    pub(crate) async fn report(&mut self, section: &str) -> wire::Report {
        let frame = |frame: &Up| match frame {
            Up::Report(report) if report.section == section => Some(report.clone()),
            _ => None,
        };
        self.until("a report", frame).await
    }
}

pub(crate) fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}
