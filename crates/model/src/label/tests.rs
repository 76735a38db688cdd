//! Which texts are keys and values of labels.

use super::{check_key, check_value};

#[test]
fn when_key_follows_the_kubernetes_rules_then_it_is_accepted() {
    for key in ["a", "site", "Site_1.x", "app.kubernetes.io/name", "a/b"] {
        assert_eq!(check_key(key), Ok(()), "{key}");
    }
}

#[test]
fn when_key_breaks_the_kubernetes_rules_then_it_is_refused() {
    let long = "a".repeat(64);
    let prefix = format!("{}/a", "a".repeat(254));
    let wrong = [
        "", "-a", "a-", "a b", "a/", "/a", "a/b/c", "A.b/c", "a..b/c", "ä",
    ];
    for key in wrong.into_iter().chain([long.as_str(), prefix.as_str()]) {
        assert!(check_key(key).is_err(), "{key}");
    }
}

#[test]
fn when_value_is_empty_then_it_is_accepted() {
    assert_eq!(check_value(""), Ok(()));
    assert_eq!(check_value("v1.2_3-x"), Ok(()));
}

#[test]
fn when_value_breaks_the_kubernetes_rules_then_it_is_refused() {
    let long = "a".repeat(64);
    for value in ["a b", ".a", "a/b", long.as_str()] {
        assert!(check_value(value).is_err(), "{value}");
    }
}
