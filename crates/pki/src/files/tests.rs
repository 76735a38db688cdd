//! Files: whole, with their mode, and nothing left beside them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{
    FileError, MAX_BYTES, create_private, read_private, read_public, write_private, write_public,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn when_a_private_file_is_written_then_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();

    write_private(&path, b"new").unwrap();

    assert_eq!(mode(&path), 0o600);
    assert_eq!(&**read_private(&path).unwrap(), b"new");
    assert_eq!(names(folder.path()), ["key.pem"]);
}

#[test]
fn when_a_public_file_is_written_then_it_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");

    write_public(&path, b"text").unwrap();

    assert_eq!(read_public(&path).unwrap(), b"text");
    assert_eq!(mode(&path) & 0o600, 0o600);
}

#[test]
fn when_others_may_use_a_private_file_then_it_is_refused_and_the_way_out_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    fs::write(&path, "secret").unwrap();
    for exposed in [0o640, 0o604, 0o660, 0o644, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();

        let error = read_private(&path).unwrap_err();

        assert!(matches!(&error, FileError::Exposed { mode, .. } if *mode == exposed));
        assert!(error.to_string().contains("chmod 600"), "{error}");
        assert_eq!(error.reason(), "FILE_EXPOSED");
    }
}

#[test]
fn when_a_file_exists_then_creating_it_fails_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    create_private(&path, b"first").unwrap();

    let second = create_private(&path, b"second");

    assert!(matches!(second, Err(FileError::Exists { .. })));
    assert_eq!(&**read_private(&path).unwrap(), b"first");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(names(folder.path()), ["key"]);
}

#[test]
fn when_the_folder_or_file_is_missing_then_the_error_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none/key");

    assert!(matches!(
        read_private(&path),
        Err(FileError::Missing { .. })
    ));
    assert!(matches!(
        write_private(&path, b""),
        Err(FileError::Missing { .. })
    ));
    assert!(matches!(
        create_private(&path, b""),
        Err(FileError::Missing { .. })
    ));
    assert!(matches!(
        write_private(Path::new("/"), b""),
        Err(FileError::Io { .. })
    ));
}

#[test]
fn when_a_file_is_too_large_then_it_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    fs::File::create(&path)
        .unwrap()
        .set_len(MAX_BYTES + 1)
        .unwrap();

    assert!(matches!(
        read_public(&path),
        Err(FileError::TooLarge { .. })
    ));
}
