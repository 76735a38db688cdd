//! Tests of the module `layout`.

use super::*;

fn layout(root: &Path) -> Layout {
    Layout::make(&root.join("data"), Some(&root.join("secret"))).unwrap()
}

#[test]
fn when_old_files_are_tidied_then_kept_and_persistent_ones_stay() {
    let root = tempfile::tempdir().unwrap();
    let layout = layout(root.path());
    let input = InputKey::configuration("code");
    let (kept, old) = (Digest::of(b"kept"), Digest::of(b"old"));
    for digest in [&kept, &old] {
        fs::create_dir_all(layout.content("app", &input, digest)).unwrap();
    }
    let release = |number| ReleaseKey {
        application: "app".into(),
        number,
    };
    for number in [1, 2] {
        fs::create_dir_all(layout.reloaded(&release(number), &input, "files")).unwrap();
    }
    fs::create_dir_all(layout.persistent("app", "data")).unwrap();

    let keep = Kept {
        number: 2,
        digests: vec![kept],
    };
    layout.tidy("app", &[keep]).unwrap();

    assert!(layout.content("app", &input, &kept).exists());
    assert!(!layout.content("app", &input, &old).exists());
    assert!(layout.reloaded(&release(2), &input, "files").exists());
    assert!(!layout.reloaded(&release(1), &input, "files").exists());
    assert!(layout.persistent("app", "data").exists());
}

#[test]
fn when_an_application_is_forgotten_then_its_data_stays_unless_it_is_to_go() {
    let root = tempfile::tempdir().unwrap();
    let layout = layout(root.path());
    let data = layout.persistent("app", "data");
    fs::create_dir_all(&data).unwrap();
    fs::create_dir_all(layout.certificates("app", "web")).unwrap();

    layout.forget("app", false).unwrap();
    assert!(data.exists());
    assert!(!layout.certificates("app", "web").exists());

    layout.forget("app", true).unwrap();
    assert!(!root.path().join("data/apps/app").exists());
}

#[test]
fn when_a_name_leads_elsewhere_then_nothing_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let layout = layout(root.path());

    for name in ["..", ".", "", "../instances", "/"] {
        layout.forget(name, true).unwrap();
        layout.tidy(name, &[]).unwrap();
    }

    assert!(root.path().join("data/instances").exists());
    assert!(root.path().join("secret").exists());
}

#[test]
fn when_secrets_have_no_folder_of_their_own_then_one_in_memory_is_found_or_the_data_folder() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::make(&root.path().join("data"), None).unwrap();

    let secret = layout.certificates("app", "web");
    let is_below_data = secret.starts_with(root.path());
    assert!(is_below_data || layout.is_secret_in_memory());

    layout.forget_all().unwrap();
    remove_in_memory(&root.path().join("data")).unwrap();
    assert!(is_below_data || !secret.ancestors().nth(4).unwrap().exists());
}
