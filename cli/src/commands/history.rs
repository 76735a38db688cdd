//! `baetyl history` and `baetyl rollback`.

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::revision_service_client::RevisionServiceClient;
use baetyl_proto::document;
use baetyl_proto::json::WriteOptions;

use super::apply::change_text;
use crate::args::{Form, HistoryArgs, RollbackArgs};
use crate::client::{Client, call};
use crate::failure::Failure;
use crate::output::{self, Table, age, dash};

pub(super) async fn list(client: &Client, form: Form, args: HistoryArgs) -> Result<(), Failure> {
    let mut service = RevisionServiceClient::new(client.cloud().await?);
    let (kind, name) = (args.object.kind.word().to_owned(), args.object.name);
    let namespace = client.namespace.clone();
    if let Some(revision) = args.revision {
        let request = wire::GetRevisionRequest {
            namespace,
            kind,
            name,
            revision,
        };
        let found = service.get_revision(call(request)).await?.into_inner();
        let document = found.document.unwrap_or_default();
        let options = WriteOptions::default();
        return match form {
            Form::Json => output::value(form, &document::to_json(&document, options)),
            Form::Table | Form::Yaml | Form::Name => {
                output::line(document::to_yaml(&[document], options).trim_end());
                Ok(())
            }
        };
    }
    let request = wire::ListRevisionsRequest {
        namespace,
        kind,
        name,
        ..Default::default()
    };
    let listed = service.list_revisions(call(request)).await?.into_inner();
    if form != Form::Table {
        return output::message(form, "baetyl.cloud.v1.ListRevisionsResponse", &listed);
    }
    let mut table = Table::new(&["REVISION", "AGE", "AUTHOR", "CHANGES"]);
    for revision in &listed.revisions {
        let mark = if revision.current { " (now)" } else { "" };
        let changes: Vec<_> = revision.changes.iter().take(3).map(change_text).collect();
        let more = revision.changes.len().saturating_sub(3);
        let more = if more > 0 {
            format!(", {more} more")
        } else {
            String::new()
        };
        table.add(vec![
            format!("{}{mark}", revision.revision),
            age(revision.create_time.as_ref()),
            dash(&revision.author),
            dash(&format!("{}{more}", changes.join(", "))),
        ]);
    }
    table.print();
    Ok(())
}

pub(super) async fn rollback(client: &Client, args: RollbackArgs) -> Result<(), Failure> {
    let mut service = RevisionServiceClient::new(client.cloud().await?);
    let request = wire::RollbackRequest {
        namespace: client.namespace.clone(),
        kind: args.object.kind.word().to_owned(),
        name: args.object.name.clone(),
        revision: args.to,
        validate_only: args.dry_run,
    };
    let done = service.rollback(call(request)).await?.into_inner();
    let result = done.result.unwrap_or_default();
    let object = format!("{}/{}", args.object.kind.word(), args.object.name);
    let changes: Vec<_> = result.changes.iter().map(change_text).collect();
    if changes.is_empty() {
        output::line(&format!("{object} is already so"));
        return Ok(());
    }
    let stored = if args.dry_run { "would be" } else { "is" };
    output::line(&format!("{object} {stored} revision {}", result.revision));
    for change in changes {
        output::line(&format!("  {change}"));
    }
    let nodes = done.affected_node_count;
    output::say(&format!(
        "{nodes} node{} changes",
        if nodes == 1 { "" } else { "s" }
    ));
    Ok(())
}
