//! Tests of rights.

use super::*;
use crate::options::Options;
use crate::shared::Shared;
use crate::store::Store;
use std::sync::Arc;

const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: edge, namespace: one }
rules:
- { apiGroups: [apps], resources: [deployments, deployments/status], verbs: [get, list] }
- { apiGroups: [''], resources: [secrets], resourceNames: [mine], verbs: [get] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: reader }
rules:
- { apiGroups: [''], resources: [nodes], verbs: [list] }
";

fn shared() -> Arc<Shared> {
    let shared = Arc::new(Shared::new(Options::default()));
    let store = Store::new(Arc::clone(&shared));
    store
        .create(
            "namespaces",
            "",
            serde_json::json!({"metadata": {"name": "one"}}),
        )
        .unwrap();
    for object in grant("core", ROLES).unwrap() {
        store.apply(&object).unwrap();
    }
    shared
}

fn wanted<'a>(
    verb: &'a str,
    group: &'a str,
    resource: &'a str,
    namespace: &'a str,
) -> Attributes<'a> {
    Attributes {
        verb,
        group,
        resource,
        namespace,
        ..Attributes::default()
    }
}

#[test]
fn when_a_role_lists_something_then_it_is_allowed_and_nothing_else() {
    let shared = shared();
    let users = &shared.users;
    let user = users.of_token(&users.add("core")).unwrap();
    let cases = [
        (wanted("get", "apps", "deployments", "one"), true),
        (wanted("get", "apps", "deployments/status", "one"), true),
        (wanted("get", "apps", "deployments/scale", "one"), false),
        (wanted("create", "apps", "deployments", "one"), false),
        (wanted("get", "apps", "deployments", "two"), false),
        (wanted("list", "apps", "deployments", ""), false),
        (wanted("list", "", "nodes", ""), true),
        (wanted("get", "", "secrets", "one"), false),
        (
            Attributes {
                name: "mine",
                ..wanted("get", "", "secrets", "one")
            },
            true,
        ),
        (
            Attributes {
                verb: "get",
                path: "/version",
                ..Attributes::default()
            },
            true,
        ),
        (
            Attributes {
                verb: "get",
                path: "/metrics",
                ..Attributes::default()
            },
            false,
        ),
    ];

    for (attributes, expected) in cases {
        let found = shared.with(|state| is_allowed(state, &user, &attributes));

        assert_eq!(found, expected, "{attributes:?}");
    }
}

#[test]
fn when_something_is_forbidden_then_the_sentence_is_that_of_the_server() {
    let shared = shared();
    let user = shared.users.of_token(&shared.users.add("core")).unwrap();

    let refusal = shared
        .with(|state| authorize(state, &user, &wanted("list", "", "pods", "one")))
        .unwrap_err();

    assert_eq!(
        refusal.message,
        "pods is forbidden: User \"core\" cannot list resource \"pods\" in API group \"\" in the \
         namespace \"one\""
    );
    assert_eq!(refusal.code, 403);
}
