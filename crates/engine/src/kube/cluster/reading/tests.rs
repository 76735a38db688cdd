//! Answers of API servers, word for word.

use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};

use super::super::super::object::ObjectKey;
use super::super::conflict::FieldConflict;
use super::{Reading, missing_permission, read};
use crate::reason;

fn key(kind: &str) -> ObjectKey {
    ObjectKey::namespaced("v1", kind, "edge", "web")
}

fn details(causes: &[(&str, &str, &str)]) -> StatusDetails {
    StatusDetails {
        name: "web".into(),
        group: "apps".into(),
        kind: "deployments".into(),
        uid: String::new(),
        causes: causes
            .iter()
            .map(|(reason, field, message)| StatusCause {
                reason: (*reason).into(),
                field: (*field).into(),
                message: (*message).into(),
            })
            .collect(),
        retry_after_seconds: 0,
    }
}

fn status(code: u16, reason: &str, message: &str) -> Status {
    Status::failure(message, reason).with_code(code)
}

/// Fields, reasons and messages of violations.
fn list(reading: &Reading) -> Vec<(&str, &str, &str)> {
    let (Reading::Invalid(found) | Reading::Immutable(found)) = reading else {
        panic!("no violations: {reading:?}");
    };
    let rows = found.iter();
    rows.map(|v| (v.field.as_str(), v.reason, v.message.as_str()))
        .collect()
}

#[test]
fn when_fields_are_invalid_then_each_is_named() {
    let causes = [
        (
            "FieldValueInvalid",
            "spec.template.spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "FieldValueRequired",
            "spec.template.spec.containers[0].image",
            "Required value",
        ),
    ];
    let status = status(422, "Invalid", "Deployment.apps \"web\" is invalid: [...]");

    let reading = read(&key("Deployment"), &status.with_details(details(&causes)));

    let expected = [
        (
            "spec.template.spec.containers[0].ports[0].containerPort",
            reason::INVALID_OBJECT,
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "spec.template.spec.containers[0].image",
            reason::INVALID_OBJECT,
            "Required value",
        ),
    ];
    assert!(matches!(reading, Reading::Invalid(_)));
    assert_eq!(list(&reading), expected);
}

#[test]
fn when_only_immutable_fields_changed_then_it_says_so() {
    let rows = [
        (
            "spec.selector",
            "Invalid value: {\"matchLabels\":{}}: field is immutable",
        ),
        (
            "spec",
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', \
             'template', 'updateStrategy', 'revisionHistoryLimit', \
             'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ),
        (
            "spec",
            "Forbidden: spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims",
        ),
        (
            "spec.clusterIPs[0]",
            "Invalid value: [\"10.0.0.1\"]: may not change once set",
        ),
        (
            "data",
            "Forbidden: field is immutable when `immutable` is set",
        ),
        ("roleRef", "Invalid value: {}: cannot change roleRef"),
    ];
    for (field, message) in rows {
        let causes = [("FieldValueInvalid", field, message)];
        let status = status(422, "Invalid", "x is invalid").with_details(details(&causes));
        let reading = read(&key("Thing"), &status);

        assert!(matches!(reading, Reading::Immutable(_)), "{message}");
        assert_eq!(list(&reading), [(field, reason::IMMUTABLE_FIELD, message)]);
    }
}

#[test]
fn when_something_else_is_wrong_too_then_a_replacement_would_not_help() {
    let causes = [
        (
            "FieldValueInvalid",
            "spec.selector",
            "Invalid value: {}: field is immutable",
        ),
        (
            "FieldValueRequired",
            "spec.template.spec.containers",
            "Required value",
        ),
    ];
    let status = status(422, "Invalid", "x is invalid").with_details(details(&causes));

    assert!(matches!(
        read(&key("Deployment"), &status),
        Reading::Invalid(_)
    ));
}

#[test]
fn when_a_field_is_unknown_then_it_is_named_whatever_the_code() {
    let strict = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding \
                  error: unknown field \"spec.foo\", duplicate field \"spec.template.spec.bar\"";
    let typed = "failed to create typed patch object (edge/web; apps/v1, Kind=Deployment): \
                 .spec.foo: field not declared in schema";
    let many = "failed to create typed patch object (edge/web; apps/v1, Kind=Deployment): errors:\n  \
                .spec.foo: field not declared in schema\n  .spec.template.spec.containers: \
                duplicate entries for key [name=\"a\"]";
    let undeclared = ("spec.foo", "field not declared in schema");
    let twice = (
        "spec.template.spec.containers",
        "duplicate entries for key [name=\"a\"]",
    );
    let unknown = ("spec.foo", "unknown field");
    let duplicate = ("spec.template.spec.bar", "duplicate field");
    let rows = [
        (400, strict, vec![unknown, duplicate]),
        (500, typed, vec![undeclared]),
        (400, many, vec![undeclared, twice]),
    ];
    for (code, message, expected) in rows {
        let reading = read(&key("Deployment"), &status(code, "", message));
        let found: Vec<_> = list(&reading).iter().map(|(f, _, m)| (*f, *m)).collect();
        assert_eq!(found, expected, "{message}");
    }
}

#[test]
fn when_a_field_has_another_type_then_it_is_named() {
    let message = "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot \
                   unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32";

    let reading = read(&key("Deployment"), &status(400, "BadRequest", message));

    assert_eq!(
        list(&reading),
        [("spec.replicas", reason::INVALID_OBJECT, message)]
    );
}

#[test]
fn when_a_secret_is_refused_then_its_values_are_not_told() {
    let causes = [(
        "FieldValueInvalid",
        "data[a b]",
        "Invalid value: \"hunter2\": a key must be",
    )];
    let status = status(422, "Invalid", "x is invalid").with_details(details(&causes));
    let typed = "failed to create typed patch object (edge/web; v1, Kind=Secret): \
                 .stringData.a: expected string, got &value.valueUnstructured{Value:\"hunter2\"}";

    let first = read(&key("Secret"), &status);
    let second = read(&key("Secret"), &Status::failure(typed, "").with_code(500));

    assert_eq!(list(&first)[0].2, "a key must be");
    assert_eq!(
        list(&second),
        [("stringData.a", reason::INVALID_OBJECT, "expected string")]
    );
}

#[test]
fn when_fields_conflict_then_managers_are_named() {
    let causes = [
        (
            "FieldManagerConflict",
            ".spec.replicas",
            "conflict with \"hand\" using apps/v1",
        ),
        (
            "FieldManagerConflict",
            ".spec.paused",
            "conflict with \"argocd\"",
        ),
    ];
    let status = status(409, "Conflict", "Apply failed with 2 conflicts");

    let reading = read(&key("Deployment"), &status.with_details(details(&causes)));

    let conflict = |field: &str, manager: &str, is_declared| FieldConflict {
        field: field.into(),
        manager: manager.into(),
        is_declared,
    };
    let expected = vec![
        conflict("spec.replicas", "hand", false),
        conflict("spec.paused", "argocd", true),
    ];
    assert_eq!(reading, Reading::Conflict(expected));
}

#[test]
fn when_another_object_has_the_name_then_it_is_no_lost_race() {
    let changed = [
        "Operation cannot be fulfilled on configmaps \"web\": Precondition failed: UID in \
         precondition: a, UID in object meta: b",
        "Operation cannot be fulfilled on configmaps \"web\": the UID in the precondition (a) does \
         not match the UID in record (b). The object might have been deleted and then recreated",
        "Operation cannot be fulfilled on configmaps \"web\": uid mismatch: the provided object \
         specified uid a, and no existing object was found",
    ];
    for message in changed {
        let status = status(409, "Conflict", message).with_details(details(&[]));
        assert_eq!(
            read(&key("ConfigMap"), &status),
            Reading::Changed,
            "{message}"
        );
    }
    let raced = "configmaps \"web\" already exists";
    let exists = status(409, "AlreadyExists", raced).with_details(details(&[]));
    assert_eq!(read(&key("ConfigMap"), &exists), Reading::Changed);
    let modified = "the object has been modified; please apply your changes to the latest version";
    let status = status(409, "Conflict", modified).with_details(details(&[]));
    assert_eq!(read(&key("ConfigMap"), &status), Reading::Modified);
}

#[test]
fn when_something_is_missing_then_it_is_told_what() {
    let mut object = details(&[]);
    object.kind = "configmaps".into();
    let mut namespace = details(&[]);
    namespace.kind = "namespaces".into();
    let not_found = |message: &str| status(404, "NotFound", message);
    let rows = [
        (
            not_found("configmaps \"web\" not found").with_details(object),
            Reading::NotFound,
        ),
        (
            not_found("namespaces \"edge\" not found").with_details(namespace),
            Reading::NamespaceMissing,
        ),
        (
            not_found("the server could not find the requested resource"),
            Reading::NotServed,
        ),
        (status(404, "", "404 page not found"), Reading::NotServed),
    ];
    for (status, expected) in rows {
        assert_eq!(
            read(&key("ConfigMap"), &status),
            expected,
            "{}",
            status.message
        );
    }
}

#[test]
fn when_it_is_forbidden_then_the_reason_tells_by_whom() {
    let role = "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:a:core\" cannot \
                patch resource \"deployments\" in API group \"apps\" in the namespace \"edge\"";
    let quota = "pods \"web\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=4, \
                 limited: pods=4";
    let policy = "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": host \
                  namespaces (hostNetwork=true)";
    let hook = "admission webhook \"deny.example.com\" denied the request: no";
    let rows = [
        (role, reason::FORBIDDEN),
        (quota, reason::QUOTA_EXCEEDED),
        (policy, reason::INVALID_OBJECT),
        (hook, reason::INVALID_OBJECT),
    ];
    for (message, expected) in rows {
        let reading = read(&key("Deployment"), &status(403, "Forbidden", message));
        assert_eq!(list(&reading)[0].1, expected, "{message}");
    }
    let reading = read(&key("Deployment"), &status(403, "Forbidden", role));
    let message = "this node lacks the permission to patch deployments.apps in namespace edge";
    assert_eq!(list(&reading), [("", reason::FORBIDDEN, message)]);
}

#[test]
fn when_a_permission_is_of_the_cluster_then_no_namespace_is_named() {
    let text = "namespaces \"x\" is forbidden: User \"core\" cannot delete resource \"namespaces\" \
                in API group \"\" at the cluster scope";

    let permission = missing_permission(text);

    assert_eq!(
        permission.as_deref(),
        Some("delete namespaces in the cluster")
    );
    assert_eq!(missing_permission("something else"), None);
}

#[test]
fn when_a_namespace_ends_then_it_counts_as_missing() {
    let causes = [(
        "NamespaceTerminating",
        "metadata.namespace",
        "namespace edge is being terminated",
    )];
    let message = "configmaps \"web\" is forbidden: unable to create new content in namespace edge \
                   because it is being terminated";
    let status = status(403, "Forbidden", message).with_details(details(&causes));

    assert_eq!(read(&key("ConfigMap"), &status), Reading::NamespaceMissing);
}

#[test]
fn when_who_must_be_asked_is_away_then_nothing_is_decided() {
    let rows = [
        (
            500,
            "Internal error occurred: failed calling webhook \"v.example.com\": connection refused",
        ),
        (
            400,
            "admission webhook \"v.example.com\" does not support dry run",
        ),
    ];
    for (code, message) in rows {
        let reading = read(&key("Widget"), &status(code, "InternalError", message));
        assert_eq!(reading, Reading::Unjudged, "{message}");
    }
}

#[test]
fn when_an_object_is_too_large_then_it_is_at_fault_and_not_the_server() {
    for (code, message) in [
        (413, "Request entity too large: limit is 3145728"),
        (500, "etcdserver: request is too large"),
    ] {
        let reading = read(&key("ConfigMap"), &status(code, "", message));
        assert_eq!(list(&reading), [("", reason::INVALID_OBJECT, message)]);
    }
}

#[test]
fn when_the_server_cannot_now_then_it_is_busy() {
    for code in [408, 429, 500, 502, 503, 504] {
        let reading = read(&key("ConfigMap"), &status(code, "", "not now"));
        assert_eq!(reading, Reading::Busy, "{code}");
    }
}
