//! Makes one object right again.

use super::super::object::Object;
use super::apply::{AppliedObject, Situation};
use super::check::Checked;
use super::put::Footing;
use super::rejection::Rejection;
use super::{ApplyOptions, Cluster, Known};

impl Cluster {
    /// Makes one object right again that was changed or removed. With its uid, one that took its
    /// name is not touched; without one it is looked whose it is.
    ///
    /// # Errors
    /// [`Rejection`]; fields that somebody else declares are `FIELD_CONFLICT`.
    pub async fn repair(
        &self,
        object: &Object,
        uid: Option<&str>,
        options: &ApplyOptions,
    ) -> Result<AppliedObject, Rejection> {
        let (targets, violations) = self.targets(std::slice::from_ref(object)).await?;
        Rejection::check(violations)?;
        let target = targets
            .first()
            .expect("an object without violation is a target");
        let known = Known::new();
        let situation = Situation {
            checked: Checked::default(),
            known: &known,
            options,
        };
        let footing = match uid {
            Some(uid) => Footing::Ours(uid.to_owned()),
            None => self.stand(target, &situation).await?,
        };
        let attempt = self
            .attempt(target, &footing, options.force_conflicts)
            .await?;
        let done = attempt.map_err(Rejection::of)?;
        Ok(AppliedObject::new(done, None))
    }
}
