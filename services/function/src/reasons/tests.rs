//! What is given is documented, and the reverse.

use std::collections::BTreeSet;
use std::time::Duration;

use baetyl_service_kit::fault::{Fault, InvalidArgument};

use super::REASONS;
use crate::api::access::AccessError;
use crate::api::routes::SetError;
use crate::api::runtimes::RegisterError;
use crate::app::error::{CallError, RUNTIME_REASONS, Reason};
use crate::app::route::StaleRoutes;
use crate::store::StoreError;

fn call_errors() -> Vec<CallError> {
    let service = || "sensors".to_owned();
    let mut all = vec![
        CallError::FunctionNotFound {
            service: service(),
            function: String::new(),
        },
        CallError::NoRuntime { service: service() },
        CallError::Overloaded {
            service: service(),
            retry_after: Duration::ZERO,
        },
        CallError::Timeout,
        CallError::Cancelled,
        CallError::Raised {
            error_type: String::new(),
            message: String::new(),
            stack: String::new(),
        },
        CallError::RuntimeDied { has_started: false },
        CallError::ResultNotEncodable {
            message: String::new(),
        },
        CallError::ResultTooLarge { limit: 1 },
    ];
    all.extend(RUNTIME_REASONS.map(|word| CallError::RuntimeFailed {
        reason: Reason::of_runtime(word),
        message: String::new(),
    }));
    all
}

fn other_errors() -> Vec<Box<dyn Fault>> {
    let denied = AccessError::Denied {
        holder: String::new(),
        action: String::new(),
    };
    let stale = StaleRoutes {
        offered: 1,
        present: 2,
    };
    let unreadable = StoreError::UnknownForm {
        path: "routes.json".into(),
    };
    vec![
        Box::new(InvalidArgument {
            violations: Vec::new(),
        }),
        Box::new(AccessError::Missing),
        Box::new(AccessError::TokenInvalid),
        Box::new(AccessError::CertificateInvalid),
        Box::new(denied),
        Box::new(SetError::Stale(stale)),
        Box::new(SetError::Store(unreadable)),
        Box::new(SetError::Interrupted),
        Box::new(RegisterError::Fenced),
        Box::new(RegisterError::TooMany),
        Box::new(RegisterError::ShuttingDown),
        Box::new(RegisterError::NoLease),
    ]
}

#[test]
fn when_an_error_is_given_then_its_reason_is_documented_with_its_code() {
    let mut all = other_errors();
    all.extend(
        call_errors()
            .into_iter()
            .map(|error| Box::new(error) as Box<dyn Fault>),
    );
    let mut given = BTreeSet::new();

    for error in all {
        let documented = REASONS
            .iter()
            .find(|(reason, ..)| *reason == error.reason());
        assert_eq!(
            documented.map(|each| each.1),
            Some(error.code()),
            "{}",
            error.reason()
        );
        given.insert(error.reason());
    }

    let listed: BTreeSet<_> = REASONS.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(
        given, listed,
        "every documented reason is given by some error"
    );
    assert_eq!(listed.len(), REASONS.len(), "no reason is there twice");
}
