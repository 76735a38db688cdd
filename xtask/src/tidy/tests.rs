//! Each rule once broken and once kept.

use super::layers::dependencies;
use super::modules::declared;
use super::names::empty_word;
use super::{layers, lines, modules, names, shape, versions};
use crate::finding::Finding;
use crate::repository::Repository;

type Rule = fn(&Repository, &mut Vec<Finding>);

const WORKSPACE: &str = "[workspace]\nmembers = [\n    \"services/cloud\",\n    \"crates/model\",\n    \
                         \"crates/engine\",\n]\n\n[workspace.package]\nversion = \"0.1.0\"\n";
const LINTS: &str = "[lints]\nworkspace = true\n";

fn found(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    let mut all = vec![("Cargo.toml", WORKSPACE)];
    all.extend(files);
    let mut findings = Vec::new();
    rule(&Repository::of(&all), &mut findings);
    findings.iter().map(ToString::to_string).collect()
}

fn manifests(cloud: &str, model: &str) -> Vec<String> {
    let (cloud, model) = (format!("{LINTS}{cloud}"), format!("{LINTS}{model}"));
    let files = [
        ("services/cloud/Cargo.toml", cloud.as_str()),
        ("crates/model/Cargo.toml", model.as_str()),
        ("crates/engine/Cargo.toml", LINTS),
    ];
    found(layers::check, &files)
}

#[test]
fn when_dependencies_point_downward_then_nothing_is_found() {
    let cloud = "[dependencies]\nbaetyl-model.workspace = true\nsqlx = { workspace = true }\n\
                 [dev-dependencies]\nbaetyl-engine.workspace = true\nrcgen.workspace = true\n";
    let model =
        "[dependencies]\nbaetyl-proto.workspace = true\nbaetyl-service-kit.workspace = true\n";

    assert_eq!(manifests(cloud, model), [""; 0]);
}

#[test]
fn when_a_dependency_points_up_or_sideways_then_it_is_found() {
    let cloud = "[dependencies]\nbaetyl-core.workspace = true\nbaetyl-engine.workspace = true\n\
                 rcgen.workspace = true\n[dev-dependencies]\nbaetyl-function.workspace = true\n";
    let model = "[dependencies]\nbaetyl-pki.workspace = true\n";

    let found = manifests(cloud, model);

    assert_eq!(found.len(), 5, "{found:#?}");
}

#[test]
fn when_a_package_has_lints_of_its_own_then_it_is_found() {
    let files = [
        (
            "services/cloud/Cargo.toml",
            "[lints.rust]\nunsafe_code = \"allow\"\n",
        ),
        ("crates/model/Cargo.toml", LINTS),
        ("crates/engine/Cargo.toml", LINTS),
    ];

    let found = found(layers::check, &files);

    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("services/cloud/Cargo.toml:1: lints: "),
        "{found:#?}"
    );
}

#[test]
fn when_manifests_are_read_then_all_ways_of_writing_count() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na = \"1\"\nb.workspace = true\n# c = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nd = { version = \"1\" }\n\
                    [dependencies.e]\nversion = \"1\"\n[dev-dependencies.f]\nversion = \"1\"\n";

    let read = dependencies(manifest);

    let names: Vec<&str> = read.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "d", "e", "f"]);
    assert!(read[4].is_for_tests && !read[3].is_for_tests);
}

#[test]
fn when_a_line_says_what_no_line_may_then_it_is_found() {
    let cases = [
        concat!("// TO", "DO later"),
        concat!("    to", "do!()"),
        concat!("#[", "ignore]"),
        concat!("#[", "should_panic]"),
        concat!("let a = [\"sh", " -c\"];"),
        "Command::new(\"bash\")",
        concat!("tokio::", "spawn(async {});"),
        concat!("use rustls", "_pemfile::certs;"),
        concat!("let path = \"/wo", "rk/x\";"),
    ];
    for case in cases {
        let found = found(lines::check, &[("crates/model/src/lib.rs", case)]);

        assert_eq!(found.len(), 1, "{case}: {found:#?}");
    }
}

#[test]
fn when_a_line_only_looks_alike_then_nothing_is_found() {
    let cases = [
        (
            "crates/model/src/lib.rs",
            concat!("#[", "ignore = \"needs a kernel\"]"),
        ),
        (
            "crates/model/src/lib.rs",
            concat!("let p = \"some/wo", "rk/here\";"),
        ),
        (
            "crates/model/src/lib/tests.rs",
            concat!("tokio::", "spawn(async {});"),
        ),
        (
            "crates/pki/src/pem.rs",
            concat!("use rustls", "_pemfile::certs;"),
        ),
        ("crates/proto/src/gen/a.rs", concat!("// TO", "DO")),
    ];
    for (path, line) in cases {
        let found = found(lines::check, &[(path, line)]);

        assert_eq!(found, [""; 0], "{path}: {line}");
    }
}

#[test]
fn when_no_declaration_reaches_a_file_then_it_is_found() {
    let files = [
        (
            "crates/model/src/lib.rs",
            "//! x\npub mod a;\n#[path = \"odd.rs\"]\nmod b;\n",
        ),
        ("crates/model/src/a.rs", "//! x\n#[cfg(test)]\nmod tests;\n"),
        ("crates/model/src/a/tests.rs", "//! x\n"),
        ("crates/model/src/odd.rs", "//! x\n"),
        ("crates/model/src/bin/tool.rs", "//! x\n"),
        ("crates/model/src/gen/wire.rs", "// generated\n"),
        ("crates/model/src/lost.rs", "//! x\n"),
    ];

    let found = found(modules::check, &files);

    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("crates/model/src/lost.rs:1: orphan: "),
        "{found:#?}"
    );
}

#[test]
fn when_modules_are_declared_then_the_name_is_read_whatever_its_visibility() {
    let cases = [
        ("mod a;", Some("a")),
        ("pub mod a;", Some("a")),
        ("pub(crate) mod a;", Some("a")),
        ("mod r#type;", Some("type")),
        ("mod a {", None),
        ("// mod a;", None),
    ];
    for (line, expected) in cases {
        assert_eq!(declared(line), expected, "{line}");
    }
}

#[test]
fn when_a_name_has_an_empty_word_then_it_is_found_unless_the_contract_has_it() {
    assert_eq!(empty_word("SessionManager"), Some("Manager"));
    assert_eq!(empty_word("DataSource"), Some("Data"));
    assert_eq!(empty_word("Metadata"), None);
    assert_eq!(empty_word("Information"), None);

    let code =
        "//! x\npub struct MachineInfo;\npub(crate) struct NodeInfo<T>(T);\nfn test_it() {}\n";
    let contract = "pub struct MachineInfo {\n";
    let files = [
        (
            "crates/model/src/lib.rs",
            code.replace("test_it", concat!("test", "_it")),
        ),
        ("crates/proto/src/gen/a.rs", contract.to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (*p, t.as_str())).collect();
    let found = found(names::check, &files);

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("crates/model/src/lib.rs:3: name: "),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("crates/model/src/lib.rs:4: test-name: "),
        "{found:#?}"
    );
}

#[test]
fn when_a_file_is_out_of_shape_then_it_is_found() {
    let long = format!("//! x\n{}", "fn f() {}\n".repeat(500));
    let cases = [
        ("crates/model/src/a/mod.rs", "//! x\n", "mod-file"),
        ("crates/model/src/a.rs", "fn f() {}\n", "purpose"),
        ("crates/model/src/a.rs", long.as_str(), "size"),
        ("crates/service-kit/src/matcher.rs", "//! x\n", "kit"),
        (
            "services/cloud/src/store/sql.rs",
            "//! x\nuse crate::api::Sync;\n",
            "inside",
        ),
    ];
    for (path, text, rule) in cases {
        let found = found(shape::check, &[(path, text)]);

        assert_eq!(found.len(), 1, "{path} {rule}: {found:#?}");
        assert!(found[0].contains(&format!(": {rule}: ")), "{found:#?}");
    }
}

#[test]
fn when_a_file_of_tests_is_long_then_its_own_limit_holds() {
    let long = format!("//! x\n{}", "fn f() {}\n".repeat(600));

    assert_eq!(
        found(shape::check, &[("crates/model/src/a/tests.rs", &long)]),
        [""; 0]
    );
}

#[test]
fn when_a_chart_has_another_version_then_it_is_found() {
    let chart = "apiVersion: v2\nversion: 0.1.0\nappVersion: \"0.2.0\"\n";

    let found = found(versions::check, &[("charts/cloud/Chart.yaml", chart)]);

    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("charts/cloud/Chart.yaml:3: version: "),
        "{found:#?}"
    );
}
