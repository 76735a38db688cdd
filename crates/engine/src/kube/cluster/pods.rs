//! Tells running pods that an input was switched, so that the kubelet looks at once.

use futures::StreamExt;
use serde_json::json;

use super::super::names::{FIELD_MANAGER, INPUTS_ANNOTATION};
use super::super::object::ObjectKey;
use super::check::sorted;
use super::put::rejected;
use super::reading::{Reading, read};
use super::rejection::Rejection;
use super::request::{Call, Seen, Trouble, encoded};
use super::{Cluster, abreast};

impl Cluster {
    /// Writes the annotation `baetyl.io/inputs` of pods, by namespace and name. Pods that are gone
    /// are left out: those after them start with the new inputs.
    ///
    /// # Errors
    /// [`Rejection`] when a pod was not told; all others were.
    ///
    /// # Cancel safety
    /// When dropped, some are told; the same call tells the rest.
    pub async fn touch_pods(
        &self,
        pods: &[(String, String)],
        inputs: &str,
    ) -> Result<(), Rejection> {
        let change = json!({"metadata": {"annotations": {INPUTS_ANNOTATION: inputs}}});
        let mut outcomes = abreast(pods.iter().map(|(namespace, name)| {
            let key = ObjectKey::namespaced("v1", "Pod", namespace, name);
            let (namespace, name) = (encoded(namespace), encoded(name));
            let path =
                format!("/api/v1/namespaces/{namespace}/pods/{name}?fieldManager={FIELD_MANAGER}");
            let call = Call::merge(path, &change);
            async move { (key, self.requests.fetch::<Seen>(call).await) }
        }));
        let (mut violations, mut failure) = (Vec::new(), None);
        while let Some((key, outcome)) = outcomes.next().await {
            let trouble = match outcome {
                Ok(_) => continue,
                Err(trouble) if trouble.is_not_found() => continue,
                Err(trouble) => trouble,
            };
            if let Trouble::Refused(refused) = &trouble
                && let Reading::Invalid(found) = read(&key, &refused.status)
            {
                violations.extend(found);
                continue;
            }
            failure.get_or_insert_with(|| rejected("touch", &key, &trouble));
        }
        Rejection::check(sorted(violations))?;
        failure.map_or(Ok(()), Err)
    }
}
