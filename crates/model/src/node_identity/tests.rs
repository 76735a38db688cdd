//! The document of a node's identity.

use super::*;

fn message() -> wire::NodeIdentity {
    wire::NodeIdentity {
        certificate_chain: vec![vec![1].into()],
        authorities: vec![vec![2, 3].into()],
        namespace: "default".into(),
        node: "demo".into(),
        node_uid: Uid::random().to_string(),
        sync_addresses: vec!["127.0.0.1:9005".into()],
        api_addresses: vec!["127.0.0.1:9004".into()],
        expire_time: None,
        trust_domain: "test.baetyl".into(),
    }
}

#[test]
fn when_written_then_it_reads_back_as_it_was() {
    let file = NodeIdentityFile::try_from(&message()).unwrap();

    let read = NodeIdentityFile::from_json(file.to_json().as_bytes()).unwrap();

    assert_eq!(read, file);
    assert_eq!(read.authorities().unwrap(), [vec![2, 3]]);
}

#[test]
fn when_a_field_is_wrong_then_it_is_named() {
    type Spoil = fn(&mut wire::NodeIdentity);
    let cases: [(&str, Spoil); 6] = [
        ("namespace", |m| m.namespace = "Not".into()),
        ("node", |m| m.node.clear()),
        ("node_uid", |m| m.node_uid = "7".into()),
        ("sync_addresses", |m| m.sync_addresses.clear()),
        ("authorities", |m| m.authorities.clear()),
        ("trust_domain", |m| m.trust_domain.clear()),
    ];
    for (wanted, spoil) in cases {
        let mut message = message();
        spoil(&mut message);

        let error = NodeIdentityFile::try_from(&message).unwrap_err();

        let NodeIdentityError::Field { field, .. } = error else {
            panic!("{wanted}: {error}");
        };
        assert_eq!(field, wanted);
    }
}

#[test]
fn when_a_newer_program_wrote_it_then_it_is_refused() {
    let mut file = NodeIdentityFile::try_from(&message()).unwrap();
    file.version = 2;

    let error = NodeIdentityFile::from_json(file.to_json().as_bytes()).unwrap_err();

    assert!(matches!(error, NodeIdentityError::Version { version: 2 }));
}
