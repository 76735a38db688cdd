//! Filling documents and finding that they are stale.

use super::super::Tables;
use super::{check, filled};
use crate::repository::Repository;

fn tables() -> Tables {
    Tables {
        document: "docs/x.md",
        regions: vec![("one", "| a |\n".to_owned()), ("two", "| b |\n".to_owned())],
        findings: Vec::new(),
    }
}

const FULL: &str = "# X\n<!-- generated: one -->\n\n| a |\n\n<!-- end of generated -->\ntext\n\
                    <!-- generated: two -->\n\n| b |\n\n<!-- end of generated -->\n";

#[test]
fn when_a_document_is_filled_then_what_people_wrote_stays() {
    let stale = FULL.replace("| a |", "| old |\n| older |");

    assert_eq!(filled(&stale, &tables()).as_deref(), Ok(FULL));
    assert_eq!(filled(FULL, &tables()).as_deref(), Ok(FULL));
}

#[test]
fn when_marks_are_wrong_then_the_line_is_told() {
    let endless = FULL.replace("\n<!-- end of generated -->\ntext", "\ntext");
    for (text, line, part) in [
        (FULL.replace(": two", ": three"), 8, "no table `three`"),
        (FULL.replace(": two", ": one"), 1, "one --> ` 2 times"),
        (endless, 1, "two"),
        (String::new(), 1, "0 times"),
    ] {
        let (found, message) = filled(&text, &tables()).expect_err(&text);

        let part = part.replace("> `", ">`");
        assert!(
            found == line && message.contains(&part),
            "{found}: {message}"
        );
    }
}

#[test]
fn when_a_document_is_stale_then_its_first_stale_line_is_found() {
    let stale = FULL.replace("| b |", "| old |");
    let repository = Repository::of(&[("docs/x.md", &stale)]);
    let mut findings = Vec::new();

    check(&repository, &tables(), &mut findings);

    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let expected = "docs/x.md:10: generated: is not what the sources give: run ./just docs";
    assert_eq!(shown, [expected]);
}
