//! Path templates and what they match.

use super::template::*;

fn captured(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let template = Template::parse(template).unwrap();
    let path = Path::parse(path);
    template.is_match(&path).then(|| {
        let captures = template.captures(&path);
        captures
            .map(|(field, value)| (field.to_owned(), value.unwrap()))
            .collect()
    })
}

#[test]
fn when_a_path_matches_then_variables_take_their_parts() {
    let rows = [
        ("/v1/apps", "/v1/apps", Some(vec![])),
        (
            "/v1/apps/{application.name}",
            "/v1/apps/a%20b",
            Some(vec![("application.name", "a b")]),
        ),
        ("/v1/apps/{name}", "/v1/apps/", None),
        ("/v1/apps/{name}", "/v1/apps/a/b", None),
        ("/v1/apps/{name}", "/v1/apps/a:b", None),
        (
            "/v1/apps/{name}",
            "/v1/apps/a%3Ab",
            Some(vec![("name", "a:b")]),
        ),
        ("/v1/apps:watch", "/v1/apps:watch", Some(vec![])),
        ("/v1/apps:watch", "/v1/apps", None),
        (
            "/v1/{k}/{n}:rollback",
            "/v1/x/y:rollback",
            Some(vec![("k", "x"), ("n", "y")]),
        ),
        (
            "/v1/{name=shelves/*}/books",
            "/v1/shelves/3/books",
            Some(vec![("name", "shelves/3")]),
        ),
        ("/v1/{name=shelves/*}/books", "/v1/tables/3/books", None),
        (
            "/v1/{path=files/**}",
            "/v1/files/a/b",
            Some(vec![("path", "files/a/b")]),
        ),
        ("/v1/{path=files/**}", "/v1/files", None),
        ("/v1/*/x", "/v1/any/x", Some(vec![])),
    ];
    for (template, path, expected) in rows {
        let expected = expected.map(|pairs| {
            let pairs = pairs.into_iter();
            pairs
                .map(|(field, value)| (field.to_owned(), value.to_owned()))
                .collect()
        });
        assert_eq!(captured(template, path), expected, "{template} {path}");
    }
}

#[test]
fn when_a_template_is_malformed_then_it_is_refused() {
    for template in [
        "",
        "v1",
        "/v1/{name",
        "/v1/{}",
        "/v1/**/x",
        "/v1/a*",
        "/v1/{a=}b",
    ] {
        assert!(Template::parse(template).is_err(), "{template}");
    }
}

#[test]
fn when_two_templates_match_then_the_one_that_says_more_comes_first() {
    let mut templates: Vec<_> = ["/v1/{a=**}", "/v1/{a}/b", "/v1/nodes/b", "/v1/nodes/{b}"]
        .into_iter()
        .map(|text| Template::parse(text).unwrap())
        .collect();

    templates.sort_by_cached_key(Template::rank);

    let order: Vec<_> = templates.iter().map(Template::text).collect();
    assert_eq!(
        order,
        ["/v1/nodes/b", "/v1/nodes/{b}", "/v1/{a}/b", "/v1/{a=**}"]
    );
}

#[test]
fn when_text_is_encoded_then_it_is_decoded_or_refused() {
    let rows = [
        ("a%2Fb", false, Some("a/b")),
        ("a+b", false, Some("a+b")),
        ("a+b", true, Some("a b")),
        ("%C3%A9", true, Some("é")),
        ("%", true, None),
        ("%4", true, None),
        ("%+1", true, None),
        ("%FF", true, None),
    ];
    for (text, is_form, expected) in rows {
        assert_eq!(
            percent_decoded(text, is_form).as_deref(),
            expected,
            "{text}"
        );
    }
}
