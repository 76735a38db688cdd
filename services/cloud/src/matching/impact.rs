//! What a change that is not stored yet would reach.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use baetyl_model::{Name, NamespaceName};
use baetyl_service_kit::fault::{Code, Fault};

use super::view::{Change, ViewError};
use super::{Matching, causes};
use crate::seam::{BoxFault, Edit, ImpactPreview};
use crate::store::Commit;

impl Fault for ViewError {
    fn code(&self) -> Code {
        Code::Internal
    }

    fn reason(&self) -> &'static str {
        "RESOURCE_UNREADABLE"
    }
}

#[async_trait]
impl ImpactPreview for Matching {
    async fn affected_nodes(
        &self,
        edits: &[Edit],
    ) -> Result<BTreeSet<(NamespaceName, Name)>, BoxFault> {
        let mut changes: BTreeMap<&NamespaceName, Vec<Change>> = BTreeMap::new();
        for edit in edits {
            let change = match &edit.after {
                Some(after) => Change::of(after).map_err(|error| Box::new(error) as BoxFault)?,
                None => Some(Change::Removed(edit.key.kind, edit.key.name.clone())),
            };
            let of_namespace = changes.entry(&edit.key.namespace).or_default();
            of_namespace.extend(change);
        }
        let mut affected = BTreeSet::new();
        for (namespace, changes) in changes {
            let nodes = self.preview(namespace, &changes).into_iter();
            affected.extend(nodes.map(|node| (namespace.clone(), node)));
        }
        Ok(affected)
    }

    fn announce(&self, commit: &Commit, traceparent: &str) {
        let traceparent: Arc<str> = traceparent.into();
        let mut tenants = self.tenants.write();
        for key in causes::changed(commit) {
            // A namespace that is not known yet has no nodes yet.
            if let Some(tenant) = tenants.get_mut(&key.namespace) {
                tenant
                    .causes
                    .announce(key.clone(), Arc::clone(&traceparent));
            }
        }
    }
}
