//! What must not be deleted, since things of others would go with it.

use serde::Deserialize;

use super::super::names::{APPLICATION_LABEL, OWNER_LABEL};
use super::super::object::ObjectKey;
use super::super::wire::null_is_default;
use super::Cluster;
use super::discovery::{Resource, root};
use super::put::rejected;
use super::rejection::Rejection;
use super::request::{Call, METADATA_LIST, Seen, Trouble, encoded};

/// How many of those that are not ours are looked at. The cluster itself puts one or two objects
/// into every namespace.
const LOOKED_AT: usize = 4;

/// What people keep in namespaces. Other kinds are made by programs, which run in pods.
const KINDS: [(&str, &str); 9] = [
    ("/api/v1", "pods"),
    ("/api/v1", "configmaps"),
    ("/api/v1", "secrets"),
    ("/api/v1", "services"),
    ("/api/v1", "persistentvolumeclaims"),
    ("/apis/apps/v1", "deployments"),
    ("/apis/apps/v1", "statefulsets"),
    ("/apis/apps/v1", "daemonsets"),
    ("/apis/batch/v1", "jobs"),
];

/// The cluster itself puts this into every namespace.
const ROOT_CERTIFICATE: &str = "kube-root-ca.crt";

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    spec: DefinitionSpec,
}

#[derive(Default, Deserialize)]
struct DefinitionSpec {
    #[serde(default)]
    group: String,
    #[serde(default)]
    names: Names,
    #[serde(default, deserialize_with = "null_is_default")]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Names {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    plural: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    #[serde(default)]
    served: bool,
}

#[derive(Deserialize)]
struct List {
    #[serde(default, deserialize_with = "null_is_default")]
    items: Vec<Seen>,
}

impl Cluster {
    /// Says which object of others would go with a definition; `None` when there is none.
    pub(super) async fn definition_in_use(
        &self,
        application: &str,
        key: &ObjectKey,
        resource: &Resource,
    ) -> Result<Option<String>, Rejection> {
        let spec = match self
            .requests
            .fetch::<Definition>(Call::json(resource.path(key)))
            .await
        {
            Ok(definition) => definition.spec,
            Err(trouble) if trouble.is_not_found() => return Ok(None),
            Err(trouble) => return self.unseen(key, &trouble),
        };
        // One version shows them all.
        let Some(version) = spec.versions.iter().find(|version| version.served) else {
            return Ok(None);
        };
        let Some(root) = root(&format!("{}/{}", spec.group, version.name)) else {
            return Ok(None);
        };
        let path = format!("{root}/{}", encoded(&spec.names.plural));
        match self.strangers(application, &path).await {
            Ok(found) => Ok(found.first().map(|name| {
                format!(
                    "{} {name} is not this application's and would go with it",
                    spec.names.kind
                )
            })),
            Err(trouble) => self.unseen(key, &trouble),
        }
    }

    /// Says which object of others would go with a namespace; `None` when there is none.
    pub(super) async fn namespace_in_use(
        &self,
        application: &str,
        key: &ObjectKey,
    ) -> Result<Option<String>, Rejection> {
        for (root, plural) in KINDS {
            let path = format!("{root}/namespaces/{}/{plural}", encoded(&key.name));
            let found = match self.strangers(application, &path).await {
                Ok(found) => found,
                Err(trouble) => return self.unseen(key, &trouble),
            };
            let mut others = found.iter();
            if let Some(name) = others.find(|name| *name != ROOT_CERTIFICATE) {
                let why =
                    format!("{name} of {plural} is not this application's and would go with it");
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// Returns some names of objects that are not this application's.
    async fn strangers(&self, application: &str, path: &str) -> Result<Vec<String>, Trouble> {
        let owner = &self.settings.owner;
        let selectors = [
            format!("{APPLICATION_LABEL}!={application}"),
            format!("{APPLICATION_LABEL}={application},{OWNER_LABEL}!={owner}"),
        ];
        let mut names = Vec::new();
        for selector in selectors {
            let query = format!("labelSelector={}&limit={LOOKED_AT}", encoded(&selector));
            let call = Call::get(format!("{path}?{query}"), METADATA_LIST);
            match self.requests.fetch::<List>(call).await {
                Ok(list) => names.extend(list.items.into_iter().map(|seen| seen.metadata.name)),
                Err(trouble) if trouble.is_not_found() => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(names)
    }

    /// What may not be seen is taken to be there.
    fn unseen(&self, key: &ObjectKey, trouble: &Trouble) -> Result<Option<String>, Rejection> {
        match trouble {
            Trouble::Refused(refused) if refused.status.code == 403 => Ok(Some(
                "this node may not see whether others use it".to_owned(),
            )),
            _ => Err(rejected("look into", key, trouble)),
        }
    }
}
