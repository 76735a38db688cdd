//! Nobody gives rights that they do not have.

use serde_json::Value;

use super::{Attributes, GROUP, User, authorize, is_allowed, role_rules};
use crate::object::{items, meta_text, text};
use crate::refusal::{About, Refusal};
use crate::rest::Target;
use crate::state::State;

/// Refuses a role, or a binding to one, that gives more than its writer has.
pub(crate) fn check_grants(
    state: &State,
    user: &User,
    target: &Target,
    object: &Value,
) -> Result<(), Refusal> {
    if user.is_admin() || target.kind.group != GROUP {
        return Ok(());
    }
    let plural = target.kind.plural.as_str();
    let (verb, rules) = if plural.ends_with("bindings") {
        ("bind", role_rules(state, object, &target.namespace))
    } else {
        ("escalate", items(object, "/rules").to_vec())
    };
    let (resource, name) = match (verb, text(object, "/roleRef/kind")) {
        ("escalate", _) => (plural, meta_text(object, "name")),
        (_, "ClusterRole") => ("clusterroles", text(object, "/roleRef/name")),
        _ => ("roles", text(object, "/roleRef/name")),
    };
    let permission = Attributes {
        verb,
        group: GROUP,
        resource,
        namespace: &target.namespace,
        name,
        path: "",
    };
    if authorize(state, user, &permission).is_ok() {
        return Ok(());
    }
    let missing: Vec<_> = rules
        .iter()
        .filter(|rule| !holds(state, user, &target.namespace, rule))
        .map(describe)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let about = About {
        group: GROUP,
        noun: plural,
    };
    let detail = format!(
        "user {:?} (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions \
         not currently held:\n{}",
        user.name,
        missing.join("\n")
    );
    Err(Refusal::forbidden(
        about,
        meta_text(object, "name"),
        &detail,
    ))
}

/// Whether the user may do all that a rule lists.
fn holds(state: &State, user: &User, namespace: &str, rule: &Value) -> bool {
    let words = |field: &str| -> Vec<String> {
        let words = items(rule, field).iter().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    let mut names = words("/resourceNames");
    if names.is_empty() {
        names.push(String::new());
    }
    for verb in words("/verbs") {
        for group in words("/apiGroups") {
            for resource in words("/resources") {
                for name in &names {
                    let wanted = Attributes {
                        verb: &verb,
                        group: &group,
                        resource: &resource,
                        namespace,
                        name,
                        path: "",
                    };
                    if !is_allowed(state, user, &wanted) {
                        return false;
                    }
                }
            }
        }
    }
    true
}

fn describe(rule: &Value) -> String {
    format!(
        "{{APIGroups:{}, Resources:{}, Verbs:{}}}",
        rule["apiGroups"], rule["resources"], rule["verbs"]
    )
}
