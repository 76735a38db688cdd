//! `baetyl label`.

use std::collections::BTreeMap;

use baetyl_proto::cloud::v1::Document;
use baetyl_proto::cloud::v1::document::Resource;

use crate::args::LabelArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(client: &Client, args: LabelArgs) -> Result<(), Failure> {
    let wire = client.cloud().await?;
    let (kind, name) = (args.object.kind, args.object.name);
    let mut document = client.get(&wire, kind, &name, false).await?;
    let Some(labels) = labels(&mut document) else {
        return Err(Failure::usage("that kind has no labels".to_owned()));
    };
    for change in &args.changes {
        apply(labels, change)?;
    }
    // The etag that was read travels along, so that nobody else's change is lost.
    client.update(&wire, document).await?;
    output::line(&format!("{}/{name} labeled", kind.word()));
    Ok(())
}

fn apply(labels: &mut BTreeMap<String, String>, change: &str) -> Result<(), Failure> {
    if let Some((key, value)) = change.split_once('=') {
        labels.insert(key.to_owned(), value.to_owned());
        return Ok(());
    }
    match change.strip_suffix('-') {
        Some(key) => {
            labels.remove(key);
            Ok(())
        }
        None => Err(Failure::usage(format!(
            "{change:?} is neither key=value nor key-"
        ))),
    }
}

fn labels(document: &mut Document) -> Option<&mut BTreeMap<String, String>> {
    Some(match document.resource.as_mut()? {
        Resource::Namespace(it) => &mut it.labels,
        Resource::Node(it) => &mut it.labels,
        Resource::Application(it) => &mut it.labels,
        Resource::Configuration(it) => &mut it.labels,
        Resource::Secret(it) => &mut it.labels,
        Resource::Certificate(it) => &mut it.labels,
        Resource::Registry(it) => &mut it.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_labels_change_then_others_are_kept() {
        let mut labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);

        apply(&mut labels, "b=2").expect("set");
        apply(&mut labels, "a-").expect("removed");

        assert_eq!(labels, BTreeMap::from([("b".to_owned(), "2".to_owned())]));
        assert!(apply(&mut labels, "nonsense").is_err());
    }
}
