//! Label and field selectors.

use serde_json::Value;

use crate::object::text;
use crate::refusal::Refusal;

/// Labels that an object must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl LabelSelector {
    /// Reads `a=b,c in (d,e),!f`.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(selector: &str) -> Result<Self, Refusal> {
        let refuse = |part: &str| {
            Refusal::bad_request(format!(
                "unable to parse requirement: found {part:?}, expected: a label selector"
            ))
        };
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(selector) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(parse_requirement(part).ok_or_else(|| refuse(part))?);
            }
        }
        Ok(Self(requirements))
    }

    /// Reads the selector of an object: `matchLabels` and `matchExpressions`.
    pub(crate) fn of_object(selector: &Value) -> Self {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement {
                key: key.clone(),
                test: Test::In(vec![value.as_str().unwrap_or_default().to_owned()]),
            });
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let test = match expression["operator"].as_str() {
                Some("In") => Test::In(values),
                Some("NotIn") => Test::NotIn(values),
                Some("DoesNotExist") => Test::Absent,
                _ => Test::Exists,
            };
            requirements.push(Requirement {
                key: expression["key"].as_str().unwrap_or_default().to_owned(),
                test,
            });
        }
        Self(requirements)
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.matches_labels(&object["metadata"]["labels"])
    }

    pub(crate) fn matches_labels(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let found = labels[&requirement.key].as_str();
            match &requirement.test {
                Test::Exists => found.is_some(),
                Test::Absent => found.is_none(),
                Test::In(values) => found.is_some_and(|found| values.iter().any(|v| v == found)),
                Test::NotIn(values) => {
                    !found.is_some_and(|found| values.iter().any(|v| v == found))
                }
            }
        })
    }
}

fn split_outside_parentheses(selector: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in selector.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&selector[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&selector[start..]);
    parts
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let requirement = |key: &str, test| {
        let key = key.trim();
        let is_key = !key.is_empty() && !key.contains([' ', '(', ')', '=', '!']);
        is_key.then(|| Requirement {
            key: key.to_owned(),
            test,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(key) = part.strip_prefix('!') {
        return requirement(key, Test::Absent);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return requirement(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return requirement(key, Test::In(one(value)));
    }
    if let Some(values) = part.strip_suffix(')') {
        let (key, values) = values.split_once('(')?;
        let values = values.split(',').map(|v| v.trim().to_owned()).collect();
        let (key, word) = key.trim().split_once(' ')?;
        return match word.trim() {
            "in" => requirement(key, Test::In(values)),
            "notin" => requirement(key, Test::NotIn(values)),
            _ => None,
        };
    }
    requirement(part, Test::Exists)
}

/// Fields that an object must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<FieldTest>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTest {
    field: String,
    value: String,
    is_equal: bool,
}

/// Fields that may be selected by, beside name and namespace, by resource.
const SELECTABLE: [(&str, &[&str]); 6] = [
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("secrets", &["type"]),
    ("nodes", &["spec.unschedulable"]),
    ("namespaces", &["status.phase"]),
    ("jobs.batch", &["status.successful"]),
];

impl FieldSelector {
    /// Reads `metadata.name=a,status.phase!=Running`.
    ///
    /// # Errors
    /// It is none, or the resource cannot be selected by such a field.
    pub(crate) fn parse(selector: &str, resource: &str) -> Result<Self, Refusal> {
        let mut tests = Vec::new();
        for part in selector.split(',').filter(|part| !part.is_empty()) {
            let (field, value, is_equal) = if let Some((field, value)) = part.split_once("!=") {
                (field, value, false)
            } else {
                let (field, value) = part
                    .split_once("==")
                    .or_else(|| part.split_once('='))
                    .ok_or_else(|| {
                        Refusal::bad_request(format!(
                            "invalid selector: '{part}'; can't understand '{part}'"
                        ))
                    })?;
                (field, value, true)
            };
            let is_known = ["metadata.name", "metadata.namespace"].contains(&field)
                || SELECTABLE
                    .iter()
                    .any(|(known, fields)| *known == resource && fields.contains(&field));
            if !is_known {
                return Err(Refusal::bad_request(format!(
                    "field label not supported: {field}"
                )));
            }
            tests.push(FieldTest {
                field: format!("/{}", field.replace('.', "/")),
                value: value.to_owned(),
                is_equal,
            });
        }
        Ok(Self(tests))
    }

    /// The name that is asked for, when the selector names exactly one object.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|test| test.is_equal && test.field == "/metadata/name")
            .map(|test| test.value.as_str())
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|test| {
            let found = match test.field.as_str() {
                "/source" => text(object, "/source/component").to_owned(),
                field => match object.pointer(field) {
                    Some(Value::String(found)) => found.clone(),
                    None | Some(Value::Null) if is_flag(field) => "false".to_owned(),
                    None | Some(Value::Null) => String::new(),
                    Some(other) => other.to_string(),
                },
            };
            (found == test.value) == test.is_equal
        })
    }
}

fn is_flag(field: &str) -> bool {
    ["/spec/unschedulable", "/spec/hostNetwork"].contains(&field)
}

#[cfg(test)]
mod tests;
