//! Certificates and registries travel with their keys and passwords, and to their users only.

use super::*;

fn certificate(name: &str, key: &str) -> pb::Certificate {
    pb::Certificate {
        name: name.to_owned(),
        certificate_pem: "certificate".to_owned(),
        private_key_pem: key.to_owned(),
        ..pb::Certificate::default()
    }
}

#[tokio::test]
async fn when_a_certificate_is_referenced_then_its_key_comes_and_no_other() {
    let cloud = Cloud::start().await;
    cloud.node("demo", &[("site", "demo")]).await;
    cloud.put(certificate("own", "key of its own")).await;
    let other = cloud.put(certificate("other", "key of others")).await;
    let registry = cloud
        .put(pb::Registry {
            name: "private".to_owned(),
            address: "registry.example.com".to_owned(),
            username: "robot".to_owned(),
            password: "password".to_owned(),
            ..pb::Registry::default()
        })
        .await;
    let mut watcher = application("watcher", "");
    watcher.volumes[0].source = Some(pb::volume::Source::Certificate(pb::ResourceRef {
        name: "own".to_owned(),
    }));
    cloud.put(watcher).await;
    let device = cloud.join("demo").await;
    let (mut edge, held) = synced(&cloud, &device).await;

    let own = body(&held, "watcher", 0);
    let bytes = fetch(&mut edge, vec![own.clone()]).await.unwrap();

    let features = &held.document.applications[0].features;
    assert_eq!(features, &["certificate.v1", "process.v1"]);
    assert_eq!(own.kind, "certificate");
    let received = pb::Certificate::decode(&bytes[..]).unwrap();
    assert_eq!(received.private_key_pem, "key of its own");
    assert!(!received.salt.is_empty());
    for stored in [other, registry] {
        let wanted = wire::BodyRef {
            kind: stored.key.kind.word().to_owned(),
            name: stored.key.name.to_string(),
            digest: stored.digest.to_string(),
            offset: 0,
        };
        let refused = fetch(&mut edge, vec![wanted]).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_REFERENCED", "{}", stored.key);
    }
}
