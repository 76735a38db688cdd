//! Tests of the module `names`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const APPLICATION: &str = "[a-z0-9][a-z0-9.-]{0,53}[a-z0-9]";
const NAME: &str = "[a-z0-9][a-z0-9.-]{0,61}[a-z0-9]";
const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

/// Few letters, so that names meet.
const CROWDED: &str = "[a1][a1.-]{0,4}[a1](-headless|-nodeport)?";

fn digest() -> Digest {
    Digest::of(b"content")
}

/// Whether a text is a name of a Service (RFC 1035).
fn is_service_name(text: &str) -> bool {
    is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

#[test]
fn when_a_name_is_plain_then_objects_have_it() {
    assert_eq!(workload("watcher"), "watcher");
    assert_eq!(stateful_set("watcher"), "watcher");
    assert_eq!(service("watcher"), "watcher");
    assert_eq!(headless("watcher"), "watcher-headless");
    assert_eq!(node_ports("watcher"), "watcher-nodeport");
    assert_eq!(job("watcher", "0123456789ab"), "watcher-0123456789ab");
    assert_eq!(claim("watcher", "state"), "watcher.state");
    assert_eq!(workload("site.watcher"), "site.watcher");
}

#[test]
fn when_a_name_is_none_of_a_service_then_it_is_rewritten() {
    assert_eq!(service("site.watcher"), "site-watcher-b3eeb8");
    assert_eq!(service("7up"), "app-7up-be39b1");
    assert_eq!(workload("a..b"), "a--b-f62b42");
    assert!(service("db-headless").starts_with("db-headless-"));
}

#[test]
fn when_an_input_reloads_then_its_name_is_stable() {
    let key = InputKey::configuration("thresholds");

    let reloaded = input("watcher", &key, None);
    let restarted = input("watcher", &key, Some(&digest()));

    let tag = "watcher-thresholds-";
    assert_eq!(reloaded.len(), tag.len() + 6);
    assert!(reloaded.starts_with(tag));
    assert!(restarted.starts_with(&format!("{reloaded}-")));
    assert_eq!(restarted.len(), reloaded.len() + 11);
}

#[test]
fn when_two_names_join_to_the_same_text_then_their_objects_differ() {
    let one = InputKey::configuration("c");
    let other = InputKey::configuration("b-c");
    assert_ne!(input("a-b", &one, None), input("a", &other, None));
    assert_ne!(
        input("a", &one, None),
        input("a", &InputKey::secret("c"), None)
    );
    assert_ne!(credentials("a-b", "c"), credentials("a", "b-c"));
    assert_ne!(claim("a-b", "c"), claim("a", "b-c"));
    let claims = |application: &str, volume: &str| {
        let set = stateful_set(application);
        format!("{}-{set}-0", claim_template(application, volume))
    };
    assert_ne!(claims("a-b", "data"), claims("b", "data-a"));
    assert_ne!(service("a.b"), service("a-b"));
    assert_ne!(node_ports("a"), service("a-nodeport"));
}

proptest! {
    #[test]
    fn when_names_are_made_then_the_cluster_accepts_them(
        application in APPLICATION, other in NAME, volume in LABEL,
    ) {
        let key = InputKey::configuration(other);
        for name in [
            workload(&application),
            job(&application, "0123456789ab"),
            input(&application, &key, None),
            input(&application, &key, Some(&digest())),
            credentials(&application, &volume),
            runtime_file(&application, &volume, &digest()),
            claim(&application, &volume),
        ] {
            prop_assert!(is_subdomain(&name), "{name}");
        }
        for name in [service(&application), headless(&application), node_ports(&application)] {
            prop_assert!(is_service_name(&name), "{name}");
        }
        prop_assert!(is_label(&claim_template(&application, &volume)));
        prop_assert!(is_label(&job(&application, "0123456789ab")));
        for name in [stateful_set(&application), cron_job(&application)] {
            prop_assert!(is_label(&name) && name.len() <= 52, "{name}");
        }
        for value in labels("0c8d1b4e-0000-4000-8000-000000000000", &application).values() {
            prop_assert!(value.len() <= 63, "{value}");
        }
    }

    #[test]
    fn when_applications_differ_then_their_objects_do(
        names in proptest::collection::btree_set(CROWDED, 2..40), volumes in (LABEL, CROWDED),
    ) {
        let (volume, other) = volumes;
        let keys = [InputKey::configuration(&*other), InputKey::secret(&*volume)];
        let mut services = BTreeSet::new();
        let mut files = BTreeSet::new();
        let mut claims = BTreeSet::new();
        let mut workloads = BTreeSet::new();
        for name in &names {
            for service in [service(name), headless(name), node_ports(name)] {
                prop_assert!(services.insert(service));
            }
            for file in keys.iter().map(|key| input(name, key, None)) {
                prop_assert!(files.insert(file));
            }
            prop_assert!(files.insert(credentials(name, &volume)));
            prop_assert!(files.insert(runtime_file(name, &volume, &digest())));
            prop_assert!(claims.insert(claim(name, &volume)));
            prop_assert!(workloads.insert(workload(name)));
        }
    }
}
