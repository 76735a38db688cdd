//! The documents of a set, checked, beside what is stored.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_model::{Kind, Message, Name, NamespaceName, Resource, Violation};

use super::Action;
use crate::app::write::check_etag;
use crate::app::{App, View, check, key_of};
use crate::auth::{Caller, default_namespace};
use crate::error::Error;
use crate::store::{Key, Stored};

/// One document beside what is stored.
pub(super) struct Draft {
    /// What is stored.
    pub(super) before: Option<Stored>,
    /// What is stored, decoded.
    pub(super) old: Option<View>,
    /// What will be; what is when nothing changes.
    pub(super) view: View,
    pub(super) action: Action,
}

impl Draft {
    pub(super) fn key(&self) -> &Key {
        &self.view.stored.key
    }
}

/// Every document of a set, in its order.
pub(super) struct Drafts {
    drafts: Vec<Draft>,
    keys: BTreeSet<Key>,
}

impl Drafts {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Draft> {
        self.drafts.iter()
    }

    /// Whether the set writes this resource.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// The tenants of the documents that belong to one.
    pub(super) fn namespaces(&self) -> BTreeSet<NamespaceName> {
        let inside = self.keys.iter().filter(|key| key.kind != Kind::Namespace);
        inside.map(|key| key.namespace.clone()).collect()
    }
}

/// The documents of a set that have a tenant, with their places, and what is wrong with others.
pub(super) struct Settled {
    documents: Vec<(usize, Message)>,
    violations: Vec<Violation>,
}

/// Gives every document its tenant; the caller must be allowed to all of them.
pub(super) fn settle(
    caller: &Caller,
    namespace: &str,
    documents: Vec<Option<Message>>,
) -> Result<Settled, Error> {
    let mut settled = Settled {
        documents: Vec::new(),
        violations: Vec::new(),
    };
    for (index, document) in documents.into_iter().enumerate() {
        let Some(mut message) = document else {
            let description = "must be a resource of a known kind";
            let violation = Violation::new(place(index, ""), "REQUIRED", description);
            settled.violations.push(violation);
            continue;
        };
        match settle_one(caller, namespace, &mut message) {
            Ok(()) => {}
            Err(Error::Invalid(error)) => {
                let found = error.violations.into_iter().map(|one| inside(index, one));
                settled.violations.extend(found);
                // A wrong tenant does not hide what else is wrong.
                message.set_namespace(&default_namespace());
            }
            Err(error) => return Err(error),
        }
        settled.documents.push((index, message));
    }
    Ok(settled)
}

fn settle_one(caller: &Caller, namespace: &str, message: &mut Message) -> Result<(), Error> {
    if message.kind() == Kind::Namespace {
        return caller.insist_on_all();
    }
    let written = message.namespace();
    let asked = if written.is_empty() {
        namespace
    } else {
        written
    };
    let namespace = caller.namespace(asked)?;
    message.set_namespace(&namespace);
    Ok(())
}

impl App {
    /// Checks every document against what is stored.
    pub(super) async fn draft(&self, settled: &Settled, caller: &Caller) -> Result<Drafts, Error> {
        let mut violations = settled.violations.clone();
        let mut drafts = Vec::new();
        let mut first_of: BTreeMap<Key, usize> = BTreeMap::new();
        let mut mismatch = None;
        for (index, message) in &settled.documents {
            let index = *index;
            let before = match stored_key(message) {
                Some(key) => self.store.get(&key).await?,
                None => None,
            };
            let old = before.clone().map(View::of).transpose()?;
            let before_resource = old.as_ref().map(|old| &old.resource);
            let resource = match check::resource(message.clone(), before_resource) {
                Ok(resource) => resource,
                Err(found) => {
                    violations.extend(found.into_iter().map(|one| inside(index, one)));
                    continue;
                }
            };
            let key = key_of(&resource)?;
            if let Some(first) = first_of.insert(key.clone(), index) {
                let description = format!("the same resource as documents[{first}]");
                violations.push(Violation::new(
                    place(index, "name"),
                    "DUPLICATE",
                    description,
                ));
                continue;
            }
            if let Err(error) = check_etag(&key, message.etag(), before.as_ref()) {
                mismatch.get_or_insert(error);
            }
            drafts.push(self.compare(key, before, old, resource, caller)?);
        }
        if !violations.is_empty() {
            return Err(Error::violations(violations));
        }
        if let Some(error) = mismatch {
            return Err(error);
        }
        let keys = drafts.iter().map(|draft| draft.key().clone()).collect();
        Ok(Drafts { drafts, keys })
    }

    fn compare(
        &self,
        key: Key,
        before: Option<Stored>,
        old: Option<View>,
        resource: Resource,
        caller: &Caller,
    ) -> Result<Draft, Error> {
        let is_same = |old: &&View| resource.is_same_spec(&old.resource);
        if let Some(same) = old.as_ref().filter(is_same).cloned() {
            return Ok(Draft {
                before,
                old,
                view: same,
                action: Action::Unchanged,
            });
        }
        let action = match before {
            None => Action::Created,
            Some(_) => Action::Changed,
        };
        let view = self.revision(key, before.as_ref(), resource, &caller.name)?;
        Ok(Draft {
            before,
            old,
            view,
            action,
        })
    }
}

/// Where a settled document is stored, when it has a name at all.
fn stored_key(message: &Message) -> Option<Key> {
    let name = Name::parse_for(message.kind(), message.name()).ok()?;
    let namespace = NamespaceName::parse(message.namespace()).ok()?;
    Some(Key {
        namespace,
        kind: message.kind(),
        name,
    })
}

/// The path of a field of a document, or of the document itself.
fn place(index: usize, field: &str) -> String {
    match field {
        "" => format!("documents[{index}]"),
        _ => format!("documents[{index}].{field}"),
    }
}

fn inside(index: usize, violation: Violation) -> Violation {
    Violation {
        field: place(index, &violation.field),
        ..violation
    }
}
