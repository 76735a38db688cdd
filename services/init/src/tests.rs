//! Activation against a real listener with TLS and a scripted cloud behind it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use baetyl_model::node_identity::{CREDENTIALS_FILE, NODE_FILE, PENDING_KEY_FILE};
use baetyl_pki::{
    Authority, Credentials, JoinToken, Name, Profile, ServerName, SigningRequest, TrustDomain,
    Validity,
};
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::activation_service_server::{
    ActivationService, ActivationServiceServer,
};
use baetyl_service_kit::fault::{Code, Fault as _};
use baetyl_service_kit::serve::{Grpc, Listener, ServeOptions, serve};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::Readiness;
use baetyl_service_kit::tls::{ClientAuth, Identity, Protocols, server_config};
use tonic::{Request, Response, Status};

use crate::{Activation, CoreProcess, InitError, activate, is_activated, start_core};

const NODE_UID: &str = "6f1f7d9e-3c55-4b7a-9a5e-0c8a6f0d2b11";

struct ScriptedCloud {
    authority: Arc<Authority>,
    /// Answers to give before the good one.
    refusals: Mutex<Vec<Status>>,
    keys: Mutex<Vec<String>>,
}

#[tonic::async_trait]
impl ActivationService for ScriptedCloud {
    async fn activate(
        &self,
        request: Request<wire::ActivateRequest>,
    ) -> Result<Response<wire::ActivateResponse>, Status> {
        let request = request.into_inner();
        let csr = SigningRequest::parse(&request.certificate_request).expect("a good request");
        let key = csr.public_key().fingerprint().to_string();
        self.keys.lock().expect("not poisoned").push(key);
        if let Some(refusal) = self.refusals.lock().expect("not poisoned").pop() {
            return Err(refusal);
        }
        let profile = Profile::node(
            "default".parse::<Name>().expect("a name"),
            "press".parse::<Name>().expect("a name"),
            NODE_UID.parse().expect("a uid"),
        );
        let issued = self.authority.issue(csr.public_key(), &profile, validity());
        let issued = issued.expect("issued");
        let chain = self.authority.chain(&issued);
        let identity = wire::NodeIdentity {
            certificate_chain: chain.iter().map(|der| der.to_vec().into()).collect(),
            authorities: vec![self.authority.certificate().to_vec().into()],
            namespace: "default".into(),
            node: "press".into(),
            node_uid: NODE_UID.into(),
            sync_addresses: vec!["127.0.0.1:9005".into()],
            api_addresses: vec!["127.0.0.1:9004".into()],
            expire_time: None,
            trust_domain: "baetyl.test".into(),
        };
        Ok(Response::new(wire::ActivateResponse {
            identity: Some(identity),
        }))
    }

    async fn renew(
        &self,
        _: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        Err(Status::permission_denied("nobody renews here"))
    }
}

fn validity() -> Validity {
    Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    }
}

struct Cloud {
    address: String,
    authority: Arc<Authority>,
    service: Arc<ScriptedCloud>,
    shutdown: Shutdown,
}

impl Cloud {
    async fn start(refusals: Vec<Status>) -> Self {
        let domain = "baetyl.test".parse::<TrustDomain>().expect("a domain");
        let authority = Authority::create("test cloud", &domain, validity()).expect("made");
        let authority = Arc::new(authority);
        let hosts = vec![ServerName::try_from("127.0.0.1").expect("an address")];
        let profile = Profile::cloud_system("api".parse::<Name>().expect("a name"), hosts);
        let credentials = Credentials::issue(&authority, &profile, validity()).expect("issued");
        let chain = credentials.chain().to_vec();
        let identity = Identity::try_new((chain, credentials.key().to_private_key_der()));
        let tls = server_config(
            &identity.expect("usable"),
            &ClientAuth::None,
            Protocols::Http2,
        );
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(&address).await.expect("bound").with_tls(tls);
        let address = format!("https://{}", listener.address());
        let service = Arc::new(ScriptedCloud {
            authority: Arc::clone(&authority),
            refusals: Mutex::new(refusals),
            keys: Mutex::default(),
        });
        let shutdown = Shutdown::new();
        let router = Grpc::new()
            .add_service(ActivationServiceServer::from_arc(Arc::clone(&service)))
            .into_router(&Readiness::new(), &shutdown);
        let serving = serve(listener, router, ServeOptions::default(), shutdown.clone());
        shutdown.spawn("cloud", OnCancel::Wait, serving);
        Self {
            address,
            authority,
            service,
            shutdown,
        }
    }

    fn activation(&self, folder: &Path) -> Activation {
        let token = JoinToken::generate(self.authority.fingerprint());
        Activation {
            address: self.address.clone(),
            token: token.reveal().to_string(),
            folder: folder.to_owned(),
            version: "0.0.0".into(),
            patience: Duration::from_secs(180),
        }
    }

    async fn stop(self) -> Vec<String> {
        self.shutdown.begin();
        self.shutdown.drain(Duration::from_secs(180)).await;
        self.service.keys.lock().expect("not poisoned").clone()
    }
}

#[tokio::test]
async fn when_a_node_joins_then_its_identity_is_on_disk_and_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloud = Cloud::start(vec![]).await;

    let identity = activate(&cloud.activation(folder.path())).await;

    let identity = identity.expect("activated");
    assert_eq!(identity.node.to_string(), "press");
    assert!(is_activated(folder.path()));
    let credentials = folder.path().join(CREDENTIALS_FILE);
    let mode = credentials.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    Credentials::load(&credentials).expect("key and certificate fit");
    assert!(folder.path().join(NODE_FILE).exists());
    assert!(!folder.path().join(PENDING_KEY_FILE).exists());
    cloud.stop().await;
}

#[tokio::test]
async fn given_a_cloud_that_is_away_when_it_returns_then_the_same_key_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let away = || Status::unavailable("starting");
    let cloud = Cloud::start(vec![away(), away()]).await;

    activate(&cloud.activation(folder.path()))
        .await
        .expect("activated");

    let keys = cloud.stop().await;
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[tokio::test]
async fn when_the_cloud_refuses_then_nothing_but_the_key_is_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloud = Cloud::start(vec![Status::permission_denied("another key")]).await;

    let error = activate(&cloud.activation(folder.path())).await;

    let error = error.expect_err("refused");
    assert!(matches!(error, InitError::Refused(_)), "{error:?}");
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(!is_activated(folder.path()));
    assert!(folder.path().join(PENDING_KEY_FILE).exists());
    cloud.stop().await;
}

#[tokio::test]
async fn given_a_token_for_another_authority_when_joining_then_the_server_is_not_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloud = Cloud::start(vec![]).await;
    let domain = "baetyl.test".parse::<TrustDomain>().expect("a domain");
    let other = Authority::create("other", &domain, validity()).expect("made");
    let mut activation = cloud.activation(folder.path());
    activation.token = JoinToken::generate(other.fingerprint())
        .reveal()
        .to_string();
    activation.patience = Duration::ZERO;

    let error = activate(&activation).await.expect_err("not trusted");

    assert!(matches!(error, InitError::Unreachable { .. }), "{error:?}");
    assert!(cloud.stop().await.is_empty());
}

#[tokio::test]
async fn given_an_activated_folder_when_joining_again_then_it_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let cloud = Cloud::start(vec![]).await;
    activate(&cloud.activation(folder.path()))
        .await
        .expect("activated");

    let error = activate(&cloud.activation(folder.path())).await;

    let error = error.expect_err("refused");
    assert_eq!(error.reason(), "ALREADY_ACTIVATED");
    assert!(error.to_string().contains("press"), "{error}");
    cloud.stop().await;
}

#[tokio::test]
async fn when_core_ends_at_once_then_its_status_and_log_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = CoreProcess {
        program: "/bin/false".into(),
        args: vec![],
        log: folder.path().join("log/core.log"),
        patience: Duration::from_secs(20),
    };

    let error = start_core(&core, async || false).await.expect_err("failed");

    assert_eq!(error.reason(), "CORE_FAILED");
    assert!(error.to_string().contains("core.log"), "{error}");
}
