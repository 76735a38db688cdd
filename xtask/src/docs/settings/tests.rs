//! From types with settings to lines of a table.

use super::Tables;
use super::default::{spelled, told};
use super::tables;
use crate::repository::Repository;

const MANIFEST: &str = "[workspace]\nmembers = [\n    \"crates/kit\",\n    \"services/core\",\n]\n";

const CORE: &str = r#"
use baetyl_kit::Limits;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They go on.
    LeaveRunning,
    StopAll,
}

#[derive(Serialize, Deserialize)]
pub struct Config {
    /// Where to write. Default `/var/lib/x`.
    pub folder: PathBuf,
    /// How long. Default 90 s.
    pub wait: HumanDuration,
    /// Whether. Default no.
    pub is_open: bool,
    /// What then. Default `leave_running`.
    pub mode: Mode,
    /// Bounds.
    pub limits: Limits,
    /// Each of them.
    pub each: Vec<Limits>,
    #[serde(skip)]
    hidden: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/var/lib/x"),
            wait: HumanDuration::from_secs(90),
            is_open: false,
            mode: Mode::LeaveRunning,
            limits: Limits {
                most: 7,
                ..Limits::default()
            },
            each: Vec::new(),
        }
    }
}
"#;

const KIT: &str = r#"
#[derive(Serialize, Deserialize)]
pub struct Limits {
    /// The most.
    pub most: u32,
    /// The key | file.
    pub file: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            most: 3,
            file: None,
        }
    }
}
"#;

fn read(core: &str) -> Tables {
    tables(&Repository::of(&[
        ("Cargo.toml", MANIFEST),
        ("crates/kit/Cargo.toml", "name = \"baetyl-kit\"\n"),
        ("crates/kit/src/limits.rs", KIT),
        ("services/core/src/config.rs", core),
    ]))
}

fn of_core(findings: &Tables) -> Vec<String> {
    let all = findings.findings.iter().map(ToString::to_string);
    all.filter(|line| line.starts_with("services/core/"))
        .collect()
}

#[test]
fn when_settings_lie_in_other_types_and_crates_then_every_key_has_its_line() {
    let tables = read(CORE);

    let text = tables.regions.iter().find(|(name, _)| *name == "core");
    let lines: Vec<&str> = text
        .map(|(_, text)| text.lines().skip(2).collect())
        .unwrap_or_default();
    let expected = [
        "| `folder` | path | `/var/lib/x` | Where to write. |",
        "| `wait` | duration | `90s` | How long. |",
        "| `is_open` | true or false | false | Whether. |",
        "| `mode` | `leave_running`, `stop_all` | `leave_running` | What then. `leave_running`: they go on. |",
        "| `limits.most` | number | `7` | The most. |",
        "| `limits.file` | path | none | The key \\| file. |",
        "| `each` | list | none | Each of them. |",
        "| `each[].most` | number | `3` | The most. |",
        "| `each[].file` | path | none | The key \\| file. |",
    ];
    assert_eq!(lines, expected);
    assert_eq!(of_core(&tables), [""; 0]);
}

#[test]
fn when_comment_and_code_disagree_or_say_nothing_then_it_is_found() {
    let core = CORE
        .replace("Default 90 s.", "Default 60 s.")
        .replace("    /// Whether. Default no.\n", "")
        .replace("pub folder: PathBuf", "pub folder: Strange");

    let found = of_core(&read(&core)).join("\n");

    for part in [
        ":15: config: the type `Strange` of `folder` is not known",
        ":17: config: `wait`: the comment says default 60 s, the code 90s",
        ":18: config: `is_open` is not documented",
    ] {
        assert!(found.contains(part), "{part} in\n{found}");
    }
}

#[test]
fn when_a_comment_tells_its_default_then_the_rest_is_the_meaning() {
    for (docs, default, meaning) in [
        ("What. Default 5.", Some("5"), "What."),
        ("Default `a.b`; or c. More.", Some("`a.b`; or c"), "More."),
        ("Default settings of it", Some("settings of it"), ""),
        (
            "The default is told elsewhere.",
            None,
            "The default is told elsewhere.",
        ),
    ] {
        assert_eq!(
            told(docs),
            (default.map(str::to_owned), meaning.to_owned()),
            "{docs}"
        );
    }
    assert_eq!(spelled("90 days"), "`90d`");
    assert_eq!(spelled("`10 s`"), "`10s`");
    assert_eq!(spelled("512"), "512");
}
