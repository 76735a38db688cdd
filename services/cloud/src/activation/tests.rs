//! Activation over the wire, renewal and revocation.

use std::time::{Duration, SystemTime};

use baetyl_model::Kind;
use baetyl_pki::{CertificateDer, KeyPair, SigningRequest};
use baetyl_proto::sync::v1 as wire;
use baetyl_service_kit::fault::{Code, Fault as _, Problem};
use tonic::Status;

use super::{ActivationError, Standing, certificate_key};
use crate::store::{Commit, Write};
use crate::testing::{Cloud, Device, key, name, namespace};

fn refusal(status: &Status) -> (Code, String) {
    let problem = Problem::from_status(status);
    (problem.code, problem.reason)
}

fn request(key: &KeyPair) -> Vec<u8> {
    SigningRequest::create(key, "device").unwrap()
}

async fn with_node() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.node("demo", &[]).await;
    cloud
}

async fn renew(cloud: &Cloud, device: &Device, signer: &KeyPair) -> Result<Device, Status> {
    let key = KeyPair::generate();
    let certificate_request = request(&key);
    let answer = cloud
        .activation_client()
        .renew(wire::RenewRequest {
            certificate: device.identity.certificate_chain[0].clone(),
            signature: signer.prove(&certificate_request).into(),
            certificate_request: certificate_request.into(),
        })
        .await?;
    let identity = answer.into_inner().identity.unwrap();
    Ok(Device { key, identity })
}

async fn resolve(cloud: &Cloud, device: &Device) -> Result<Standing, ActivationError> {
    let chain = device.identity.certificate_chain.iter();
    let chain: Vec<CertificateDer<'_>> = chain.map(|der| der.to_vec().into()).collect();
    cloud
        .parts
        .activation
        .resolve(&chain)
        .await
        .map(|caller| caller.standing)
}

#[tokio::test]
async fn when_a_device_joins_then_it_is_told_everything_it_needs() {
    let cloud = with_node().await;

    let device = cloud.join("demo").await;

    let identity = &device.identity;
    assert_eq!(
        (identity.namespace.as_str(), identity.node.as_str()),
        ("default", "demo")
    );
    assert_eq!(
        identity.sync_addresses,
        std::slice::from_ref(&cloud.sync_address)
    );
    assert_eq!(
        identity.api_addresses,
        std::slice::from_ref(&cloud.api_address)
    );
    assert_eq!(identity.trust_domain, "test.baetyl");
    assert_eq!(identity.authorities.len(), 1);
    assert_eq!(resolve(&cloud, &device).await.unwrap(), Standing::Live);
}

#[tokio::test]
async fn when_the_same_key_repeats_then_it_gets_the_same_certificate() {
    let cloud = with_node().await;
    let token = cloud.token("demo").await;
    let key = KeyPair::generate();

    let first = cloud.activate(&token, &request(&key)).await.unwrap();
    let again = cloud.activate(&token, &request(&key)).await.unwrap();

    assert_eq!(first, again);
}

#[tokio::test]
async fn when_another_key_uses_the_token_then_it_is_refused() {
    let cloud = with_node().await;
    let token = cloud.token("demo").await;
    cloud
        .activate(&token, &request(&KeyPair::generate()))
        .await
        .unwrap();

    let refused = cloud
        .activate(&token, &request(&KeyPair::generate()))
        .await
        .unwrap_err();

    assert_eq!(
        refusal(&refused),
        (Code::PermissionDenied, "TOKEN_REUSED".to_owned())
    );
}

#[tokio::test]
async fn when_the_token_is_wrong_then_it_is_refused_whatever_the_request() {
    let cloud = with_node().await;
    let other = with_node().await;
    let foreign = other.token("demo").await;
    for token in ["", "jt_x", foreign.as_str()] {
        let refused = cloud.activate(token, b"no request").await.unwrap_err();

        let wanted = (Code::Unauthenticated, "TOKEN_INVALID".to_owned());
        assert_eq!(refusal(&refused), wanted, "{token:?}");
    }
}

#[tokio::test]
async fn when_the_request_is_malformed_then_its_field_is_named() {
    let cloud = with_node().await;

    let refused = cloud
        .activate(&cloud.token("demo").await, b"x")
        .await
        .unwrap_err();

    let problem = Problem::from_status(&refused);
    assert_eq!(problem.code, Code::InvalidArgument);
    assert_eq!(problem.violations[0].field, "certificate_request");
}

#[tokio::test]
async fn when_the_token_has_expired_then_it_is_refused() {
    let cloud = with_node().await;
    let activation = &cloud.parts.activation;
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    let made = activation
        .create_token(&namespace(), &name("demo"), minute, now)
        .await
        .unwrap();
    let token = made.token.reveal();
    let key = KeyPair::generate();
    activation
        .activate(&token, &request(&key), now)
        .await
        .unwrap();

    let refused = activation
        .activate(&token, &request(&key), now + minute)
        .await
        .unwrap_err();

    assert_eq!(refused.reason(), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn when_the_node_was_deleted_then_its_token_is_good_for_nothing() {
    let cloud = with_node().await;
    let token = cloud.token("demo").await;
    cloud.delete(key(Kind::Node, "demo")).await;
    cloud.node("demo", &[]).await;

    let refused = cloud
        .activate(&token, &request(&KeyPair::generate()))
        .await
        .unwrap_err();

    assert_eq!(
        refusal(&refused),
        (Code::PermissionDenied, "NODE_NOT_FOUND".to_owned())
    );
}

#[tokio::test]
async fn when_two_devices_race_for_a_token_then_one_wins() {
    let cloud = with_node().await;
    let token = cloud.token("demo").await;
    let requests: Vec<Vec<u8>> = (0..8).map(|_| request(&KeyPair::generate())).collect();

    let outcomes = requests
        .iter()
        .map(|request| cloud.activate(&token, request));
    let outcomes = futures::future::join_all(outcomes).await;

    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(refusal(refused).1, "TOKEN_REUSED");
    }
}

#[tokio::test]
async fn when_a_certificate_is_renewed_then_both_are_good() {
    let cloud = with_node().await;
    let device = cloud.join("demo").await;

    let renewed = renew(&cloud, &device, &device.key).await.unwrap();

    assert_eq!(resolve(&cloud, &renewed).await.unwrap(), Standing::Live);
    assert_eq!(resolve(&cloud, &device).await.unwrap(), Standing::Live);
}

#[tokio::test]
async fn when_another_key_signs_the_renewal_then_it_is_refused() {
    let cloud = with_node().await;
    let device = cloud.join("demo").await;

    let refused = renew(&cloud, &device, &KeyPair::generate())
        .await
        .err()
        .unwrap();

    assert_eq!(
        refusal(&refused),
        (Code::PermissionDenied, "PROOF_INVALID".to_owned())
    );
}

#[tokio::test]
async fn when_the_authority_is_another_then_renewal_is_refused() {
    let cloud = with_node().await;
    let other = with_node().await;
    let foreign = other.join("demo").await;

    let refused = renew(&cloud, &foreign, &foreign.key).await.err().unwrap();

    assert_eq!(
        refusal(&refused),
        (Code::PermissionDenied, "CERTIFICATE_INVALID".to_owned())
    );
}

#[tokio::test]
async fn when_a_certificate_expired_then_it_cannot_be_renewed() {
    let cloud = with_node().await;
    let device = cloud.join("demo").await;
    let certificate_request = request(&device.key);
    let signature = device.key.prove(&certificate_request);
    let later = SystemTime::now() + Duration::from_secs(31 * 24 * 3600);
    let certificate = &device.identity.certificate_chain[0];

    let activation = &cloud.parts.activation;
    let refused = activation
        .renew(certificate, &certificate_request, &signature, later)
        .await;

    assert_eq!(refused.unwrap_err().reason(), "CERTIFICATE_EXPIRED");
}

#[tokio::test]
async fn when_a_node_is_revoked_then_nothing_of_it_is_good_any_more() {
    let cloud = with_node().await;
    let device = cloud.join("demo").await;
    let renewed = renew(&cloud, &device, &device.key).await.unwrap();
    let open_token = cloud.token("demo").await;

    let count = cloud
        .operations
        .revoke(&namespace(), &name("demo"))
        .await
        .unwrap();

    assert_eq!(count, 2);
    for one in [&device, &renewed] {
        assert_eq!(
            resolve(&cloud, one).await.unwrap_err().reason(),
            "CERTIFICATE_REVOKED"
        );
        let refused = renew(&cloud, one, &one.key).await.err().unwrap();
        assert_eq!(refusal(&refused).1, "CERTIFICATE_REVOKED");
    }
    let refused = cloud
        .activate(&open_token, &request(&device.key))
        .await
        .unwrap_err();
    assert_eq!(refusal(&refused).1, "TOKEN_INVALID");
    // A new token is a new beginning.
    assert_eq!(
        resolve(&cloud, &cloud.join("demo").await).await.unwrap(),
        Standing::Live
    );
}

#[tokio::test]
async fn when_an_old_backup_is_restored_then_unknown_serials_may_only_renew() {
    let cloud = with_node().await;
    let device = cloud.join("demo").await;
    let serial = serial(&device);
    let commit = Commit {
        preconditions: Vec::new(),
        writes: vec![Write::DeleteRecord(certificate_key(&namespace(), &serial))],
    };
    cloud.store.commit(commit).await.unwrap();

    assert_eq!(
        resolve(&cloud, &device).await.unwrap_err().reason(),
        "CERTIFICATE_UNKNOWN"
    );
    let renewed = renew(&cloud, &device, &device.key).await.unwrap();

    assert_eq!(resolve(&cloud, &renewed).await.unwrap(), Standing::Live);
}

#[tokio::test]
async fn when_an_old_backup_is_restored_then_revoked_serials_stay_refused() {
    let cloud = with_node().await;
    let device = cloud.join("demo").await;
    let serial = serial(&device);
    cloud
        .operations
        .revoke(&namespace(), &name("demo"))
        .await
        .unwrap();
    let commit = Commit {
        preconditions: Vec::new(),
        writes: vec![Write::DeleteRecord(certificate_key(&namespace(), &serial))],
    };
    cloud.store.commit(commit).await.unwrap();

    let cloud = cloud.restart().await;
    let refused = renew(&cloud, &device, &device.key).await.err().unwrap();

    assert_eq!(refusal(&refused).1, "CERTIFICATE_REVOKED");
}

fn serial(device: &Device) -> baetyl_pki::Serial {
    let leaf = &device.identity.certificate_chain[0];
    baetyl_pki::PeerIdentity::from_der(leaf).unwrap().serial
}
