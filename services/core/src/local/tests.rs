//! The local folder: its files and who may read them.

use super::*;

#[test]
fn when_the_token_is_opened_again_then_it_is_the_same_and_private() {
    let held = tempfile::tempdir().unwrap();
    let folder = LocalFolder::new(held.path().join("local"));
    folder.make().unwrap();

    let first = folder.open_token().unwrap();
    let second = folder.open_token().unwrap();

    assert!(first.hash().matches(&second.hash()));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.token()), 0o600);
    assert_eq!(mode(&held.path().join("local")), 0o700);
}

#[test]
fn when_the_token_file_is_open_to_others_then_it_is_refused() {
    let held = tempfile::tempdir().unwrap();
    let folder = LocalFolder::new(held.path().join("local"));
    folder.make().unwrap();
    folder.open_token().unwrap();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(folder.token(), open).unwrap();

    let error = folder.open_token().unwrap_err();

    assert_eq!(error.reason(), "FILE_EXPOSED");
}
