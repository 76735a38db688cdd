//! Reasons are documented and codes agree.

use std::collections::BTreeSet;

use baetyl_model::{Kind, Name, NamespaceName, Revision};
use baetyl_service_kit::fault::{Code, Fault as _};

use super::{Error, Missing, reasons};
use crate::store::{Key, Precondition, StoreError};

fn key() -> Key {
    Key {
        namespace: NamespaceName::parse("default").expect("a name"),
        kind: Kind::Configuration,
        name: Name::parse("limits").expect("a name"),
    }
}

fn every_error() -> Vec<Error> {
    let io = || Box::new(std::io::Error::other("disk"));
    let store = [
        StoreError::Precondition(Box::new(Precondition::Absent(key()))),
        StoreError::Compacted { oldest: 1 },
        StoreError::Unwritable(io()),
        StoreError::Corrupt("page 3".to_owned()),
        StoreError::Unavailable(io()),
    ];
    let mut all: Vec<Error> = store.into_iter().map(Error::from).collect();
    let input = key();
    all.extend([
        Error::field("name", "REQUIRED", "must be set"),
        Error::TokenMissing,
        Error::TokenInvalid,
        Error::TokenExpired,
        Error::NamespaceForbidden("other".to_owned()),
        Error::AllNamespacesNeeded,
        Error::not_found(&key()),
        Error::NamespaceNotFound(key().namespace),
        Error::TokenNotFound("ci".to_owned()),
        Error::RevisionNotFound {
            key: key(),
            revision: 3,
        },
        Error::AlreadyExists {
            kind: Kind::Node,
            name: key().name,
        },
        Error::TokenExists("ci".to_owned()),
        Error::RequestIdReused,
        Error::EtagMismatch { key: key() },
        Error::Contended,
        Error::MissingReference(vec![Missing { user: key(), input }]),
        Error::InUse {
            key: key(),
            users: vec![key()],
        },
        Error::NamespaceNotEmpty {
            namespace: key().namespace,
            holds: vec![(Kind::Node, 2)],
        },
        Error::ResumeTokenExpired,
        Error::ShuttingDown,
    ]);
    all
}

#[test]
fn when_an_error_is_given_then_its_reason_is_documented_with_its_code() {
    let mut given = BTreeSet::new();
    for error in every_error() {
        let documented = reasons()
            .iter()
            .find(|(reason, ..)| *reason == error.reason());
        let code = documented.map(|(_, code, _)| *code);
        assert_eq!(code, Some(error.code()), "{}", error.reason());
        given.insert(error.reason());
    }

    let listed: BTreeSet<_> = reasons().iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(
        given, listed,
        "every documented reason is given by some error"
    );
}

#[test]
fn when_inputs_are_missing_then_each_is_a_precondition() {
    let missing = |name: &str| Missing {
        user: key(),
        input: Key {
            name: Name::parse(name).expect("a name"),
            ..key()
        },
    };
    let error = Error::MissingReference(vec![missing("first"), missing("second")]);

    let subjects: Vec<_> = error
        .preconditions()
        .into_iter()
        .map(|one| one.subject)
        .collect();

    assert_eq!(
        subjects,
        [
            "default/configuration/first",
            "default/configuration/second"
        ]
    );
    let expected = "2 inputs do not exist, the first: configuration \"first\" does not exist";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.code(), Code::FailedPrecondition);
}

#[test]
fn when_many_use_a_resource_then_the_message_names_a_few() {
    let user = |index: u32| Key {
        kind: Kind::Application,
        name: Name::parse(&format!("app-{index}")).expect("a name"),
        ..key()
    };
    let error = Error::InUse {
        key: key(),
        users: (0..5).map(user).collect(),
    };

    let text = error.to_string();

    assert!(text.ends_with("application \"app-2\" and 2 more"), "{text}");
    assert_eq!(error.preconditions().len(), 5);
}

#[test]
fn when_another_part_refuses_then_its_fault_is_passed_on() {
    let inner = Error::RevisionNotFound {
        key: key(),
        revision: Revision::FIRST.number(),
    };
    let outer = Error::Other(Box::new(inner));

    assert_eq!(
        (outer.code(), outer.reason()),
        (Code::NotFound, "REVISION_NOT_FOUND")
    );
    assert_eq!(
        outer.to_string(),
        "revision 1 of default/configuration/limits does not exist"
    );
}
