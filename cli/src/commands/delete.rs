//! `baetyl delete`.

use baetyl_proto::cloud::v1::document::Resource;

use crate::args::DeleteArgs;
use crate::client::{Client, Kind};
use crate::documents;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(client: &Client, args: DeleteArgs) -> Result<(), Failure> {
    let mut targets: Vec<(Kind, String)> = Vec::new();
    if let Some(kind) = args.kind {
        targets.extend(args.names.iter().map(|name| (kind, name.clone())));
    }
    for set in documents::collect(&args.files)? {
        for parsed in set.documents {
            let name = output::name(&parsed.document).to_owned();
            targets.extend(parsed.document.resource.map(|it| (kind_of(&it), name)));
        }
    }
    // Users go before what they use, whatever the order of the files.
    targets.sort_by_key(|(kind, _)| *kind != Kind::Application);
    let wire = client.cloud().await?;
    for (kind, name) in targets {
        client
            .delete(&wire, kind, &name, args.force, args.remove_data)
            .await?;
        output::line(&format!("{}/{name} deleted", kind.word()));
    }
    Ok(())
}

fn kind_of(resource: &Resource) -> Kind {
    match resource {
        Resource::Namespace(_) => Kind::Namespace,
        Resource::Node(_) => Kind::Node,
        Resource::Application(_) => Kind::Application,
        Resource::Configuration(_) => Kind::Configuration,
        Resource::Secret(_) => Kind::Secret,
        Resource::Certificate(_) => Kind::Certificate,
        Resource::Registry(_) => Kind::Registry,
    }
}
