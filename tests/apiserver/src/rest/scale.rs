//! The subresource `scale`: how many there are and should be.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Outcome, Target, WriteOptions};
use crate::apply::{Managers, Writer, track_update};
use crate::object::{fields, items, meta_text};
use crate::patch;
use crate::refusal::Refusal;
use crate::rest::intake::now;
use crate::state::State;

impl State {
    /// Reads the scale of an object.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn read_scale(&self, target: &Target) -> Result<Arc<Value>, Refusal> {
        let live = self.live(target)?;
        Ok(Arc::new(scale_of(&live)))
    }

    /// Writes a scale: the whole of it, or a merge patch.
    ///
    /// # Errors
    /// The refusal of the server.
    pub(crate) fn write_scale(
        &mut self,
        target: &Target,
        body: &Value,
        options: &WriteOptions,
    ) -> Result<Outcome, Refusal> {
        let live = self.live(target)?;
        let mut scale = scale_of(&live);
        patch::merge(&mut scale, body);
        let version = meta_text(&scale, "resourceVersion");
        if version != meta_text(&live, "resourceVersion") {
            return Err(Refusal::stale(target.kind.about(), &target.name));
        }
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut object = Value::clone(&live);
        object["spec"]["replicas"] = json!(replicas);
        let kind = target.kind.storage();
        let writer = Writer {
            manager: &options.manager,
            api_version: &target.api_version(),
            subresource: "scale",
            time: &now(),
            has_status: kind.has_status,
        };
        let managers = track_update(kind.node(), Managers::of(&live), &live, &object, &writer);
        let whole = Target {
            subresource: String::new(),
            ..target.clone()
        };
        let object = self.replace(&whole, &live, object, Some(managers), options)?;
        Ok(Outcome {
            object: Arc::new(scale_of(&object)),
            is_created: false,
            warnings: Vec::new(),
        })
    }
}

fn scale_of(object: &Value) -> Value {
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        metadata[field] = object["metadata"][field].clone();
    }
    let labels = fields(object, "/spec/selector/matchLabels");
    let mut selector: Vec<_> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let expressions = items(object, "/spec/selector/matchExpressions").iter();
    selector.extend(expressions.map(|e| e["key"].as_str().unwrap_or_default().to_owned()));
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": { "replicas": object["spec"]["replicas"].as_i64().unwrap_or(0) },
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}
