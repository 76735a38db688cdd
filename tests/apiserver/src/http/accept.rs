//! In which form a client wants its answer.

use crate::refusal::Refusal;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole objects.
    #[default]
    Whole,
    /// Metadata only.
    Metadata,
    /// Of discovery: everything in one answer.
    Aggregated,
}

/// Reads the header `Accept`; the first form that the server knows counts.
///
/// # Errors
/// None of them is known.
pub(super) fn form(accept: &str) -> Result<Form, Refusal> {
    if accept.trim().is_empty() {
        return Ok(Form::Whole);
    }
    let known = accept.split(',').find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        if !["application/json", "application/*", "*/*"].contains(&media_type) {
            return None;
        }
        let parameter = |name: &str| {
            let parts = range.split(';').skip(1);
            let mut pairs = parts.filter_map(|part| part.trim().split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        match (parameter("as"), parameter("v")) {
            (None, _) => Some(Form::Whole),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("v1")) => {
                Some(Form::Metadata)
            }
            (Some("APIGroupDiscoveryList"), Some("v2")) => Some(Form::Aggregated),
            _ => None,
        }
    });
    known.ok_or_else(|| {
        Refusal::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json",
        )
    })
}
