//! Links and recipes, dead and alive.

use super::check;
use crate::repository::Repository;

fn findings(document: &str) -> Vec<String> {
    let repository = Repository::of(&[
        (
            "Justfile",
            "tools := \"x\"\nup *args: build\n    run\ntest:\n",
        ),
        ("docs/guide.md", document),
        ("docs/other.md", "# The one heading, really\n"),
        ("README.md", "# Top\n"),
    ]);
    check(&repository).iter().map(ToString::to_string).collect()
}

#[test]
fn when_links_and_recipes_exist_then_nothing_is_found() {
    let document = "[a](other.md) [b](../README.md#top) [c](https://example.org/x) \
                    [d](other.md#the-one-heading-really) [e](/README.md)\n\
                    `./just up`, ./just test. `[code](nowhere.md)`\n\
                    ```\n[in code](nowhere.md)\n```\n";

    assert_eq!(findings(document), [""; 0]);
}

#[test]
fn when_links_and_recipes_do_not_exist_then_each_is_found_with_its_line() {
    let document = "[a](missing.md)\n[b](other.md#none)\n./just fly\n[c](../../out.md)\n";

    let found = findings(document);

    let starts = [
        "docs/guide.md:1: link: ",
        "docs/guide.md:2: link: ",
        "docs/guide.md:3: recipe: ",
        "docs/guide.md:4: link: ",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for start in starts {
        assert!(
            found.iter().any(|line| line.starts_with(start)),
            "{start} in {found:#?}"
        );
    }
}
