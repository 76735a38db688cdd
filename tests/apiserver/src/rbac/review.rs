//! Questions of users about themselves.

use serde_json::{Value, json};

use super::{Attributes, User, is_allowed, rules};
use crate::object::text;
use crate::refusal::Refusal;
use crate::state::State;

/// Answers `SelfSubjectAccessReview` and `SelfSubjectRulesReview`.
///
/// # Errors
/// It is another kind.
pub(crate) fn review(
    state: &State,
    user: &User,
    plural: &str,
    mut body: Value,
) -> Result<Value, Refusal> {
    match plural {
        "selfsubjectaccessreviews" => {
            let asked = &body["spec"]["resourceAttributes"];
            let resource = match text(asked, "/subresource") {
                "" => text(asked, "/resource").to_owned(),
                subresource => format!("{}/{subresource}", text(asked, "/resource")),
            };
            let wanted = Attributes {
                verb: match text(asked, "/verb") {
                    "" => text(&body, "/spec/nonResourceAttributes/verb"),
                    verb => verb,
                },
                group: text(asked, "/group"),
                resource: &resource,
                namespace: text(asked, "/namespace"),
                name: text(asked, "/name"),
                path: text(&body, "/spec/nonResourceAttributes/path"),
            };
            let allowed = is_allowed(state, user, &wanted);
            body["status"] = json!({ "allowed": allowed });
        }
        "selfsubjectrulesreviews" => {
            let namespace = text(&body, "/spec/namespace").to_owned();
            let rules: Vec<_> = if user.is_admin() {
                vec![json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] })]
            } else {
                rules(state, user, &namespace)
            };
            body["status"] = json!({
                "resourceRules": rules, "nonResourceRules": [], "incomplete": false,
            });
        }
        _ => return Err(Refusal::no_route()),
    }
    body["metadata"] = json!({});
    Ok(body)
}
