//! Reading: one object, and lists in pages of one moment.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Target;
use crate::object::Key;
use crate::refusal::Refusal;
use crate::selector::{FieldSelector, LabelSelector};
use crate::state::State;

/// What a list asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    /// Most objects in an answer; 0 means all.
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    /// `resourceVersion`; empty when it is not given.
    pub(crate) version: String,
    /// `resourceVersionMatch`; empty when it is not given.
    pub(crate) version_match: String,
    /// Whether anything is selected, so that the rest cannot be counted.
    pub(crate) is_selective: bool,
}

/// One page.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) version: u64,
    /// Empty on the last page.
    pub(crate) continue_token: String,
    pub(crate) remaining: Option<usize>,
}

/// Where a page begins.
struct Start {
    /// The moment; `None` is now.
    at: Option<u64>,
    /// The last object of the page before.
    after: Option<Key>,
}

impl State {
    /// Reads one object.
    ///
    /// # Errors
    /// It is not there, or the version asked for is yet to come.
    pub(crate) fn read(&self, target: &Target, version: &str) -> Result<Arc<Value>, Refusal> {
        let asked = read_list_version(version)?.unwrap_or(0);
        if asked > self.version() {
            return Err(Refusal::too_new(asked, self.version()));
        }
        let found = self.object(&target.id());
        let found = found.ok_or_else(|| target.not_found())?;
        Ok(target.present(found))
    }

    /// Lists objects.
    ///
    /// # Errors
    /// The refusal of the server.
    pub(crate) fn list(&self, target: &Target, query: &ListQuery) -> Result<List, Refusal> {
        let start = self.start(query)?;
        let version = start.at.unwrap_or_else(|| self.version());
        let resource = &target.kind.resource;
        let objects = match start.at {
            None => self
                .objects(resource, &target.namespace)
                .map(|(key, object)| (key.clone(), Arc::clone(object)))
                .collect(),
            Some(at) => self
                .objects_at(resource, &target.namespace, at)
                .map_err(|_| expired(query))?,
        };
        let mut found = objects.into_iter().filter(|(key, object)| {
            start.after.as_ref().is_none_or(|after| key > after)
                && query.labels.matches(object)
                && query.fields.matches(object)
        });
        // A list of any version comes from a cache that knows no pages.
        let limit = match query.limit {
            0 => usize::MAX,
            _ if query.version == "0" && query.version_match != "Exact" => usize::MAX,
            limit => limit,
        };
        let mut items = Vec::new();
        let mut last = Key::default();
        for (key, object) in found.by_ref().take(limit) {
            items.push(target.present(&object));
            last = key;
        }
        let rest = found.count();
        let continue_token = if rest == 0 {
            String::new()
        } else {
            write_token(Some(version), &last)
        };
        Ok(List {
            items,
            version,
            remaining: (rest > 0 && !query.is_selective).then_some(rest),
            continue_token,
        })
    }

    fn start(&self, query: &ListQuery) -> Result<Start, Refusal> {
        let asked = read_list_version(&query.version)?;
        if !query.continue_token.is_empty() {
            if asked.is_some_and(|asked| asked > 0) {
                return Err(Refusal::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            return read_token(&query.continue_token).ok_or_else(|| {
                Refusal::bad_request("continue key is not valid: unable to read it")
            });
        }
        if query.version.is_empty() && !query.version_match.is_empty() {
            return Err(Refusal::bad_request(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        let asked = asked.unwrap_or(0);
        if asked > self.version() {
            return Err(Refusal::too_new(asked, self.version()));
        }
        let is_exact = match query.version_match.as_str() {
            "Exact" => true,
            "" => asked > 0 && query.limit > 0,
            "NotOlderThan" => false,
            other => {
                return Err(Refusal::bad_request(format!(
                    "resourceVersionMatch {other:?} is not supported"
                )));
            }
        };
        if is_exact && asked == 0 {
            return Err(Refusal::bad_request(
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
        Ok(Start {
            at: is_exact.then_some(asked),
            after: None,
        })
    }
}

/// Reads a version of a request; `None` when it is not given.
///
/// # Errors
/// It is no version.
pub(crate) fn read_list_version(version: &str) -> Result<Option<u64>, Refusal> {
    if version.is_empty() {
        return Ok(None);
    }
    version.parse().map(Some).map_err(|_| {
        Refusal::bad_request(format!(
            "invalid resource version {version:?}: strconv.ParseUint: parsing {version:?}: \
             invalid syntax"
        ))
    })
}

fn write_token(version: Option<u64>, last: &Key) -> String {
    let version = version.map_or_else(|| json!(-1), |version| json!(version));
    let token = json!({
        "v": "meta.k8s.io/v1", "rv": version, "namespace": last.namespace, "start": last.name,
    });
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn read_token(token: &str) -> Option<Start> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token: Value = serde_json::from_slice(&bytes).ok()?;
    Some(Start {
        at: token["rv"].as_u64(),
        after: Some(Key::new(
            token["namespace"].as_str()?,
            token["start"].as_str()?,
        )),
    })
}

/// The version of a list is forgotten: with a token that goes on from where the page ended, in the
/// present.
fn expired(query: &ListQuery) -> Refusal {
    let Some(Start {
        after: Some(last), ..
    }) = read_token(&query.continue_token)
    else {
        return Refusal::expired("The resourceVersion for the provided list is too old.");
    };
    Refusal::expired(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted \
         between the time the first chunk was returned and now may show up in the list.",
    )
    .with_continue(write_token(None, &last))
}
