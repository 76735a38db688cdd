//! Roots, and handshakes with a server behind a pinned authority.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::{PinnedAuthority, Roots, Usage, ring};
use crate::testing::{authority, days, issued_node, name, now};
use crate::{Authority, Credentials, Error, KeyPair, PeerIdentity, Profile, pem};

/// The time of the tests, so that nothing here ends with the certificates.
#[derive(Debug)]
struct TestTime;

impl TimeProvider for TestTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = now().duration_since(UNIX_EPOCH).unwrap();
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// Shakes hands in memory and returns who the server takes the client for.
fn shake_hands(
    client: ClientConfig,
    server: ServerConfig,
    host: &str,
) -> Result<Option<PeerIdentity>, rustls::Error> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), host).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &*wire).unwrap();
        client.process_new_packets()?;
    }
    let leaf = server.peer_certificates().and_then(<[_]>::first);
    Ok(leaf.map(|leaf| PeerIdentity::from_der(leaf).unwrap()))
}

fn cloud(authority: &Authority) -> Credentials {
    let hosts = vec![ServerName::try_from("cloud.example").unwrap()];
    let profile = Profile::cloud_system(name("cloud"), hosts);
    Credentials::issue(authority, &profile, days(30)).unwrap()
}

fn server(authority: &Authority, roots: Option<Roots>) -> ServerConfig {
    let credentials = cloud(authority);
    let builder = ServerConfig::builder_with_details(ring(), Arc::new(TestTime))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match roots {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots.store(), ring())
                .build()
                .unwrap(),
        ),
    };
    let key = credentials.key().to_private_key_der();
    builder
        .with_single_cert(credentials.chain().to_vec(), key)
        .unwrap()
}

fn pinning(authority: &Authority) -> ClientConfig {
    ClientConfig::builder_with_details(ring(), Arc::new(TestTime))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedAuthority::new(authority.fingerprint())))
        .with_no_client_auth()
}

#[test]
fn when_the_pinned_authority_signed_the_server_then_the_device_connects() {
    let authority = authority();

    let result = shake_hands(
        pinning(&authority),
        server(&authority, None),
        "cloud.example",
    );

    assert_eq!(result, Ok(None));
}

#[test]
fn when_the_server_is_another_or_has_another_name_then_the_device_refuses() {
    let (ours, theirs) = (authority(), authority());

    let rows = [
        (server(&theirs, None), "cloud.example"),
        (server(&ours, None), "other.example"),
        (server(&ours, None), "127.0.0.1"),
    ];
    for (server, host) in rows {
        let result = shake_hands(pinning(&ours), server, host);
        assert!(
            matches!(result, Err(rustls::Error::InvalidCertificate(_))),
            "{result:?}"
        );
    }
}

/// Everybody can send our authority's certificate along; it must also sign.
#[test]
fn when_a_stranger_sends_our_authority_along_then_the_device_refuses() {
    let (ours, theirs) = (authority(), authority());
    let stranger = cloud(&theirs);
    let chain = vec![stranger.chain()[0].clone(), ours.certificate().clone()];
    let server = ServerConfig::builder_with_details(ring(), Arc::new(TestTime))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, stranger.key().to_private_key_der())
        .unwrap();

    let result = shake_hands(pinning(&ours), server, "cloud.example");

    assert!(
        matches!(result, Err(rustls::Error::InvalidCertificate(_))),
        "{result:?}"
    );
}

#[test]
fn when_both_sides_have_certificates_then_the_server_knows_the_node() {
    let authority = authority();
    let key = KeyPair::generate();
    let issued = issued_node(&authority, key.public_key());
    let client = ClientConfig::builder_with_details(ring(), Arc::new(TestTime))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots().store())
        .with_client_auth_cert(vec![issued.certificate], key.to_private_key_der())
        .unwrap();
    let server = server(&authority, Some(authority.roots()));

    let result = shake_hands(client, server, "cloud.example");

    assert_eq!(result, Ok(Some(issued.identity)));
}

#[test]
fn when_the_chain_is_searched_then_the_pinned_authority_is_found() {
    let authority = authority();
    let credentials = cloud(&authority);
    let pinned = PinnedAuthority::new(authority.fingerprint());

    assert_eq!(
        pinned.find(credentials.chain()).as_ref(),
        Some(authority.certificate())
    );
    assert_eq!(pinned.find(&credentials.chain()[..1]), None);
}

#[test]
fn when_roots_or_chain_are_empty_or_unreadable_then_they_are_refused() {
    let authority = authority();
    let text = pem::encode_certs(&[authority.certificate().clone()]);

    assert!(Roots::from_pem(text.as_bytes()).is_ok());
    assert!(matches!(Roots::from_pem(b""), Err(Error::Pem { .. })));
    assert!(matches!(
        Roots::new([]),
        Err(Error::CertificateInvalid { .. })
    ));
    assert!(Roots::new([&vec![1, 2, 3].into()]).is_err());
    for usage in [Usage::Client, Usage::Server] {
        assert!(authority.roots().verify(&[], usage, now()).is_err());
        assert!(
            authority
                .roots()
                .verify(&[vec![1].into()], usage, now())
                .is_err()
        );
    }
}
