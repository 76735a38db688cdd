//! Objects that somebody else wrote, raw or rendered from a chart: put into a namespace that this
//! node may use, and marked as ours so that they are watched, repaired and pruned.
//!
//! Their pods are marked too, but without the release: a pod is replaced only when its own
//! template changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::{names, scene};
use crate::driver::Refusal;
use crate::kube::material::Material;
use crate::kube::object::{Object, ObjectKey};
use crate::kube::settings::KubeSettings;
use crate::reason;

/// The most objects of one application.
pub const MAX_OBJECTS: usize = 512;

/// Where objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the whole cluster.
    Cluster,
}

/// What only we say.
const OWN_LABELS: [&str; 3] = [
    names::OWNER_LABEL,
    names::APPLICATION_LABEL,
    names::RELEASE_LABEL,
];

/// What only the cluster says. Objects that were read from one have it, and it means nothing here.
const CLUSTER_METADATA: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Kinds by group, and where the templates of their pods are.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "PodTemplate", &["/template"]),
    ("", "ReplicationController", &["/spec/template"]),
    ("apps", "DaemonSet", &["/spec/template"]),
    ("apps", "Deployment", &["/spec/template"]),
    ("apps", "ReplicaSet", &["/spec/template"]),
    ("apps", "StatefulSet", &["/spec/template"]),
    (
        "batch",
        "CronJob",
        &["/spec/jobTemplate", "/spec/jobTemplate/spec/template"],
    ),
    ("batch", "Job", &["/spec/template"]),
];

/// Takes objects in, in their order. Lists become their items. `scope` tells where objects of an
/// API version and kind are, and is not asked for kinds that the objects themselves define.
///
/// # Errors
/// [`Refusal`] names object and field: a namespace that this node may not use, a kind that the
/// cluster does not have (which may pass), labels of ours, the same object twice, too many objects.
pub fn dress(
    objects: Vec<Object>,
    material: &Material,
    settings: &KubeSettings,
    scope: &dyn Fn(&str, &str) -> Option<Scope>,
) -> Result<Vec<Object>, Refusal> {
    let objects = flattened(objects)?;
    let defined: BTreeMap<(String, String), Scope> = objects.iter().flat_map(definitions).collect();
    let outfit = Outfit {
        namespace: scene::namespace(&material.application, settings)?,
        settings,
        labels: names::labels(&settings.owner, &material.application.name),
    };
    let mut seen = BTreeSet::new();
    let mut dressed = Vec::with_capacity(objects.len());
    for object in objects {
        let key = object.key();
        let kind = (key.api_version.clone(), key.kind.clone());
        let found = defined.get(&kind).copied();
        let Some(scope) = found.or_else(|| scope(&kind.0, &kind.1)) else {
            let problem = format!("the cluster has no {} of {}", kind.1, kind.0);
            let message = Place(key, "kind").says(problem);
            return Err(Refusal::passing(reason::KIND_NOT_FOUND, message));
        };
        let object = outfit.put_on(&object, scope)?;
        let key = object.key();
        let identity = (
            key.group().to_owned(),
            key.kind.clone(),
            key.namespace.clone(),
            key.name.clone(),
        );
        if !seen.insert(identity) {
            return Err(Place(key, "metadata.name").wrong("this object stands here twice"));
        }
        dressed.push(object);
    }
    Ok(dressed)
}

/// A field of an object: `Deployment web: metadata.labels`.
struct Place<'a>(&'a ObjectKey, &'a str);

impl Place<'_> {
    fn says(&self, problem: impl fmt::Display) -> String {
        let Self(key, field) = self;
        format!("{key}: {field}: {problem}")
    }

    fn wrong(&self, problem: impl fmt::Display) -> Refusal {
        Refusal::lasting(reason::INVALID_OBJECT, self.says(problem))
    }
}

/// The objects without their lists.
fn flattened(objects: Vec<Object>) -> Result<Vec<Object>, Refusal> {
    let mut found = Vec::new();
    for object in objects {
        let items = object.body().get("items").and_then(Value::as_array);
        match items.filter(|_| object.key().kind.ends_with("List")) {
            None => found.push(object),
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    let item = Object::try_new(item.clone()).map_err(|error| {
                        let field = format!("items[{index}].{}", error.field);
                        Place(object.key(), &field).wrong(error.problem)
                    })?;
                    found.push(item);
                }
            }
        }
        if found.len() > MAX_OBJECTS {
            let message = format!("there are more than {MAX_OBJECTS} objects");
            return Err(Refusal::lasting(reason::INVALID_OBJECT, message));
        }
    }
    Ok(found)
}

/// The kinds that an object defines, by API version and kind.
fn definitions(object: &Object) -> Vec<((String, String), Scope)> {
    let key = object.key();
    if key.group() != "apiextensions.k8s.io" || key.kind != "CustomResourceDefinition" {
        return Vec::new();
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let body = object.body();
    let group = text(body.pointer("/spec/group"));
    let kind = text(body.pointer("/spec/names/kind"));
    let (Some(group), Some(kind)) = (group, kind) else {
        return Vec::new();
    };
    let scope = match body.pointer("/spec/scope").and_then(Value::as_str) {
        Some("Cluster") => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    let versions = body.pointer("/spec/versions").and_then(Value::as_array);
    let names = versions.into_iter().flatten();
    names
        .filter_map(|version| text(version.get("name")))
        .map(|version| ((format!("{group}/{version}"), kind.clone()), scope))
        .collect()
}

/// What every object of an application gets.
struct Outfit<'a> {
    namespace: &'a str,
    settings: &'a KubeSettings,
    labels: BTreeMap<String, String>,
}

impl Outfit<'_> {
    fn put_on(&self, object: &Object, scope: Scope) -> Result<Object, Refusal> {
        let key = object.key();
        let mut body = object.body().clone();
        let Some(top) = body.as_object_mut() else {
            return Err(Place(key, "metadata").wrong("must be a mapping"));
        };
        top.remove("status");
        let Some(metadata) = top.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err(Place(key, "metadata").wrong("must be a mapping"));
        };
        for field in CLUSTER_METADATA {
            metadata.remove(field);
        }
        self.place(key, metadata, scope)?;
        self.mark(key, metadata, "metadata")?;
        metadata
            .get_mut("labels")
            .and_then(Value::as_object_mut)
            .map(|labels| labels.insert(names::MANAGED_BY_LABEL.into(), names::MANAGED_BY.into()));
        self.mark_templates(key, &mut body)?;
        let field =
            |error: crate::kube::object::ObjectError| Place(key, error.field).wrong(error.problem);
        Object::try_new(body).map_err(field)
    }

    /// Says in which namespace it is.
    fn place(
        &self,
        key: &ObjectKey,
        metadata: &mut Map<String, Value>,
        scope: Scope,
    ) -> Result<(), Refusal> {
        if scope == Scope::Cluster {
            // Charts say it often, and the cluster does not look at it.
            metadata.remove("namespace");
            return Ok(());
        }
        let namespace = key.namespace.as_deref().unwrap_or(self.namespace);
        let allowed = &self.settings.allowed_namespaces;
        if !allowed.iter().any(|allowed| allowed == namespace) {
            let problem = format!("this node may not use the namespace {namespace:?}");
            let message = Place(key, "metadata.namespace").says(problem);
            return Err(Refusal::lasting(reason::NAMESPACE_NOT_ALLOWED, message));
        }
        metadata.insert("namespace".to_owned(), namespace.into());
        Ok(())
    }

    /// Adds the labels; a word for who manages it stays, since a selector may name it.
    fn mark(
        &self,
        key: &ObjectKey,
        metadata: &mut Map<String, Value>,
        field: &str,
    ) -> Result<(), Refusal> {
        let field = format!("{field}.labels");
        let labels = metadata.entry("labels").or_insert(Value::Null);
        if labels.is_null() {
            *labels = Value::Object(Map::new());
        }
        let Some(labels) = labels.as_object_mut() else {
            return Err(Place(key, &field).wrong("must be a mapping"));
        };
        if let Some(own) = OWN_LABELS.iter().find(|own| labels.contains_key(**own)) {
            let field = format!("{field}[{own}]");
            return Err(Place(key, &field).wrong("is set by the engine only"));
        }
        for (name, value) in &self.labels {
            labels
                .entry(name.clone())
                .or_insert_with(|| value.clone().into());
        }
        Ok(())
    }

    /// Marks what the cluster makes of the object's templates.
    fn mark_templates(&self, key: &ObjectKey, body: &mut Value) -> Result<(), Refusal> {
        let known = TEMPLATES
            .iter()
            .find(|(group, kind, _)| *group == key.group() && *kind == key.kind);
        let Some((_, kind, templates)) = known else {
            return Ok(());
        };
        for pointer in *templates {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            if let Some(template) = body.pointer_mut(pointer) {
                self.mark_template(key, template, &field)?;
            }
        }
        if *kind == "StatefulSet" {
            let claims = body.pointer_mut("/spec/volumeClaimTemplates");
            let claims = claims.and_then(Value::as_array_mut).into_iter().flatten();
            for (index, claim) in claims.enumerate() {
                let field = format!("spec.volumeClaimTemplates[{index}]");
                self.mark_template(key, claim, &field)?;
            }
        }
        Ok(())
    }

    /// What is no template the cluster refuses better than we do.
    fn mark_template(
        &self,
        key: &ObjectKey,
        template: &mut Value,
        field: &str,
    ) -> Result<(), Refusal> {
        let Some(template) = template.as_object_mut() else {
            return Ok(());
        };
        let metadata = template.entry("metadata").or_insert(Value::Null);
        if metadata.is_null() {
            *metadata = Value::Object(Map::new());
        }
        let field = format!("{field}.metadata");
        let Some(metadata) = metadata.as_object_mut() else {
            return Err(Place(key, &field).wrong("must be a mapping"));
        };
        // Tools write it as null, and a template has none.
        metadata.remove("creationTimestamp");
        self.mark(key, metadata, &field)
    }
}
