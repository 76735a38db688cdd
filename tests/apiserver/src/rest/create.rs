//! Creating objects.

use std::sync::Arc;

use rand::Rng as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::intake::{now, take};
use super::{Outcome, Target, WriteOptions};
use crate::admission;
use crate::apply::{Managers, Writer, track_update};
use crate::defaults;
use crate::json::Body;
use crate::kinds::Generation;
use crate::object::{Key, meta_text, metadata};
use crate::refusal::Refusal;
use crate::state::State;
use crate::validate;

/// Characters of generated names: no vowels, so that no words come out.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Metadata that only the server writes.
const SERVER_WRITTEN: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
];

impl State {
    /// Creates an object from a body.
    ///
    /// # Errors
    /// The refusal of the server.
    pub(crate) fn create(
        &mut self,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Refusal> {
        let mut object = body.value;
        let warnings = take(target, &mut object, &body.duplicates, options.validation)?;
        if !meta_text(&object, "resourceVersion").is_empty() {
            return Err(Refusal::unclassified(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let object = self.insert(target, object, None, options)?;
        Ok(Outcome {
            object,
            is_created: true,
            warnings,
        })
    }

    /// Stores a decoded object that is new. `managers` are those of an apply; an edit is noted
    /// otherwise.
    pub(super) fn insert(
        &mut self,
        target: &Target,
        mut object: Value,
        managers: Option<Managers>,
        options: &WriteOptions,
    ) -> Result<Arc<Value>, Refusal> {
        let kind = &target.kind;
        let version = kind.storage();
        name_object(&mut object);
        self.admit_into_namespace(target, meta_text(&object, "name"))?;
        let metadata = metadata(&mut object);
        for field in SERVER_WRITTEN {
            metadata.remove(field);
        }
        let time = now();
        metadata.insert("uid".to_owned(), json!(Uuid::new_v4().to_string()));
        metadata.insert("creationTimestamp".to_owned(), json!(time));
        if kind.generation != Generation::Never {
            metadata.insert("generation".to_owned(), json!(1));
        }
        if version.has_status
            && let Some(fields) = object.as_object_mut()
        {
            fields.remove("status");
        }
        defaults::fill(kind, &mut object);
        let causes = validate::object(kind, &object);
        if !causes.is_empty() {
            let name = meta_text(&object, "name");
            return Err(Refusal::invalid(kind.about_kind(), name, &causes));
        }
        let key = Key::of(&object);
        if self.get(&kind.resource, &key).is_some() {
            return Err(Refusal::already_exists(kind.about(), &key.name));
        }
        admission::admit(self, kind, None, &mut object)?;
        let managers = managers.unwrap_or_else(|| {
            let writer = Writer {
                manager: &options.manager,
                api_version: &target.api_version(),
                subresource: "",
                time: &time,
                has_status: version.has_status,
            };
            track_update(
                version.node(),
                Managers::default(),
                &Value::Null,
                &object,
                &writer,
            )
        });
        managers.write(&mut object);
        if options.is_dry_run {
            return Ok(Arc::new(object));
        }
        let stored = self.write(kind, object);
        self.settle();
        // What follows may have changed it at once: answer with what was created.
        Ok(stored)
    }
}

/// Makes a name of `generateName`.
fn name_object(object: &mut Value) {
    let prefix = meta_text(object, "generateName").to_owned();
    if prefix.is_empty() || !meta_text(object, "name").is_empty() {
        return;
    }
    let mut random = rand::rng();
    let suffix: String = (0..5)
        .map(|_| char::from(SUFFIX[random.random_range(0..SUFFIX.len())]))
        .collect();
    let prefix = prefix.get(..58).unwrap_or(&prefix);
    metadata(object).insert("name".to_owned(), json!(format!("{prefix}{suffix}")));
}
