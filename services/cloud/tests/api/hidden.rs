//! Certificates and registries: what they hide never leaves by the API, and otherwise they are
//! resources like all others.

use std::time::{Duration, SystemTime};

use baetyl_pki::{Authority, KeyPair, Profile, ServerName, Validity, pem};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use pb::document::Resource;
use prost::Message;

use crate::world::{Clients, World, next, reason, refused};

/// A password that nothing else contains.
const PASSWORD: &str = "canary-9d41";

/// A certificate for a new key.
fn certificate(name: &str) -> resource::Certificate {
    let validity = Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    };
    let trust_domain = "test.baetyl".parse().expect("a trust domain");
    let authority = Authority::create("test", &trust_domain, validity).expect("valid");
    let key = KeyPair::generate();
    let host = ServerName::try_from("shop.example.com").expect("a host");
    let profile = Profile::cloud_system("shop".parse().expect("a name"), vec![host]);
    let issued = authority.issue(key.public_key(), &profile, validity);
    resource::Certificate {
        name: name.to_owned(),
        certificate_pem: pem::encode_certs(&[issued.expect("valid").certificate]),
        private_key_pem: key.to_pem().to_string(),
        ..Default::default()
    }
}

fn registry(name: &str) -> resource::Registry {
    resource::Registry {
        name: name.to_owned(),
        address: "registry.example.com:5000".to_owned(),
        username: "robot".to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    }
}

/// A container application that uses both.
fn shop() -> resource::Application {
    let tls = resource::volume::Source::Certificate(resource::ResourceRef {
        name: "tls".to_owned(),
    });
    let mut shop = resource::Application {
        name: "shop".to_owned(),
        registries: vec!["private".to_owned()],
        services: vec![resource::Service {
            name: "shop".to_owned(),
            image: "shop:1".to_owned(),
            ..Default::default()
        }],
        volumes: vec![resource::Volume {
            name: "tls".to_owned(),
            source: Some(tls),
            ..Default::default()
        }],
        ..Default::default()
    };
    shop.set_type(resource::ApplicationType::Container);
    shop
}

fn set(resources: Vec<Resource>) -> pb::ApplyRequest {
    let document = |one| pb::Document {
        resource: Some(one),
    };
    pb::ApplyRequest {
        documents: resources.into_iter().map(document).collect(),
        ..Default::default()
    }
}

async fn create(clients: &mut Clients, one: resource::Certificate) -> resource::Certificate {
    let create = pb::CreateCertificateRequest {
        certificate: Some(one),
        ..Default::default()
    };
    let made = clients.certificates.create_certificate(create).await;
    let made = made.expect("it is new").into_inner();
    made.certificate.expect("it is returned")
}

async fn create_registry(clients: &mut Clients, one: resource::Registry) -> resource::Registry {
    let create = pb::CreateRegistryRequest {
        registry: Some(one),
        ..Default::default()
    };
    let made = clients.registries.create_registry(create).await;
    let made = made.expect("it is new").into_inner();
    made.registry.expect("it is returned")
}

/// Whether an answer has a text anywhere in its bytes.
fn holds(answer: &impl Message, text: &str) -> bool {
    let bytes = answer.encode_to_vec();
    let mut windows = bytes.windows(text.len());
    windows.any(|window| window == text.as_bytes())
}

pub(crate) async fn when_a_certificate_is_read_then_its_key_is_not_there(world: World) {
    let mut admin = world.admin();
    let written = certificate("tls");
    // A line from the middle of the key; the first lines of all keys are the same.
    let canary = written.private_key_pem.lines().nth(2).expect("a line");
    let canary = canary.to_owned();

    let made = create(&mut admin, written.clone()).await;
    let get = pb::GetCertificateRequest {
        name: "tls".to_owned(),
        ..Default::default()
    };
    let read = admin.certificates.get_certificate(get).await;
    let read = read.expect("it exists").into_inner();
    let list = pb::ListCertificatesRequest::default();
    let list = admin.certificates.list_certificates(list).await;
    let watch = pb::WatchCertificatesRequest::default();
    let watch = admin.certificates.watch_certificates(watch).await;
    let event = next(&mut watch.expect("allowed").into_inner()).await;
    let past = pb::GetRevisionRequest {
        kind: "certificate".to_owned(),
        name: "tls".to_owned(),
        revision: 1,
        ..Default::default()
    };
    let past = admin.revisions.get_revision(past).await;
    let other = pb::ApplyRequest {
        validate_only: true,
        ..set(vec![Resource::Certificate(certificate("tls"))])
    };
    let told = admin.sets.apply(other).await.expect("right").into_inner();

    assert!(holds(&written, &canary), "the canary is in the key");
    assert!(!holds(&made, &canary) && !holds(&read, &canary));
    assert!(!holds(&list.expect("allowed").into_inner(), &canary));
    assert!(!holds(&event.expect("an event"), &canary));
    assert!(!holds(&past.expect("kept").into_inner(), &canary));
    assert!(!holds(&told, &canary));
    let changes = &told.results[0].changes;
    let paths: Vec<&str> = changes.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["privateKeyPem", "certificatePem"]);
    let details = made.details.expect("filled");
    assert_eq!(details.subject_alternative_names.len(), 2, "{details:?}");
    assert!(made.salt.is_empty());
}

pub(crate) async fn when_a_registry_is_read_then_its_password_is_not_there(world: World) {
    let mut admin = world.admin();

    let made = create_registry(&mut admin, registry("private")).await;
    let get = pb::GetRegistryRequest {
        name: "private".to_owned(),
        ..Default::default()
    };
    let read = admin.registries.get_registry(get).await;
    let read = read.expect("it exists").into_inner();
    let list = pb::ListRegistriesRequest::default();
    let list = admin.registries.list_registries(list).await;
    let watch = pb::WatchRegistriesRequest::default();
    let watch = admin.registries.watch_registries(watch).await;
    let event = next(&mut watch.expect("allowed").into_inner()).await;
    let changed = resource::Registry {
        password: format!("{PASSWORD} again"),
        ..registry("private")
    };
    let told = admin
        .sets
        .apply(set(vec![Resource::Registry(changed)]))
        .await;
    let told = told.expect("right").into_inner();

    assert!(!holds(&made, PASSWORD) && !holds(&read, PASSWORD));
    assert!(!holds(&list.expect("allowed").into_inner(), PASSWORD));
    assert!(!holds(&event.expect("an event"), PASSWORD));
    assert!(!holds(&told, PASSWORD));
    assert_eq!(told.results[0].changes[0].path, "password");
    assert_eq!(made.username, "robot");
}

pub(crate) async fn when_what_was_read_of_them_is_sent_back_then_nothing_changes(world: World) {
    let mut admin = world.admin();
    let tls = create(&mut admin, certificate("tls")).await;
    let private = create_registry(&mut admin, registry("private")).await;

    let again = pb::UpdateCertificateRequest {
        certificate: Some(tls.clone()),
        ..Default::default()
    };
    let again = admin.certificates.update_certificate(again).await;
    let moved = resource::Registry {
        address: "other.example.com".to_owned(),
        etag: String::new(),
        ..private.clone()
    };
    let moved = pb::UpdateRegistryRequest {
        registry: Some(moved),
        ..Default::default()
    };
    let moved = admin.registries.update_registry(moved).await;
    let back = pb::RollbackRequest {
        kind: "registry".to_owned(),
        name: "private".to_owned(),
        ..Default::default()
    };
    let back = admin.revisions.rollback(back).await.expect("it is kept");

    assert_eq!(again.expect("right").into_inner().certificate, Some(tls));
    let moved = moved.expect("the password is kept").into_inner().registry;
    assert_eq!(moved.expect("returned").revision, 2);
    let result = back.into_inner().result.expect("returned");
    assert_eq!((result.revision, result.changes.len()), (3, 1));
}

pub(crate) async fn when_they_are_wrong_then_every_field_is_named(world: World) {
    let mut admin = world.admin();
    let wrong = resource::Certificate {
        private_key_pem: certificate("other").private_key_pem,
        ca_pem: "nonsense".to_owned(),
        ..certificate("tls")
    };
    let wrong = pb::CreateCertificateRequest {
        certificate: Some(wrong),
        ..Default::default()
    };
    let bad = resource::Registry {
        address: "https://example.com".to_owned(),
        username: String::new(),
        ..registry("private")
    };
    let bad = pb::CreateRegistryRequest {
        registry: Some(bad),
        ..Default::default()
    };

    let (_, certificate_fields) = refused(admin.certificates.create_certificate(wrong).await);
    let (_, registry_fields) = refused(admin.registries.create_registry(bad).await);

    let field = |field: &str, reason: &str| (field.to_owned(), reason.to_owned());
    assert_eq!(
        certificate_fields,
        [
            field("caPem", "INVALID_FORMAT"),
            field("privateKeyPem", "CONFLICT")
        ]
    );
    assert_eq!(
        registry_fields,
        [
            field("address", "INVALID_FORMAT"),
            field("username", "REQUIRED")
        ]
    );
}

pub(crate) async fn when_an_application_uses_them_then_they_are_protected(world: World) {
    let mut admin = world.admin();
    let lonely = set(vec![Resource::Application(shop())]);
    let lonely = admin.sets.apply(lonely).await;
    let whole = set(vec![
        Resource::Application(shop()),
        Resource::Certificate(certificate("tls")),
        Resource::Registry(registry("private")),
    ]);
    admin.sets.apply(whole).await.expect("it is whole");
    let certificate = |force| pb::DeleteCertificateRequest {
        name: "tls".to_owned(),
        force,
        ..Default::default()
    };
    let registry = pb::DeleteRegistryRequest {
        name: "private".to_owned(),
        ..Default::default()
    };

    let used = admin
        .certificates
        .delete_certificate(certificate(false))
        .await;
    let used_registry = admin.registries.delete_registry(registry).await;
    let forced = admin
        .certificates
        .delete_certificate(certificate(true))
        .await;

    assert_eq!(reason(lonely), "MISSING_REFERENCE");
    assert_eq!(reason(used), "IN_USE");
    assert_eq!(reason(used_registry), "IN_USE");
    assert!(forced.is_ok());
}

pub(crate) async fn when_a_set_is_pruned_then_they_go_with_their_users(world: World) {
    let mut admin = world.admin();
    let labelled = |mut all: Vec<Resource>| {
        for one in &mut all {
            let labels = match one {
                Resource::Application(one) => &mut one.labels,
                Resource::Certificate(one) => &mut one.labels,
                Resource::Registry(one) => &mut one.labels,
                other => unreachable!("{other:?}"),
            };
            labels.insert("set".to_owned(), "shop".to_owned());
        }
        all
    };
    let whole = labelled(vec![
        Resource::Application(shop()),
        Resource::Certificate(certificate("tls")),
        Resource::Registry(registry("private")),
    ]);
    admin.sets.apply(set(whole)).await.expect("it is whole");
    let left = pb::ApplyRequest {
        prune_selector: "set = shop".to_owned(),
        ..set(labelled(vec![Resource::Registry(registry("new"))]))
    };

    let told = admin.sets.apply(left).await.expect("right").into_inner();

    let results = told
        .results
        .iter()
        .map(|one| (one.kind.as_str(), one.action()));
    let results: Vec<_> = results.collect();
    let (created, deleted) = (pb::ApplyAction::Created, pb::ApplyAction::Deleted);
    assert_eq!(
        results,
        [
            ("Registry", created),
            ("Application", deleted),
            ("Certificate", deleted),
            ("Registry", deleted)
        ]
    );
}
