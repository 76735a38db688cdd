//! What a request that may be answered does.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};

use super::accept::Form;
use super::query::Query;
use super::route::{ObjectPath, Route};
use super::{Answer, discovery, logs, respond, watch, write};
use crate::faults::Facts;
use crate::json::{Body, read_yaml};
use crate::rbac::{Attributes, User, authorize, review};
use crate::refusal::Refusal;
use crate::rest::Target;
use crate::selector::{FieldSelector, LabelSelector};
use crate::shared::Shared;
use crate::usage::METRICS;

/// A request, read.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) user: User,
    pub(super) verb: &'static str,
    pub(super) query: Query,
    pub(super) form: Form,
    pub(super) agent: String,
    pub(super) media_type: String,
    pub(super) body: Bytes,
    pub(super) facts: Facts,
    /// Old events that a watch repeats.
    pub(super) repeats: usize,
}

impl Call {
    pub(super) fn answer(self, route: &Route, path: &str) -> Result<Answer, Refusal> {
        let metrics = self.shared.usage.metrics_mode();
        let is_aggregated = self.form == Form::Aggregated;
        if let Route::Object(path) = route {
            return self.answer_object(path);
        }
        self.shared.with(|state| {
            let wanted = Attributes {
                verb: self.verb,
                path,
                ..Attributes::default()
            };
            authorize(state, &self.user, &wanted)?;
            Ok(match route {
                Route::Version => respond::json(200, &discovery::version()),
                Route::Health => respond::text(200, "text/plain", "ok"),
                Route::CoreVersions if is_aggregated => {
                    respond::json(200, &discovery::aggregated(state, metrics, true))
                }
                Route::CoreVersions => respond::json(200, &discovery::core_versions()),
                Route::Groups if is_aggregated => {
                    respond::json(200, &discovery::aggregated(state, metrics, false))
                }
                Route::Groups => respond::json(200, &discovery::group_list(state, metrics)),
                Route::Group(name) => respond::json(200, &discovery::group(state, metrics, name)?),
                Route::Resources { group, version } => {
                    let list = discovery::resource_list(state, metrics, group, version)?;
                    respond::json(200, &list)
                }
                Route::Object(_) | Route::Unknown => return Err(Refusal::no_route()),
            })
        })
    }

    fn answer_object(self, path: &ObjectPath) -> Result<Answer, Refusal> {
        self.authorize(path)?;
        if path.group == METRICS {
            let labels = LabelSelector::parse(self.query.get("labelSelector"))?;
            let usage = &self.shared.usage;
            let found = self.shared.with(|state| {
                usage.metrics(state, &path.plural, &path.namespace, &path.name, &labels)
            })?;
            return Ok(respond::json(200, &found));
        }
        let target = self.target(path)?;
        let subresource = path.subresource.as_str();
        match (self.verb, &*target.kind.resource, subresource) {
            ("get", "pods", "log") => logs::answer(self, &target),
            ("get", "nodes", "proxy/stats/summary") => {
                let usage = &self.shared.usage;
                let found = self.shared.with(|state| usage.summary(state, &path.name))?;
                Ok(respond::json(200, &found))
            }
            ("create", _, _) if target.kind.group == "authorization.k8s.io" => self.review(path),
            ("create", "pods", "binding") => self.bind(&target),
            (_, _, "scale") if target.kind.has_scale => write::scale(&self, &target),
            ("get", _, "status") if target.version().has_status => self.get(&target),
            (_, _, "status") if !target.version().has_status => Err(Refusal::no_route()),
            ("update", "namespaces", "finalize") => write::answer(&self, target),
            ("get", _, "") => self.get(&target),
            ("list", _, "") => self.list(&target),
            ("watch", _, "") => watch::answer(self, target),
            ("create" | "delete" | "deletecollection", _, "")
            | ("update" | "patch", _, "" | "status") => write::answer(&self, target),
            ("get" | "update" | "patch" | "create", _, _) => Err(Refusal::no_route()),
            _ => Err(Refusal::method_not_allowed(target.kind.about())),
        }
    }

    fn authorize(&self, path: &ObjectPath) -> Result<(), Refusal> {
        let resource = path.permission();
        // The rights in a namespace count for the namespace itself.
        let namespace = match path.plural.as_str() {
            "namespaces" if path.group.is_empty() => &path.name,
            _ => &path.namespace,
        };
        // A list of one object by its name is a right to that object.
        let fields = self.query.get("fieldSelector");
        let selector = FieldSelector::parse(fields, &path.resource()).unwrap_or_default();
        let name = match path.name.as_str() {
            "" => selector.name().unwrap_or_default(),
            name => name,
        };
        let wanted = Attributes {
            verb: self.verb,
            group: &path.group,
            resource: &resource,
            namespace,
            name,
            path: "",
        };
        self.shared
            .with(|state| authorize(state, &self.user, &wanted))
    }

    fn target(&self, path: &ObjectPath) -> Result<Target, Refusal> {
        let kind = self
            .shared
            .with(|state| state.kinds.find(&path.group, &path.plural).cloned());
        let kind = kind.filter(|kind| kind.version(&path.version).is_some());
        let kind = kind.ok_or_else(Refusal::no_route)?;
        // A namespace before what has none, or none before what needs one.
        let is_misplaced = match (kind.is_namespaced, path.namespace.as_str()) {
            (false, namespace) => !namespace.is_empty(),
            (true, "") => !path.name.is_empty() || self.verb == "create",
            (true, _) => false,
        };
        if is_misplaced {
            return Err(Refusal::no_route());
        }
        let is_whole = path.subresource.is_empty();
        let is_allowed = match (self.verb, path.name.is_empty()) {
            ("create", is_collection) => is_collection || !is_whole,
            ("update" | "patch", is_collection) => !is_collection,
            ("deletecollection", _) => &*kind.resource != "namespaces",
            ("", _) => false,
            _ => true,
        };
        if !is_allowed {
            return Err(Refusal::method_not_allowed(kind.about()));
        }
        Ok(Target {
            kind,
            version: path.version.clone(),
            namespace: path.namespace.clone(),
            name: path.name.clone(),
            subresource: path.subresource.clone(),
        })
    }

    fn get(&self, target: &Target) -> Result<Answer, Refusal> {
        let version = self.query.get("resourceVersion");
        let object = self.shared.with(|state| state.read(target, version))?;
        Ok(respond::object(200, &object, self.form, &[]))
    }

    fn list(&self, target: &Target) -> Result<Answer, Refusal> {
        let query = self.query.list(target)?;
        let list = self.shared.with(|state| state.list(target, &query))?;
        let api_version = target.api_version();
        Ok(respond::list(&target.kind, &api_version, &list, self.form))
    }

    fn review(&self, path: &ObjectPath) -> Result<Answer, Refusal> {
        let body = self.json_body()?;
        let answer = self
            .shared
            .with(|state| review(state, &self.user, &path.plural, body))?;
        Ok(respond::json(201, &answer))
    }

    /// What the scheduler does.
    fn bind(&self, target: &Target) -> Result<Answer, Refusal> {
        let body = self.json_body()?;
        let node = body["target"]["name"].as_str().unwrap_or_default();
        let options = self.query.write(&self.agent, false)?;
        self.shared.with(|state| {
            let live = state.object(&target.id());
            let live = live.cloned().ok_or_else(|| target.not_found())?;
            let mut value = Value::clone(&live);
            value["spec"]["nodeName"] = node.into();
            let body = Body {
                value,
                duplicates: Vec::new(),
            };
            state.update(target, body, &options)
        })?;
        Ok(respond::success(201, json!({})))
    }

    /// The body as JSON.
    pub(super) fn json_body(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        read_yaml(&self.body)
            .map(|body| body.value)
            .map_err(Refusal::bad_request)
    }
}
