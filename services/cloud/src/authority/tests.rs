//! Authorities over restarts, and the list of revoked certificates.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::{Name, NamespaceName, Uid};
use baetyl_pki::Sealer;

use super::{Authorities, AuthorityError, Revocations, Revoked, ServerCertificate};
use crate::store::memory::MemoryStore;

fn revoked(serial: &str) -> Revoked {
    Revoked {
        serial: serial.parse().unwrap(),
        uid: Uid::random(),
        namespace: NamespaceName::parse("default").unwrap(),
        node: Name::parse("demo").unwrap(),
    }
}

async fn authorities(store: &MemoryStore, sealer: &Sealer) -> Result<Authorities, AuthorityError> {
    let trust_domain = "test.baetyl".parse().unwrap();
    Authorities::open_or_create(store, sealer, &trust_domain, SystemTime::now()).await
}

fn sealer(folder: &tempfile::TempDir, name: &str) -> Sealer {
    Sealer::open_or_create(&folder.path().join(name), None)
        .unwrap()
        .sealer
}

#[tokio::test]
async fn when_opened_again_then_the_authorities_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let sealer = sealer(&folder, "key");

    let first = authorities(&store, &sealer).await.unwrap();
    let again = authorities(&store, &sealer).await.unwrap();

    assert_eq!(first.nodes().fingerprint(), again.nodes().fingerprint());
    assert_eq!(first.servers().fingerprint(), again.servers().fingerprint());
    assert_ne!(first.servers().fingerprint(), first.nodes().fingerprint());
}

#[tokio::test]
async fn when_the_key_is_another_then_nothing_is_opened_nor_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    authorities(&store, &sealer(&folder, "key")).await.unwrap();

    let refused = authorities(&store, &sealer(&folder, "other")).await;

    assert!(matches!(refused, Err(AuthorityError::Pki(_))));
}

#[tokio::test]
async fn when_the_certificate_is_renewed_then_listeners_show_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let authorities = Arc::new(authorities(&store, &sealer(&folder, "key")).await.unwrap());
    let now = SystemTime::now();
    let names = ["cloud.example".to_owned(), "192.0.2.1".to_owned()];
    let mut certificate = ServerCertificate::issue(authorities, &names, now).unwrap();
    let before = certificate.identity().chain();

    certificate.renew(now + Duration::from_secs(3600)).unwrap();

    assert_ne!(certificate.identity().chain()[0], before[0]);
    assert_eq!(certificate.identity().chain()[1], before[1]);
}

#[tokio::test]
async fn when_a_name_is_malformed_then_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let authorities = Arc::new(authorities(&store, &sealer(&folder, "key")).await.unwrap());

    let names = ["no host".to_owned()];
    let refused = ServerCertificate::issue(authorities, &names, SystemTime::now());

    assert!(matches!(refused, Err(AuthorityError::Host(name)) if name == "no host"));
}

#[tokio::test]
async fn when_certificates_are_revoked_then_the_file_says_so_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    let revocations = Revocations::open(Some(&path)).unwrap();
    revocations
        .add(vec![revoked("4a01"), revoked("4a02")])
        .await
        .unwrap();

    let again = Revocations::open(Some(&path)).unwrap();

    assert!(again.contains(&"4a01".parse().unwrap()));
    assert!(again.contains(&"4a02".parse().unwrap()));
    assert!(!again.contains(&"4a03".parse().unwrap()));
}

#[tokio::test]
async fn when_the_last_line_is_torn_then_the_next_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revoked.txt");
    let revocations = Revocations::open(Some(&path)).unwrap();
    revocations.add(vec![revoked("4a01")]).await.unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(b"4").unwrap();

    let revocations = Revocations::open(Some(&path)).unwrap();
    revocations.add(vec![revoked("4a02")]).await.unwrap();

    let again = Revocations::open(Some(&path)).unwrap();
    assert!(again.contains(&"4a01".parse().unwrap()));
    assert!(again.contains(&"4a02".parse().unwrap()));
}
