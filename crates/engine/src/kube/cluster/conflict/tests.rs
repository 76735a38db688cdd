//! Who is in the way.

use kube::core::response::StatusCause;

use super::FieldConflict;

fn read(message: &str) -> FieldConflict {
    FieldConflict::read(&StatusCause {
        reason: "FieldManagerConflict".into(),
        message: message.into(),
        field: ".spec.replicas".into(),
    })
}

#[test]
fn when_a_manager_edits_then_it_is_told_from_one_that_declares() {
    let rows = [
        ("conflict with \"argocd\"", "argocd", true),
        (
            "conflict with \"kubectl-edit\" using apps/v1",
            "kubectl-edit",
            false,
        ),
        (
            "conflict with \"kubectl\" with subresource \"scale\" using apps/v1 at 2026-01-02T03:04:05Z",
            "kubectl",
            false,
        ),
        (
            "conflict with \"argo\" with subresource \"status\"",
            "argo",
            true,
        ),
        (
            "conflict with \"a \\\"b\\\" using c\"",
            "a \"b\" using c",
            true,
        ),
        ("conflict with \"a\\\\\" using v1", "a\\", false),
    ];
    for (message, manager, is_declared) in rows {
        let expected = FieldConflict {
            field: "spec.replicas".into(),
            manager: manager.into(),
            is_declared,
        };
        assert_eq!(read(message), expected, "{message}");
    }
}

#[test]
fn when_a_conflict_cannot_be_read_then_it_counts_as_declared() {
    for message in [
        "",
        "somebody",
        "conflict with x using v1",
        "conflict with \"open",
    ] {
        assert!(read(message).is_declared, "{message}");
    }
}
