//! What all kinds have in common: name, tenant, labels, annotations, description.

use std::collections::BTreeMap;

use baetyl_proto::resource::v1 as pb;

use super::output::Recorded;
use crate::Revision;
use crate::id::{Kind, Name, NamespaceName, Uid};
use crate::label;
use crate::violation::{Check, Path, reason};

const MAX_LABELS: usize = 64;
const MAX_ANNOTATIONS: usize = 64;
const MAX_ANNOTATION_BYTES: usize = 4096;
const MAX_DESCRIPTION_BYTES: usize = 1024;

/// The fields that every kind has.
pub(crate) trait Metadata {
    fn name(&self) -> &str;
    fn namespace(&self) -> &str;
    /// The tenant that was written; a tenant itself has none.
    fn namespace_mut(&mut self) -> Option<&mut String>;
    fn labels(&self) -> &BTreeMap<String, String>;
    fn annotations(&self) -> &BTreeMap<String, String>;
    fn description(&self) -> &str;
    fn etag(&self) -> &str;
    fn clear_recorded(&mut self);
    fn set_recorded(&mut self, recorded: &Recorded<'_>);
    fn set_life(&mut self, uid: &Uid, revision: Revision);
}

macro_rules! metadata {
    ($($kind:ident, $namespace:ident, |$this:ident| $tenant:expr;)*) => {$(
        impl Metadata for pb::$kind {
            fn name(&self) -> &str {
                &self.name
            }

            fn namespace(&self) -> &str {
                &self.$namespace
            }

            fn namespace_mut(&mut self) -> Option<&mut String> {
                let $this = self;
                $tenant
            }

            fn labels(&self) -> &BTreeMap<String, String> {
                &self.labels
            }

            fn annotations(&self) -> &BTreeMap<String, String> {
                &self.annotations
            }

            fn description(&self) -> &str {
                &self.description
            }

            fn etag(&self) -> &str {
                &self.etag
            }

            fn clear_recorded(&mut self) {
                self.uid.clear();
                self.revision = 0;
                self.digest.clear();
                self.etag.clear();
                self.create_time = None;
                self.update_time = None;
            }

            fn set_life(&mut self, uid: &Uid, revision: Revision) {
                self.uid = uid.to_string();
                self.revision = revision.number();
            }

            fn set_recorded(&mut self, recorded: &Recorded<'_>) {
                self.uid = recorded.uid.to_string();
                self.revision = recorded.revision.number();
                self.digest = recorded.digest.to_string();
                self.etag = recorded.etag();
                self.create_time = Some(recorded.create_time.into());
                self.update_time = Some(recorded.update_time.into());
            }
        }
    )*};
}

metadata! {
    Namespace, name, |_this| None;
    Node, namespace, |this| Some(&mut this.namespace);
    Application, namespace, |this| Some(&mut this.namespace);
    Configuration, namespace, |this| Some(&mut this.namespace);
    Secret, namespace, |this| Some(&mut this.namespace);
    Certificate, namespace, |this| Some(&mut this.namespace);
    Registry, namespace, |this| Some(&mut this.namespace);
}

/// Clears what only the server writes and checks the rest; returns the name when it is one.
pub(super) fn normalise(
    message: &mut impl Metadata,
    kind: Kind,
    check: &mut Check,
) -> Option<Name> {
    message.clear_recorded();
    let root = Path::root();
    let name = check_name(message.name(), kind, &root.field("name"), check);
    if kind != Kind::Namespace
        && !message.namespace().is_empty()
        && let Err(error) = NamespaceName::parse(message.namespace())
    {
        check.add(&root.field("namespace"), error.reason, error.description);
    }
    check_labels(message.labels(), &root.field("labels"), check);
    check_annotations(message.annotations(), &root.field("annotations"), check);
    let bytes = message.description().len();
    check.bytes(&root.field("description"), bytes, MAX_DESCRIPTION_BYTES);
    name
}

/// Refuses another name or tenant: that would be another resource.
pub(super) fn check_same(message: &impl Metadata, before: &impl Metadata, check: &mut Check) {
    let fields = [
        ("name", message.name(), before.name()),
        ("namespace", message.namespace(), before.namespace()),
    ];
    for (field, new, old) in fields {
        if new != old {
            let description = format!("cannot change from {old:?}");
            check.add(&Path::root().field(field), reason::IMMUTABLE, description);
        }
    }
}

/// Checks the name of a resource, here or where it is referred to.
pub(super) fn check_name(text: &str, kind: Kind, path: &Path, check: &mut Check) -> Option<Name> {
    if text.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
        return None;
    }
    match Name::parse_for(kind, text) {
        Ok(name) => Some(name),
        Err(error) => {
            check.add(path, error.reason, error.description);
            None
        }
    }
}

fn check_labels(labels: &BTreeMap<String, String>, path: &Path, check: &mut Check) {
    check.count(path, labels.len(), MAX_LABELS);
    for (key, value) in labels.iter().take(MAX_LABELS) {
        if let Err(problem) = label::check_key(key) {
            check.add(
                &path.field(key),
                reason::INVALID_LABEL,
                format!("the key {problem}"),
            );
        }
        if let Err(problem) = label::check_value(value) {
            check.add(
                &path.field(key),
                reason::INVALID_LABEL,
                format!("the value {problem}"),
            );
        }
    }
}

fn check_annotations(annotations: &BTreeMap<String, String>, path: &Path, check: &mut Check) {
    check.count(path, annotations.len(), MAX_ANNOTATIONS);
    for (key, value) in annotations.iter().take(MAX_ANNOTATIONS) {
        if let Err(problem) = label::check_key(key) {
            check.add(
                &path.field(key),
                reason::INVALID_LABEL,
                format!("the key {problem}"),
            );
        }
        check.bytes(&path.field(key), value.len(), MAX_ANNOTATION_BYTES);
    }
}
