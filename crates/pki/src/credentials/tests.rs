//! A key with its chain: one file, and only what belongs together.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Credentials;
use crate::testing::{authority, days, issued_node, node};
use crate::{Error, FileError, KeyPair};

#[test]
fn when_credentials_are_stored_then_they_are_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.pem");
    let authority = authority();
    let made = Credentials::issue(&authority, &node(), days(30)).unwrap();

    made.store(&path).unwrap();
    let loaded = Credentials::load(&path).unwrap();

    assert_eq!(loaded.chain(), made.chain());
    assert_eq!(loaded.identity(), made.identity());
    assert_eq!(loaded.key().pkcs8(), made.key().pkcs8());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn when_the_certificate_is_of_another_key_then_they_are_not_put_together() {
    let authority = authority();
    let issued = issued_node(&authority, KeyPair::generate().public_key());

    let made = Credentials::new(KeyPair::generate(), authority.chain(&issued));

    assert!(matches!(made, Err(Error::KeyMismatch)));
    let empty = Credentials::new(KeyPair::generate(), Vec::new());
    assert!(matches!(empty, Err(Error::CertificateInvalid { .. })));
}

#[test]
fn when_others_may_read_the_file_then_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.pem");
    let made = Credentials::issue(&authority(), &node(), days(30)).unwrap();
    made.store(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

    let loaded = Credentials::load(&path);

    assert!(matches!(
        loaded,
        Err(Error::File(FileError::Exposed { .. }))
    ));
}

#[test]
fn when_shown_for_debugging_then_the_key_is_not_seen() {
    let made = Credentials::issue(&authority(), &node(), days(30)).unwrap();

    let shown = format!("{made:?}");

    assert!(shown.contains("demo") && !shown.contains("pkcs8"));
}
