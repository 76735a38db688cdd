//! What users may do.

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::{client_as, config_map, object, server, status};

const USER: &str = "system:serviceaccount:baetyl:core";

const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: core, namespace: one }
rules:
- { apiGroups: [''], resources: [configmaps], verbs: [get, list, watch, patch] }
- { apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [create] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: core, namespace: one }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: core }
subjects:
- { kind: ServiceAccount, name: core, namespace: baetyl }
";

#[tokio::test]
async fn when_a_role_does_not_list_something_then_it_is_forbidden() {
    let server = server().await;
    server.grant(USER, ROLES).unwrap();
    let client = client_as(&server, USER).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "one");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "one");
    let everywhere: Api<ConfigMap> = Api::all(client);

    let allowed = maps.list(&ListParams::default()).await;
    let refused = status(secrets.get("a").await);
    let too_wide = status(everywhere.list(&ListParams::default()).await);

    assert!(allowed.is_ok());
    assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        refused.message,
        format!(
            "secrets \"a\" is forbidden: User \"{USER}\" cannot get resource \"secrets\" in API \
             group \"\" in the namespace \"one\""
        )
    );
    assert!(too_wide.message.ends_with("at the cluster scope"));
}

#[tokio::test]
async fn when_a_user_may_patch_but_not_create_then_apply_changes_only_what_is_there() {
    let server = server().await;
    server.grant(USER, ROLES).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client_as(&server, USER).await, "one");
    let params = PatchParams::apply("core").force();
    let desired = Patch::Apply(config_map("a", json!({"x": "1"})));

    let refused = status(maps.patch("a", &params, &desired).await);
    server.store().apply(&config_map("a", json!({}))).unwrap();
    let patched = maps.patch("a", &params, &desired).await;

    assert!(
        refused
            .message
            .contains("cannot create resource \"configmaps\"")
    );
    assert!(patched.is_ok());
}

#[tokio::test]
async fn when_a_user_gives_rights_that_it_has_not_then_it_is_forbidden() {
    let server = server().await;
    server.grant(USER, ROLES).unwrap();
    let roles: Api<Role> = Api::namespaced(client_as(&server, USER).await, "one");
    let role = |name: &str, verb: &str| {
        object(json!({
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]}],
        }))
    };

    let own = roles
        .create(&PostParams::default(), &role("own", "get"))
        .await;
    let more = status(
        roles
            .create(&PostParams::default(), &role("more", "delete"))
            .await,
    );

    assert!(own.is_ok());
    assert_eq!(more.code, 403);
    assert!(
        more.message
            .contains("is attempting to grant RBAC permissions not currently held")
    );
}

#[tokio::test]
async fn when_a_user_asks_what_it_may_do_then_the_answer_is_true() {
    let server = server().await;
    server.grant(USER, ROLES).unwrap();
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client_as(&server, USER).await);
    let ask = |verb: &str| {
        let review = object(json!({"spec": {"resourceAttributes": {
            "verb": verb, "resource": "configmaps", "namespace": "one",
        }}}));
        let reviews = reviews.clone();
        async move {
            let answer = reviews.create(&PostParams::default(), &review).await;
            answer.unwrap().status.unwrap().allowed
        }
    };

    assert!(ask("get").await);
    assert!(!ask("delete").await);
}

#[tokio::test]
async fn when_nobody_is_named_then_the_answer_is_unauthorized() {
    let server = server().await;
    let url = server.url().parse().unwrap();
    let client = kube::Client::try_from(kube::Config::new(url)).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "one");

    let refused = status(maps.list(&ListParams::default()).await);

    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (401, "Unauthorized")
    );
}
