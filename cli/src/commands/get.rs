//! `baetyl get`.

use crate::args::{Form, GetArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(client: &Client, form: Form, args: GetArgs) -> Result<(), Failure> {
    let wire = client.cloud().await?;
    let documents = if args.names.is_empty() {
        let filter = args.selector.unwrap_or_default();
        client.list(&wire, args.kind, &filter).await?
    } else {
        let mut found = Vec::with_capacity(args.names.len());
        for name in &args.names {
            found.push(client.get(&wire, args.kind, name, args.show_values).await?);
        }
        found
    };
    output::documents(form, args.kind, &documents, args.names.len() == 1)
}
