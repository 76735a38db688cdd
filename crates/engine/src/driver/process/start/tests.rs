//! Tests of the module `start`.

use super::*;

#[test]
fn when_an_argument_names_a_file_of_the_program_then_it_becomes_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("watcher.py");
    fs::write(&script, "").unwrap();
    let path = script.to_string_lossy().into_owned();

    assert_eq!(resolve(Some(folder.path()), "watcher.py"), path);
    assert!(resolve(Some(folder.path()), "./watcher.py").ends_with("watcher.py"));
    assert!(resolve(Some(folder.path()), "./watcher.py").starts_with('/'));
    for other in ["other.py", "", "-u", "..", "../watcher.py", "/etc/hostname"] {
        assert_eq!(resolve(Some(folder.path()), other), other);
    }
    assert_eq!(resolve(None, "watcher.py"), "watcher.py");
}

#[test]
fn when_the_program_is_missing_then_that_is_told_apart_from_other_refusals() {
    let missing = not_started(2, "execute nothing: no such file");
    assert_eq!(missing.reason, reason::PROGRAM_NOT_FOUND);

    let refused = not_started(13, "execute thing: permission denied");
    assert_eq!(refused.reason, reason::START_FAILED);
    let elsewhere = not_started(2, "enter the working folder: no such file");
    assert_eq!(elsewhere.reason, reason::START_FAILED);
}

#[test]
fn when_folders_are_made_then_volumes_are_links_below_the_root() {
    let base = tempfile::tempdir().unwrap();
    let own = base.path().join("instance");
    let target = base.path().join("volume");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("file"), "x").unwrap();
    let link = |path: &str| Link {
        target: target.clone(),
        path: path.into(),
        is_empty: false,
    };

    let work = own.join("work");
    let start = make(&own, &work, &[link("etc/app")], None).unwrap();
    assert_eq!(start, Some(work.clone()));
    assert_eq!(
        fs::read_to_string(own.join("root/etc/app/file")).unwrap(),
        "x"
    );

    let made = make(&own, &work, &[link("etc/app")], Some(Path::new("var/lib"))).unwrap();
    assert_eq!(made, Some(own.join("root/var/lib")));
    let inside = make(
        &own,
        &work,
        &[link("etc/app")],
        Some(Path::new("etc/app/no")),
    )
    .unwrap();
    assert_eq!(inside, None);
    assert!(!target.join("no").exists());
}
