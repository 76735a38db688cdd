//! Tests of the module `context`.

use std::time::Duration;

use super::*;

#[test]
fn when_ids_are_made_then_they_sort_by_time_and_differ() {
    let now = UNIX_EPOCH + Duration::from_secs(1_790_000_000);

    let first = fresh_id("watcher", now);
    let again = fresh_id("watcher", now);
    let later = fresh_id("watcher", now + Duration::from_secs(1));

    assert!(first.as_str().starts_with("watcher-"));
    assert_ne!(first, again);
    assert!(first < later && again < later);
}

#[test]
fn when_the_name_is_long_then_the_id_still_fits() {
    let name = "a".repeat(55);

    assert!(fresh_id(&name, SystemTime::now()).as_str().len() <= 64);
    assert!(
        fresh_id("Not A Name", SystemTime::now())
            .as_str()
            .starts_with("app-")
    );
}
