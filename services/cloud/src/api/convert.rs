//! Documents, results and differences between the contract and the application.

use baetyl_model::{Difference, Message};
use baetyl_proto::cloud::v1 as pb;
use pb::document::Resource;

use crate::app::apply::{Action, Applied};

/// The resource of a document, when it has one.
pub(super) fn message(document: pb::Document) -> Option<Message> {
    Some(match document.resource? {
        Resource::Namespace(one) => Message::Namespace(one),
        Resource::Node(one) => Message::Node(one),
        Resource::Application(one) => Message::Application(one),
        Resource::Configuration(one) => Message::Configuration(one),
        Resource::Secret(one) => Message::Secret(one),
        Resource::Certificate(one) => Message::Certificate(one),
        Resource::Registry(one) => Message::Registry(one),
    })
}

pub(super) fn document(message: Message) -> pb::Document {
    let resource = match message {
        Message::Namespace(one) => Resource::Namespace(one),
        Message::Node(one) => Resource::Node(one),
        Message::Application(one) => Resource::Application(one),
        Message::Configuration(one) => Resource::Configuration(one),
        Message::Secret(one) => Resource::Secret(one),
        Message::Certificate(one) => Resource::Certificate(one),
        Message::Registry(one) => Resource::Registry(one),
    };
    pb::Document {
        resource: Some(resource),
    }
}

pub(super) fn result(applied: Applied) -> pb::ApplyResult {
    let action = match applied.action {
        Action::Created => pb::ApplyAction::Created,
        Action::Changed => pb::ApplyAction::Changed,
        Action::Unchanged => pb::ApplyAction::Unchanged,
        Action::Deleted => pb::ApplyAction::Deleted,
    };
    pb::ApplyResult {
        kind: applied.key.kind.title().to_owned(),
        namespace: applied.key.namespace.to_string(),
        name: applied.key.name.to_string(),
        action: action.into(),
        changes: changes(applied.changes),
        note: applied.note,
        revision: applied.revision,
    }
}

pub(super) fn changes(differences: Vec<Difference>) -> Vec<pb::FieldChange> {
    let change = |one: Difference| pb::FieldChange {
        path: one.path,
        old_value: one.old.unwrap_or_default(),
        new_value: one.new.unwrap_or_default(),
    };
    differences.into_iter().map(change).collect()
}

/// A count as the contract has it.
pub(super) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
