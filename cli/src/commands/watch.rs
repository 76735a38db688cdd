//! `baetyl watch`.

use baetyl_proto::cloud::v1::EventType;
use baetyl_proto::document;
use baetyl_proto::json::WriteOptions;
use futures::StreamExt as _;

use crate::args::{Form, WatchArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Table};

pub(super) async fn run(client: &Client, form: Form, args: WatchArgs) -> Result<(), Failure> {
    let wire = client.cloud().await?;
    let filter = args.selector.unwrap_or_default();
    let mut changes = client.watch(&wire, args.kind, &filter).await?;
    while let Some(change) = changes.next().await {
        let change = change?;
        let Some(document) = change.document else {
            continue;
        };
        let word = match change.kind {
            EventType::Added => "added",
            EventType::Deleted => "deleted",
            EventType::Modified | EventType::Bookmark | EventType::Unspecified => "modified",
        };
        match form {
            Form::Name => {
                let name = output::name(&document);
                output::line(&format!("{word} {}/{name}", args.kind.word()));
            }
            Form::Json | Form::Yaml => {
                // One JSON object a line, so that a program can read while it goes on.
                let shown = document::to_json(&document, WriteOptions::default());
                let event = serde_json::json!({"type": word, "document": shown});
                output::line(&event.to_string());
            }
            Form::Table => {
                let mut table = Table::new(output::columns(args.kind));
                table.add(output::row(&document));
                // The head is left out: each change is one line.
                for text in table.lines().into_iter().skip(1) {
                    output::line(&format!("{word:8}  {text}"));
                }
            }
        }
    }
    Ok(())
}
