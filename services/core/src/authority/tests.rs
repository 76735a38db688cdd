//! The node's authority over restarts, and what it issues.

use baetyl_model::Uid;
use baetyl_pki::{Roots, Subject, Usage};
use baetyl_proto::sync::v1::NodeIdentity;

use super::*;
use crate::store::Memory;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn daily() -> Issuance {
    Issuance {
        lifetime: DAY,
        function_hosts: Vec::new(),
    }
}

fn identity() -> NodeIdentityFile {
    NodeIdentityFile::try_from(&NodeIdentity {
        authorities: vec![vec![1].into()],
        namespace: "default".into(),
        node: "demo".into(),
        node_uid: Uid::random().to_string(),
        sync_addresses: vec!["127.0.0.1:9005".into()],
        trust_domain: "test.baetyl".into(),
        ..NodeIdentity::default()
    })
    .unwrap()
}

#[test]
fn when_it_is_opened_again_then_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Box::new(Memory::new()), &folder.path().join("key")).unwrap();

    let first = NodeAuthority::open(&store, &identity(), daily()).unwrap();
    let second = NodeAuthority::open(&store, &identity(), daily()).unwrap();

    assert_eq!(first.certificate_pem(), second.certificate_pem());
}

#[tokio::test]
async fn when_a_workload_is_certified_then_its_certificate_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Box::new(Memory::new()), &folder.path().join("key")).unwrap();
    let authority = Arc::new(NodeAuthority::open(&store, &identity(), daily()).unwrap());

    let issued = WorkloadIssuer(authority)
        .issue("sensors", "window")
        .await
        .unwrap();

    let roots = Roots::from_pem(issued.ca_pem.as_bytes()).unwrap();
    let chain = pem::certs(issued.chain_pem.as_bytes()).unwrap();
    for usage in [Usage::Client, Usage::Server] {
        let peer = roots.verify(&chain, usage, SystemTime::now()).unwrap();
        let Subject::Workload {
            application,
            service,
            ..
        } = peer.spiffe.subject
        else {
            panic!("{}", peer.spiffe);
        };
        assert_eq!(
            (application.as_str(), service.as_str()),
            ("sensors", "window")
        );
        assert_eq!(peer.not_after, issued.not_after);
    }
    assert!(issued.key_pem.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn when_a_name_is_none_then_nothing_is_issued() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Box::new(Memory::new()), &folder.path().join("key")).unwrap();
    let authority = Arc::new(NodeAuthority::open(&store, &identity(), daily()).unwrap());

    let issued = WorkloadIssuer(authority).issue("../escape", "window").await;

    assert!(issued.is_err());
}
