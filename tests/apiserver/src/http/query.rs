//! The query of a request.

use crate::refusal::Refusal;
use crate::rest::{FieldValidation, ListQuery, Target, WriteOptions};
use crate::selector::{FieldSelector, LabelSelector};

/// Decoded pairs.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(pairs.collect())
    }

    /// A value; empty when it is not given.
    pub(super) fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        matches!(self.get(key), "true" | "1" | "True")
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.get(key).parse().ok()
    }

    /// Whether nothing is to be stored.
    pub(super) fn is_dry_run(&self) -> bool {
        self.get("dryRun") == "All"
    }

    pub(super) fn list(&self, target: &Target) -> Result<ListQuery, Refusal> {
        let (labels, fields) = (self.get("labelSelector"), self.get("fieldSelector"));
        Ok(ListQuery {
            labels: LabelSelector::parse(labels)?,
            fields: FieldSelector::parse(fields, &target.kind.resource)?,
            limit: usize::try_from(self.number("limit").unwrap_or(0)).unwrap_or(0),
            continue_token: self.get("continue").to_owned(),
            version: self.get("resourceVersion").to_owned(),
            version_match: self.get("resourceVersionMatch").to_owned(),
            is_selective: !labels.is_empty() || !fields.is_empty(),
        })
    }

    /// How something is written. Without `fieldManager` the manager is the program that asks.
    pub(super) fn write(&self, agent: &str, is_apply: bool) -> Result<WriteOptions, Refusal> {
        let dry_run = self.get("dryRun");
        if !["", "All"].contains(&dry_run) {
            return Err(Refusal::new(
                422,
                "Invalid",
                format!(
                    "Options.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: {dry_run:?}: \
                     supported values: \"All\""
                ),
            ));
        }
        let validation = match self.get("fieldValidation") {
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            _ => FieldValidation::Warn,
        };
        let program = agent.split('/').next().unwrap_or_default();
        let manager = match (self.get("fieldManager"), program) {
            ("", _) if is_apply => "",
            ("", "") => "unknown",
            ("", program) => program,
            (manager, _) => manager,
        };
        Ok(WriteOptions {
            manager: manager.to_owned(),
            is_dry_run: dry_run == "All",
            validation,
            is_forced: self.is_true("force"),
            may_create: None,
        })
    }
}

/// Undoes the escapes of a query.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None if first == b'+' => bytes.push(b' '),
            None => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
