//! Which paths are replaced.

use std::path::{Path, PathBuf};

use super::Paths;

fn paths() -> Paths {
    let mut paths = Paths::default();
    paths.add("/data", PathBuf::from("/tmp/1/all"));
    paths.add("/data/code/", PathBuf::from("/tmp/1/code"));
    paths
}

#[test]
fn when_a_text_names_paths_of_mounts_then_these_are_replaced() {
    for (text, expected) in [
        ("/data", "/tmp/1/all"),
        ("/data/x", "/tmp/1/all/x"),
        ("/data/code/a.py", "/tmp/1/code/a.py"),
        (
            "--file=/data/x:/data/code",
            "--file=/tmp/1/all/x:/tmp/1/code",
        ),
        (r#"{"folder": "/data"}"#, r#"{"folder": "/tmp/1/all"}"#),
        ("/database/x", "/database/x"),
        ("/var/data/x", "/var/data/x"),
        ("a/data", "a/data"),
        ("äpfel /data/", "äpfel /tmp/1/all/"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(paths().text(text), expected, "{text}");
    }
}

#[test]
fn when_a_file_lies_in_a_mount_then_it_is_found() {
    let paths = paths();

    let (inner, outer) = (paths.file("/data/code/a.py"), paths.file("/data/a.py"));

    assert_eq!(inner.as_deref(), Some(Path::new("/tmp/1/code/a.py")));
    assert_eq!(outer.as_deref(), Some(Path::new("/tmp/1/all/a.py")));
    assert_eq!(paths.file("/etc/passwd"), None);
}
