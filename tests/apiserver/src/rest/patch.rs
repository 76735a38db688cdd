//! Patches: apply, merge, strategic merge and JSON patch.

use serde_json::{Value, json};

use super::intake::{decode_object, identify, now};
use super::{FieldValidation, Outcome, Target, WriteOptions};
use crate::apply::{Writer, apply};
use crate::json::{Body, read_json, read_yaml};
use crate::object::meta_text;
use crate::patch;
use crate::refusal::{About, Cause, Refusal};
use crate::state::State;

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchFormat {
    Apply,
    Merge,
    Strategic,
    Json,
}

impl PatchFormat {
    /// Reads a media type.
    ///
    /// # Errors
    /// It is none of a patch, or the kind cannot be patched so.
    pub(crate) fn parse(media_type: &str, is_custom: bool) -> Result<Self, Refusal> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence {
            "application/apply-patch+yaml" => Ok(Self::Apply),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/json-patch+json" => Ok(Self::Json),
            "application/strategic-merge-patch+json" if !is_custom => Ok(Self::Strategic),
            _ => {
                let strategic = if is_custom {
                    ""
                } else {
                    "application/strategic-merge-patch+json, "
                };
                Err(Refusal::unsupported_media(format!(
                    "the body of the request was in an unknown format - accepted media types \
                     include: application/json-patch+json, application/merge-patch+json, \
                     {strategic}application/apply-patch+yaml"
                )))
            }
        }
    }
}

/// A patch as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch<'a> {
    pub(crate) format: PatchFormat,
    pub(crate) body: &'a [u8],
}

impl State {
    /// Patches an object.
    ///
    /// # Errors
    /// The refusal of the server.
    pub(crate) fn patch(
        &mut self,
        target: &Target,
        patch: Patch<'_>,
        options: &WriteOptions,
    ) -> Result<Outcome, Refusal> {
        if patch.format == PatchFormat::Apply {
            return self.patch_by_apply(target, patch.body, options);
        }
        let body = read_json(patch.body)
            .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
        let live = self.live(target)?;
        let mut object = Value::clone(&target.present(&live));
        match patch.format {
            PatchFormat::Json => patch::json(&mut object, &body.value)?,
            PatchFormat::Strategic => {
                patch::strategic(target.version().node(), &mut object, &body.value)?;
            }
            PatchFormat::Merge | PatchFormat::Apply => patch::merge(&mut object, &body.value),
        }
        identify(target, &mut object)?;
        let warnings = decode_object(target, &mut object, &body.duplicates, options.validation)
            .map_err(|refusal| invalid_patch(refusal, &body.value))?;
        let object = self.replace(target, &live, object, None, options)?;
        Ok(Outcome {
            object,
            is_created: false,
            warnings,
        })
    }

    fn patch_by_apply(
        &mut self,
        target: &Target,
        body: &[u8],
        options: &WriteOptions,
    ) -> Result<Outcome, Refusal> {
        let wish = read_wish(target, body, options)?;
        let live = self.object(&target.id()).cloned();
        if live.is_none() {
            check_creation(target, &wish, options)?;
        }
        let version = target.version();
        let writer = Writer {
            manager: &options.manager,
            api_version: &target.api_version(),
            subresource: &target.subresource,
            time: &now(),
            has_status: version.has_status,
        };
        let before = live.as_deref().unwrap_or(&Value::Null);
        let applied = apply(version.node(), before, &wish, &writer, options.is_forced)
            .map_err(|errors| misfit(target, &errors))??;
        let mut object = applied.object;
        decode_object(target, &mut object, &[], FieldValidation::Ignore)?;
        let managers = Some(applied.managers);
        let is_created = live.is_none();
        let object = match live {
            Some(live) => self.replace(target, &live, object, managers, options)?,
            None => self.insert(target, object, managers, options)?,
        };
        Ok(Outcome {
            object,
            is_created,
            warnings: Vec::new(),
        })
    }
}

fn read_wish(target: &Target, body: &[u8], options: &WriteOptions) -> Result<Value, Refusal> {
    let about = About {
        group: "meta.k8s.io",
        noun: "PatchOptions",
    };
    if options.manager.is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(Refusal::invalid(about, "", &[cause]));
    }
    let Body {
        mut value,
        duplicates,
    } = read_yaml(body)
        .map_err(|error| Refusal::bad_request(format!("error decoding YAML: {error}")))?;
    if let (FieldValidation::Strict, Some(first)) = (options.validation, duplicates.first()) {
        return Err(Refusal::bad_request(format!(
            "error strict decoding YAML: error unmarshaling JSON: key {first:?} already set in map"
        )));
    }
    identify(target, &mut value)?;
    let managers = &value["metadata"]["managedFields"];
    if !managers.is_null() {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    Ok(value)
}

fn check_creation(target: &Target, wish: &Value, options: &WriteOptions) -> Result<(), Refusal> {
    if !target.subresource.is_empty() {
        return Err(target.not_found());
    }
    if let Some(refusal) = &options.may_create {
        return Err(refusal.clone());
    }
    let about = target.kind.about();
    let uid = meta_text(wish, "uid");
    if !uid.is_empty() {
        let detail = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was \
             found"
        );
        return Err(Refusal::conflict(about, &target.name, &detail));
    }
    // A version that is named is no obstacle: there is nothing that it could differ from.
    Ok(())
}

/// The server has no class for declarations that do not fit: it answers 500.
fn misfit(target: &Target, errors: &[String]) -> Refusal {
    let (group, version) = (&target.kind.group, &target.version);
    let errors = match errors {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    Refusal::unclassified(format!(
        "failed to create typed patch object ({}/{}; {group}/{version}, Kind={}): {errors}",
        target.namespace, target.name, target.kind.kind
    ))
}

fn invalid_patch(refusal: Refusal, patch: &Value) -> Refusal {
    if refusal.code != 400 {
        return refusal;
    }
    let about = About {
        group: "",
        noun: "",
    };
    let cause = Cause::invalid("patch", &json!(patch.to_string()), &refusal.message);
    Refusal::invalid(about, "", &[cause])
}
