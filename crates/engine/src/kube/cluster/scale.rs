//! Keeps the number of instances what it is while an autoscaler takes over.
//!
//! A field that its only manager no longer applies is removed, and the number of replicas is then
//! 1. So it is first declared by a manager of its own, until the autoscaler changes it.

use serde_json::json;

use super::super::names::SCALE_MANAGER;
use super::super::object::ObjectKey;
use super::put::rejected;
use super::reading::{Reading, read};
use super::rejection::Rejection;
use super::request::{Call, Seen, Trouble, parse};
use super::{Cluster, unknown_kind};

impl Cluster {
    /// Declares the number of replicas of a workload with this uid. Somebody else who sets it, or
    /// another object in its place, is left alone.
    ///
    /// # Errors
    /// [`Rejection`]; what serves may lose instances when the number is not held.
    pub async fn hold_replicas(
        &self,
        key: &ObjectKey,
        uid: &str,
        replicas: i64,
    ) -> Result<(), Rejection> {
        let Some(resource) = self.resource(&key.api_version, &key.kind).await? else {
            return Err(Rejection::of(vec![unknown_kind(key)]));
        };
        let path = format!("{}?fieldManager={SCALE_MANAGER}", resource.path(key));
        let body = json!({
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
            "spec": {"replicas": replicas},
        });
        let trouble = match self
            .requests
            .send(Call::apply(path, body.to_string().into()))
            .await
        {
            Ok(answer) => match parse::<Seen>(&answer) {
                Ok(_) => return Ok(()),
                Err(trouble) => trouble,
            },
            Err(trouble) => trouble,
        };
        if let Trouble::Refused(refused) = &trouble {
            match read(key, &refused.status) {
                Reading::Conflict(_) | Reading::Changed | Reading::NotFound => return Ok(()),
                Reading::Invalid(violations) => return Err(Rejection::of(violations)),
                _ => {}
            }
        }
        Err(rejected("hold the replicas of", key, &trouble))
    }
}
