//! Encryption at rest: what is damaged, moved or foreign is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Opened, SealError, Sealer};
use crate::FileError;

struct Store {
    folder: TempDir,
    wrapped_key: Vec<u8>,
    sealer: Sealer,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = Sealer::open_or_create(&folder.path().join("key"), None).unwrap();
        Self {
            folder,
            wrapped_key: opened.new_wrapped_key.unwrap(),
            sealer: opened.sealer,
        }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    fn open_again(&self) -> Result<Opened, SealError> {
        Sealer::open_or_create(&self.key_file(), Some(&self.wrapped_key))
    }
}

#[test]
fn when_a_store_is_opened_again_then_it_opens_what_it_sealed() {
    let store = Store::new();
    let sealed = store.sealer.seal(b"secrets/a", b"plain");

    let again = store.open_again().unwrap();

    assert!(again.new_wrapped_key.is_none());
    assert_eq!(
        &**again.sealer.open(b"secrets/a", &sealed).unwrap(),
        b"plain"
    );
    let mode = fs::metadata(store.key_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn when_the_wrapped_key_was_never_stored_then_the_key_file_is_used_again() {
    let store = Store::new();
    let before = fs::read(store.key_file()).unwrap();

    let opened = Sealer::open_or_create(&store.key_file(), None).unwrap();

    assert!(opened.new_wrapped_key.is_some());
    assert_eq!(fs::read(store.key_file()).unwrap(), before);
}

#[test]
fn when_the_key_file_is_gone_then_none_is_made_in_its_place() {
    let store = Store::new();
    fs::remove_file(store.key_file()).unwrap();

    let error = store.open_again().unwrap_err();

    assert!(matches!(error, SealError::KeyFileMissing { .. }));
    assert_eq!(error.reason(), "KEY_FILE_MISSING");
    assert!(!store.key_file().exists());
}

#[test]
fn when_the_key_file_is_of_another_store_then_it_is_a_mismatch() {
    let store = Store::new();
    fs::copy(Store::new().key_file(), store.key_file()).unwrap();

    let error = store.open_again().unwrap_err();

    assert_eq!(error.reason(), "KEY_MISMATCH");
}

#[test]
fn when_others_may_read_the_key_file_then_it_is_refused() {
    let store = Store::new();
    fs::set_permissions(store.key_file(), fs::Permissions::from_mode(0o640)).unwrap();

    let error = store.open_again().unwrap_err();

    assert!(matches!(error, SealError::File(FileError::Exposed { .. })));
    assert!(Sealer::open_or_create(&store.key_file(), None).is_err());
}

#[test]
fn when_the_key_file_has_not_32_bytes_then_it_is_refused() {
    let store = Store::new();
    for length in [0, 31, 33] {
        fs::write(store.key_file(), vec![7; length]).unwrap();

        assert_eq!(store.open_again().unwrap_err().reason(), "KEY_FILE_INVALID");
    }
}

#[test]
fn when_the_wrapped_key_is_cut_then_it_is_corrupt() {
    let mut store = Store::new();
    store.wrapped_key.pop();

    assert_eq!(store.open_again().unwrap_err().reason(), "CORRUPT");
}

#[test]
fn when_the_key_is_wrapped_again_then_only_the_new_key_file_opens_it() {
    let mut store = Store::new();
    let sealed = store.sealer.seal(b"a", b"plain");
    let new_file = store.folder.path().join("new key");

    store.wrapped_key = store.sealer.rewrap(&new_file).unwrap();

    assert_eq!(store.open_again().unwrap_err().reason(), "KEY_MISMATCH");
    let again = Sealer::open_or_create(&new_file, Some(&store.wrapped_key)).unwrap();
    assert_eq!(&**again.sealer.open(b"a", &sealed).unwrap(), b"plain");
}

#[test]
fn when_the_same_is_sealed_twice_then_the_bytes_differ() {
    let store = Store::new();

    assert_ne!(
        store.sealer.seal(b"a", b"plain"),
        store.sealer.seal(b"a", b"plain")
    );
}

#[test]
fn when_the_wrapped_key_is_given_as_sealed_bytes_then_it_does_not_open() {
    let store = Store::new();

    assert!(
        store
            .sealer
            .open(b"baetyl data key", &store.wrapped_key)
            .is_err()
    );
}

proptest! {
    #[test]
    fn when_sealed_then_it_opens_at_its_place_only(aad: Vec<u8>, other: Vec<u8>, plain: Vec<u8>) {
        let store = Store::new();
        let sealed = store.sealer.seal(&aad, &plain);

        prop_assert_eq!(sealed.len(), plain.len() + 41);
        prop_assert_eq!(&**store.sealer.open(&aad, &sealed).unwrap(), &plain[..]);
        prop_assert_eq!(store.sealer.open(&other, &sealed).is_ok(), aad == other);
    }

    #[test]
    fn when_any_bit_is_changed_or_the_end_cut_then_it_is_refused(
        plain: Vec<u8>,
        place: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let store = Store::new();
        let sealed = store.sealer.seal(b"a", &plain);
        let place = place.index(sealed.len());
        let mut changed = sealed.clone();
        changed[place] ^= 1_u8 << bit;

        let error = store.sealer.open(b"a", &changed).unwrap_err();
        let expected = if place == 0 { "SEAL_VERSION_UNKNOWN" } else { "CORRUPT" };
        prop_assert_eq!(error.reason(), expected);
        prop_assert_eq!(store.sealer.open(b"a", &sealed[..place]).unwrap_err().reason(), "CORRUPT");
    }
}
