//! One remark for people about what an apply does to an application.

use std::collections::BTreeMap;

use baetyl_model::resource::OnChange;
use baetyl_model::{Application, Input, Resource};
use baetyl_proto::resource::v1::ApplicationType;

use super::{Action, Draft};
use crate::store::Key;

/// The most names in a remark.
const NAMED: usize = 5;

/// Says what happens to an application because of its inputs; empty for everything else.
pub(super) fn of(draft: &Draft, actions: &BTreeMap<&Key, Action>) -> String {
    let Resource::Application(application) = &draft.view.resource else {
        return String::new();
    };
    match draft.action {
        Action::Created | Action::Deleted => String::new(),
        Action::Unchanged => by_inputs(draft, application, actions),
        Action::Changed => {
            let note = by_inputs(draft, application, actions);
            let is_same = draft.old.as_ref().is_some_and(|old| match &old.resource {
                Resource::Application(old) => {
                    old.template_digest() == application.template_digest()
                }
                _ => false,
            });
            if note.is_empty() && is_same {
                return "nothing restarts".to_owned();
            }
            note
        }
    }
}

fn by_inputs(draft: &Draft, application: &Application, actions: &BTreeMap<&Key, Action>) -> String {
    let is_changed = |input: &Input| {
        let key = Key {
            namespace: draft.key().namespace.clone(),
            kind: input.kind,
            name: input.name.clone(),
        };
        actions.get(&key) == Some(&Action::Changed)
    };
    let changed: Vec<Input> = application
        .inputs()
        .into_iter()
        .filter(is_changed)
        .collect();
    let named = |wanted: OnChange| {
        let names = changed.iter().filter(|input| input.on_change == wanted);
        let names: Vec<&str> = names.map(|input| input.name.as_str()).collect();
        let more = names.len().saturating_sub(NAMED);
        let text = names[..names.len() - more].join(", ");
        match more {
            0 => text,
            more => format!("{text} and {more} more"),
        }
    };
    let (restart, reload) = (named(OnChange::Restart), named(OnChange::Reload));
    let is_rendered = match application.application_type() {
        ApplicationType::Helm | ApplicationType::Manifest => true,
        ApplicationType::Container
        | ApplicationType::Function
        | ApplicationType::Process
        | ApplicationType::Unspecified => false,
    };
    if is_rendered && !restart.is_empty() {
        return format!("renders {restart} anew");
    }
    match (restart.as_str(), reload.as_str()) {
        ("", "") => String::new(),
        ("", reload) => format!("reloads {reload} in place"),
        (restart, "") => format!("restarts for {restart}"),
        (restart, reload) => format!("restarts for {restart}, reloads {reload}"),
    }
}
