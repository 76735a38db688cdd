//! `baetyl apply`.

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::apply_service_client::ApplyServiceClient;
use baetyl_proto::cloud::v1::{ApplyAction, FieldChange};
use baetyl_service_kit::fault::{Problem, Violation};

use super::wait;
use crate::args::{ApplyArgs, Form};
use crate::client::{Client, call};
use crate::documents::{self, DocumentSet};
use crate::failure::{Failure, violations};
use crate::output;

/// The largest set that is sent; the server takes 16 MiB.
const MAX_MESSAGE_BYTES: usize = 20 * 1024 * 1024;

pub(super) async fn run(client: &Client, form: Form, args: ApplyArgs) -> Result<(), Failure> {
    let sets = documents::collect(&args.files)?;
    let all: Vec<_> = sets.iter().flat_map(|set| &set.documents).collect();
    if all.is_empty() {
        return Err(Failure::usage(
            "there is no document in the files".to_owned(),
        ));
    }
    let request = wire::ApplyRequest {
        namespace: client.namespace.clone(),
        documents: all.iter().map(|parsed| parsed.document.clone()).collect(),
        prune_selector: args.prune.clone().unwrap_or_default(),
        validate_only: args.dry_run,
    };
    let channel = client.cloud().await?;
    let mut service = ApplyServiceClient::new(channel.clone())
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let response = match service.apply(call(request)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(explain(&status, &sets)),
    };
    match form {
        Form::Table => print(&response, args.dry_run),
        Form::Name => {
            for result in &response.results {
                output::line(&format!("{}/{}", result.kind.to_lowercase(), result.name));
            }
        }
        Form::Json | Form::Yaml => {
            output::message(form, "baetyl.cloud.v1.ApplyResponse", &response)?;
        }
    }
    if args.wait && !args.dry_run {
        let applications = response.results.iter();
        let applications = applications
            .filter(|result| {
                result.kind == "Application" && result.action() != ApplyAction::Deleted
            })
            .map(|result| (result.name.clone(), result.revision))
            .collect();
        wait::for_applications(client, &channel, applications, args.timeout).await?;
    }
    Ok(())
}

/// One line for each document, with its differences, then how many nodes change.
fn print(response: &wire::ApplyResponse, dry_run: bool) {
    let kinds = response.results.iter().map(|result| result.kind.len());
    let kind_width = kinds.max().unwrap_or(0);
    let names = response.results.iter().map(|result| result.name.len());
    let name_width = names.max().unwrap_or(0);
    for result in &response.results {
        let changes: Vec<_> = result.changes.iter().map(change_text).collect();
        let what = match result.action() {
            ApplyAction::Created => "created".to_owned(),
            ApplyAction::Changed => format!("changed    {}", changes.join(", ")),
            ApplyAction::Unchanged => "unchanged".to_owned(),
            ApplyAction::Deleted => "deleted".to_owned(),
            ApplyAction::Unspecified => String::new(),
        };
        let note = match result.note.as_str() {
            "" => String::new(),
            note => format!(" ({note})"),
        };
        let (kind, name) = (&result.kind, &result.name);
        let text = format!("  {kind:kind_width$}  {name:name_width$}  {what}{note}");
        output::line(text.trim_end());
    }
    let count = response.affected_node_count;
    let mut names = response
        .affected_nodes
        .iter()
        .take(5)
        .cloned()
        .collect::<Vec<_>>();
    if count as usize > names.len() {
        names.push("…".to_owned());
    }
    let nodes = match count {
        0 => "no node changes.".to_owned(),
        1 => format!("1 node changes: {}.", names.join(", ")),
        count => format!("{count} nodes change: {}.", names.join(", ")),
    };
    let stored = if dry_run { "  Nothing was stored." } else { "" };
    output::line(&format!("  {nodes}{stored}"));
}

/// `data.limits.json: temperature 31.5 → 30.0`, as the server says it.
pub(super) fn change_text(change: &FieldChange) -> String {
    let (old, new) = (short(&change.old_value), short(&change.new_value));
    match (old.as_str(), new.as_str()) {
        ("", "") => change.path.clone(),
        ("", new) => format!("{}: + {new}", change.path),
        (old, "") => format!("{}: - {old}", change.path),
        (old, new) => format!("{}: {old} → {new}", change.path),
    }
}

/// Values of many lines, and long ones, are cut.
fn short(value: &str) -> String {
    const MOST: usize = 60;
    let one_line = value.replace(['\n', '\r'], " ");
    if one_line.chars().count() <= MOST {
        return one_line;
    }
    let cut: String = one_line.chars().take(MOST).collect();
    format!("{cut}…")
}

/// Puts the violations of the server back to the documents and lines they come from.
fn explain(status: &tonic::Status, sets: &[DocumentSet]) -> Failure {
    let problem = Problem::from_status(status);
    let mut text = String::new();
    let mut left = Vec::new();
    let mut last = None;
    let mut shown = Vec::new();
    for violation in &problem.violations {
        let Some((index, path)) = split(&violation.field) else {
            left.push(violation.clone());
            continue;
        };
        let Some((set, parsed)) = documents::nth(sets, index) else {
            left.push(violation.clone());
            continue;
        };
        if last != Some(index) {
            text.push_str(&violations(&shown));
            shown.clear();
            text.push_str(&format!("\n  {}", documents::title(set, parsed)));
            last = Some(index);
        }
        let line = documents::line(set, parsed, path);
        let line = line
            .map(|line| format!(" (line {line})"))
            .unwrap_or_default();
        shown.push(Violation {
            field: path.to_owned(),
            description: format!("{}{line}", violation.description),
            ..violation.clone()
        });
    }
    text.push_str(&violations(&shown));
    if text.is_empty() {
        return Failure::status(status, "");
    }
    let count = problem.violations.len();
    let fields = if count == 1 {
        "1 field is".to_owned()
    } else {
        format!("{count} fields are")
    };
    let files: Vec<_> = sets.iter().map(|set| set.source.as_str()).collect();
    let code = baetyl_service_kit::fault::name(problem.code);
    let tag = format!("[{code} / {}]", problem.reason);
    text.push_str(&violations(&left));
    Failure::failed(format!(
        "{fields} wrong in {}, nothing was stored  {tag}{text}",
        files.join(", ")
    ))
}

/// `documents[2].selector` is document 2 of the set, field `selector`.
fn split(field: &str) -> Option<(usize, &str)> {
    let rest = field.strip_prefix("documents[")?;
    let (index, path) = rest.split_once(']')?;
    Some((index.parse().ok()?, path.trim_start_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_field_names_its_document_then_both_are_found() {
        assert_eq!(split("documents[12].data.a"), Some((12, "data.a")));
        assert_eq!(split("documents[0]"), Some((0, "")));
        assert_eq!(split("prune_selector"), None);
    }

    #[test]
    fn when_values_are_long_or_of_many_lines_then_they_are_cut() {
        let change = FieldChange {
            path: "data.a".to_owned(),
            old_value: "x\ny".to_owned(),
            new_value: "z".repeat(100),
        };

        let text = change_text(&change);

        assert!(text.starts_with("data.a: x y → zzz"), "{text}");
        assert!(text.ends_with('…'), "{text}");
    }
}
