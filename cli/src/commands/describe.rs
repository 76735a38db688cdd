//! `baetyl describe`: one resource in full, and why it is not what it should be.

use baetyl_proto::cloud::v1::Document;
use baetyl_proto::cloud::v1::document::Resource;
use baetyl_proto::document;
use baetyl_proto::json::WriteOptions;
use baetyl_proto::resource::v1::{Certificate, Condition, Registry};

use crate::args::{Form, ObjectArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Table, age, dash, line, time, word};

mod application;
mod node;
mod status;

pub(super) async fn run(client: &Client, form: Form, args: ObjectArgs) -> Result<(), Failure> {
    let channel = client.cloud().await?;
    let document = client.get(&channel, args.kind, &args.name, false).await?;
    if form != Form::Table {
        return output::documents(form, args.kind, &[document], true);
    }
    match &document.resource {
        Some(Resource::Node(found)) => node::describe(found),
        Some(Resource::Application(found)) => {
            let nodes = application::nodes(client, &channel, &found.name).await?;
            application::describe(found, &nodes);
        }
        Some(Resource::Certificate(found)) => certificate(found),
        Some(Resource::Registry(found)) => registry(found),
        Some(Resource::Namespace(_) | Resource::Configuration(_) | Resource::Secret(_)) | None => {
            plain(&document);
        }
    }
    Ok(())
}

fn plain(document: &Document) {
    line(document::to_yaml(std::slice::from_ref(document), WriteOptions::default()).trim_end());
}

/// What a certificate says of itself; its text is what `get -o yaml` is for.
fn certificate(certificate: &Certificate) {
    let details = certificate.details.clone().unwrap_or_default();
    field("Name", &certificate.name);
    field("Labels", &labels(&certificate.labels));
    field("Revision", &certificate.revision.to_string());
    field("Subject", &dash(&details.subject));
    field(
        "Names",
        &dash(&details.subject_alternative_names.join(", ")),
    );
    field("Issuer", &dash(&details.issuer));
    field("Serial", &dash(&details.serial_number));
    field("From", &dash(&time(details.not_before.as_ref())));
    field("Until", &dash(&time(details.not_after.as_ref())));
    field("Key", &dash(&details.key_algorithm));
    field("Fingerprint", &dash(&details.fingerprint));
    let authority = match certificate.ca_pem.as_str() {
        "" => "–",
        _ => "ca.crt is given",
    };
    field("Authority", authority);
}

fn registry(registry: &Registry) {
    field("Name", &registry.name);
    field("Labels", &labels(&registry.labels));
    field("Revision", &registry.revision.to_string());
    field("Address", &registry.address);
    field("User", &registry.username);
    field("Changed", &age(registry.update_time.as_ref()));
}

fn field(name: &str, value: &str) {
    line(&format!("{name:12} {value}"));
}

fn why(text: &str) -> String {
    if text.is_empty() {
        "– (it is what it should be)".to_owned()
    } else {
        text.to_owned()
    }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let all: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    dash(&all.join(", "))
}

fn conditions(conditions: &[Condition]) {
    let mut table = Table::new(&["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for condition in conditions {
        table.add(condition_cells(condition));
    }
    part("Conditions", &table);
}

fn condition_cells(condition: &Condition) -> Vec<String> {
    vec![
        condition.r#type.clone(),
        word(&condition.status()),
        dash(&condition.reason),
        age(condition.last_transition_time.as_ref()),
        dash(&condition.message),
    ]
}

/// Prints a table under its title, when there is something in it.
fn part(title: &str, table: &Table) {
    if !table.is_empty() {
        line(&format!("\n{title}"));
        table.print();
    }
}
