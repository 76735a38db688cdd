//! Deletes an application's objects, the last applied first, and nothing that is somebody else's.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::super::object::ObjectKey;
use super::discovery::{Resource, is_definition};
use super::order::{Wave, wave};
use super::put::rejected;
use super::rejection::Rejection;
use super::replace::{Erased, Propagation};
use super::{Cluster, abreast};

/// What became of objects that were to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Nothing is left of them, or their names are somebody else's now.
    pub gone: Vec<ObjectKey>,
    /// Deleted, and still there until their finalizers or pods have ended: the watches tell when.
    pub terminating: Vec<ObjectKey>,
    /// Not deleted yet, since custom objects among `terminating` need their operator to clean up.
    /// The same call with these, when those are gone, goes on.
    pub waiting: Vec<ObjectKey>,
    /// Left where they are, since things of others would go with them, each with the reason.
    pub kept: Vec<(ObjectKey, String)>,
}

/// What became of one of them.
enum Fate {
    Gone,
    Terminating,
    Kept(String),
}

impl Cluster {
    /// Deletes objects of an application in the reverse of the order in which they are applied,
    /// each only when it has the uid that is given; without one, only when its labels say that it
    /// belongs to this node and application. What they own goes after them (in the background).
    ///
    /// A definition is left while there are objects of its kind that are not this application's,
    /// or that may not be seen: they would go with it. So is a namespace with anything in it.
    ///
    /// # Errors
    /// [`Rejection`] when something could not be deleted; what comes after it is not tried.
    ///
    /// # Cancel safety
    /// When dropped, some are deleted; the same call goes on.
    pub async fn delete(
        &self,
        application: &str,
        targets: &[(ObjectKey, Option<String>)],
    ) -> Result<Deleted, Rejection> {
        let mut waves: BTreeMap<Wave, Vec<&(ObjectKey, Option<String>)>> = BTreeMap::new();
        for target in targets {
            waves.entry(wave(&target.0)).or_default().push(target);
        }
        let mut deleted = Deleted::default();
        let mut must_wait = false;
        for (wave, targets) in waves.into_iter().rev() {
            if must_wait {
                let keys = targets.into_iter().map(|(key, _)| key.clone());
                deleted.waiting.extend(keys);
                continue;
            }
            self.delete_wave(&mut deleted, application, &targets)
                .await?;
            must_wait = wave == Wave::Custom && !deleted.terminating.is_empty();
        }
        Ok(deleted)
    }

    async fn delete_wave(
        &self,
        deleted: &mut Deleted,
        application: &str,
        targets: &[&(ObjectKey, Option<String>)],
    ) -> Result<(), Rejection> {
        let mut fates = abreast(targets.iter().map(|(key, uid)| async move {
            let fate = self.delete_one(application, key, uid.as_deref()).await;
            (key, fate)
        }));
        let mut failure: Option<Rejection> = None;
        while let Some((key, fate)) = fates.next().await {
            match fate {
                Ok(Fate::Gone) => deleted.gone.push(key.clone()),
                Ok(Fate::Terminating) => deleted.terminating.push(key.clone()),
                Ok(Fate::Kept(why)) => deleted.kept.push((key.clone(), why)),
                Err(rejection) => failure = Some(worse(failure, rejection)),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn delete_one(
        &self,
        application: &str,
        key: &ObjectKey,
        uid: Option<&str>,
    ) -> Result<Fate, Rejection> {
        // Without its kind there are no objects of it.
        let Some(resource) = self.resource(&key.api_version, &key.kind).await? else {
            return Ok(Fate::Gone);
        };
        let path = resource.path(key);
        let uid = match uid {
            Some(uid) => uid.to_owned(),
            None => match self.own_uid(application, key, &path).await? {
                Some(uid) => uid,
                None => return Ok(Fate::Gone),
            },
        };
        if let Some(why) = self.reason_to_keep(application, key, &resource).await? {
            return Ok(Fate::Kept(why));
        }
        let erased = self.erase(key, &path, &uid, Propagation::Background);
        Ok(match erased.await? {
            Erased::Gone | Erased::Other => Fate::Gone,
            Erased::Ending => Fate::Terminating,
        })
    }

    /// Returns the uid of an object; `None` when it is not there or is not this application's.
    async fn own_uid(
        &self,
        application: &str,
        key: &ObjectKey,
        path: &str,
    ) -> Result<Option<String>, Rejection> {
        let seen = self.look(key, path).await;
        let seen = seen.map_err(|trouble| rejected("look at", key, &trouble))?;
        let seen = seen.map_err(|violation| Rejection::of(vec![violation]))?;
        let own = seen.filter(|seen| self.stranger(seen, Some(application)).is_none());
        Ok(own.map(|seen| seen.metadata.uid))
    }

    async fn reason_to_keep(
        &self,
        application: &str,
        key: &ObjectKey,
        resource: &Resource,
    ) -> Result<Option<String>, Rejection> {
        match wave(key) {
            Wave::Definitions if is_definition(key) => {
                self.definition_in_use(application, key, resource).await
            }
            Wave::Namespaces => self.namespace_in_use(application, key).await,
            _ => Ok(None),
        }
    }
}

/// Both failures as one: all violations, or what could not be asked.
fn worse(first: Option<Rejection>, second: Rejection) -> Rejection {
    let Some(first) = first else {
        return second;
    };
    if first.violations.is_empty() {
        return first;
    }
    if second.violations.is_empty() {
        return second;
    }
    let mut violations = first.violations;
    violations.extend(second.violations);
    Rejection::of(super::check::sorted(violations))
}
