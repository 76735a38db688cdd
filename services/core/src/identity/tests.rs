//! The identity folder over activation, renewal and the end.

use std::time::{Duration, SystemTime};

use baetyl_model::Uid;
use baetyl_pki::{Authority, Profile, PublicKey, Validity};
use tempfile::TempDir;

use super::*;

struct Issuer {
    authority: Authority,
    uid: Uid,
}

impl Issuer {
    fn new() -> Self {
        let validity = Validity {
            now: SystemTime::now(),
            lifetime: Duration::from_secs(1_000_000),
        };
        let trust_domain = "test.baetyl".parse().unwrap();
        let authority = Authority::create("test", &trust_domain, validity).unwrap();
        let uid = Uid::random();
        Self { authority, uid }
    }

    fn answer(&self, key: &PublicKey) -> wire::NodeIdentity {
        let uid = self.uid.as_str().parse().unwrap();
        let profile = Profile::node("default".parse().unwrap(), "demo".parse().unwrap(), uid);
        let validity = Validity {
            now: SystemTime::now(),
            lifetime: Duration::from_secs(10_000),
        };
        let issued = self.authority.issue(key, &profile, validity).unwrap();
        let der = |der: &CertificateDer<'_>| der.to_vec().into();
        wire::NodeIdentity {
            certificate_chain: self.authority.chain(&issued).iter().map(der).collect(),
            authorities: vec![der(self.authority.certificate())],
            namespace: "default".into(),
            node: "demo".into(),
            node_uid: self.uid.to_string(),
            sync_addresses: vec!["127.0.0.1:9005".into()],
            api_addresses: vec!["127.0.0.1:9004".into()],
            expire_time: None,
            trust_domain: "test.baetyl".into(),
        }
    }
}

fn folder() -> (TempDir, IdentityFolder) {
    let held = tempfile::tempdir().unwrap();
    let folder = IdentityFolder::new(held.path());
    (held, folder)
}

#[test]
fn when_the_folder_is_empty_then_the_node_is_not_activated() {
    let (_held, folder) = folder();

    let error = folder.load().unwrap_err();

    assert!(
        matches!(error, IdentityError::NotActivated { .. }),
        "{error}"
    );
}

#[test]
fn when_an_answer_is_installed_then_it_is_loaded_and_the_pending_key_is_gone() {
    let (_held, folder) = folder();
    let issuer = Issuer::new();
    let key = folder.pending_key().unwrap();
    let again = folder.pending_key().unwrap();
    assert_eq!(again.public_key(), key.public_key());
    let public_key = key.public_key().clone();

    folder.install(key, &issuer.answer(&public_key)).unwrap();

    let loaded = folder.load().unwrap();
    assert_eq!(loaded.credentials.key().public_key(), &public_key);
    assert_eq!(loaded.authorities, [issuer.authority.certificate().clone()]);
    let next = folder.pending_key().unwrap();
    assert_ne!(next.public_key(), &public_key);
}

#[test]
fn when_the_answer_is_for_another_key_or_node_then_the_old_identity_stays() {
    let (_held, folder) = folder();
    let issuer = Issuer::new();
    let key = folder.pending_key().unwrap();
    let answer = issuer.answer(key.public_key());
    folder.install(key, &answer).unwrap();
    let before = folder.load().unwrap();

    let other = folder.pending_key().unwrap();
    let for_other_key = folder.install(other, &answer).unwrap_err();
    let key = folder.pending_key().unwrap();
    let mut for_other_node = issuer.answer(key.public_key());
    for_other_node.node_uid = Uid::random().to_string();
    let mismatch = folder.install(key, &for_other_node).unwrap_err();

    assert!(matches!(for_other_key, IdentityError::Pki(_)));
    assert!(matches!(mismatch, IdentityError::Mismatch));
    let after = folder.load().unwrap();
    assert_eq!(after.document, before.document);
    assert_eq!(after.credentials.chain(), before.credentials.chain());
}

#[test]
fn when_the_identity_is_forgotten_then_nothing_is_left() {
    let (held, folder) = folder();
    let issuer = Issuer::new();
    let key = folder.pending_key().unwrap();
    let answer = issuer.answer(key.public_key());
    folder.install(key, &answer).unwrap();

    folder.forget().unwrap();
    folder.forget().unwrap();

    assert_eq!(std::fs::read_dir(held.path()).unwrap().count(), 0);
}

#[test]
fn when_the_identity_is_replaced_then_tls_shows_the_new_one() {
    let (_held, folder) = folder();
    let issuer = Issuer::new();
    let key = folder.pending_key().unwrap();
    let answer = issuer.answer(key.public_key());
    folder.install(key, &answer).unwrap();
    let live = LiveIdentity::load(folder.clone()).unwrap();
    let renewals = live.renewals();

    let key = folder.pending_key().unwrap();
    let answer = issuer.answer(key.public_key());
    let identity = folder.install(key, &answer).unwrap();
    let chain = identity.credentials.chain().to_vec();
    live.replace(identity).unwrap();

    assert!(renewals.has_changed().unwrap());
    assert_eq!(live.current().credentials.chain(), chain);
}
