//! A table is there whole or not at all.

use super::{RouteFile, StoreError};

#[test]
fn when_a_table_was_saved_then_it_is_loaded_and_replaced_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = RouteFile::open(&folder.path().join("new/one")).expect("it is made");
    assert_eq!(file.load::<Vec<u32>>().expect("nothing is no fault"), None);

    file.save(&vec![1, 2]).expect("it is saved");
    file.save(&vec![3]).expect("it is saved again");

    assert_eq!(
        file.load::<Vec<u32>>().expect("it is loaded"),
        Some(vec![3])
    );
}

#[test]
fn when_a_write_was_cut_off_then_the_old_table_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = RouteFile::open(folder.path()).expect("it is there");
    file.save(&vec![1]).expect("it is saved");

    std::fs::write(folder.path().join("routes.json.new"), b"{\"format\":1,\"ta").expect("written");

    assert_eq!(
        file.load::<Vec<u32>>().expect("it is loaded"),
        Some(vec![1])
    );
    file.save(&vec![2]).expect("what was left does not matter");
    assert_eq!(
        file.load::<Vec<u32>>().expect("it is loaded"),
        Some(vec![2])
    );
}

#[test]
fn when_the_file_is_broken_or_from_the_future_then_it_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = RouteFile::open(folder.path()).expect("it is there");
    let path = folder.path().join("routes.json");

    for broken in ["", "{", "{\"format\":1,\"table\":\"text\"}"] {
        std::fs::write(&path, broken).expect("written");
        let error = file.load::<Vec<u32>>().expect_err("it is broken");
        assert!(
            matches!(error, StoreError::Unreadable { .. }),
            "{broken}: {error}"
        );
    }
    std::fs::write(&path, "{\"format\":2,\"table\":[]}").expect("written");
    let error = file.load::<Vec<u32>>().expect_err("it is from the future");
    assert!(matches!(error, StoreError::UnknownForm { .. }), "{error}");
}
