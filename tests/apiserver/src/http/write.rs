//! Requests that write.

use serde_json::{Value, json};

use super::call::Call;
use super::{Answer, respond};
use crate::json::{Body, read_json, read_yaml};
use crate::rbac::{Attributes, authorize, check_grants};
use crate::refusal::Refusal;
use crate::rest::{DeleteOptions, Deleted, Outcome, Patch, PatchFormat, Target, WriteOptions};
use crate::state::State;

/// Does a request that writes.
pub(super) fn answer(call: &Call, target: Target) -> Result<Answer, Refusal> {
    let target = &target;
    match call.verb {
        "delete" => return delete(call, target),
        "deletecollection" => return delete_collection(call, target),
        _ => {}
    }
    let format = match call.verb {
        "patch" => Some(PatchFormat::parse(
            &call.media_type,
            target.kind.is_custom(),
        )?),
        _ => None,
    };
    let is_apply = format == Some(PatchFormat::Apply);
    let options = call.query.write(&call.agent, is_apply)?;
    let outcome = call.shared.with(|state| {
        let mut options = options.clone();
        if is_apply {
            options.may_create = authorize(state, &call.user, &creation(target)).err();
        }
        let trial = WriteOptions {
            is_dry_run: true,
            ..options.clone()
        };
        // Who may not give the rights of a role is refused before it is stored.
        if target.kind.group == "rbac.authorization.k8s.io" && !call.user.is_admin() {
            let outcome = write(state, call, target, format, &trial)?;
            check_grants(state, &call.user, target, &outcome.object)?;
        }
        write(state, call, target, format, &options)
    })?;
    let status = if outcome.is_created { 201 } else { 200 };
    let object = target.present(&outcome.object);
    let warnings = &outcome.warnings;
    Ok(respond::object(status, &object, call.form, warnings))
}

/// The right that an apply needs to create.
fn creation(target: &Target) -> Attributes<'_> {
    Attributes {
        verb: "create",
        group: &target.kind.group,
        resource: &target.kind.plural,
        namespace: &target.namespace,
        name: &target.name,
        path: "",
    }
}

fn write(
    state: &mut State,
    call: &Call,
    target: &Target,
    format: Option<PatchFormat>,
    options: &WriteOptions,
) -> Result<Outcome, Refusal> {
    if let Some(format) = format {
        let body = &call.body;
        return state.patch(target, Patch { format, body }, options);
    }
    let body = read_object(call)?;
    match call.verb {
        "create" => state.create(target, body, options),
        _ => state.update(target, body, options),
    }
}

fn read_object(call: &Call) -> Result<Body, Refusal> {
    let is_yaml = call.media_type.starts_with("application/yaml");
    let read = if is_yaml { read_yaml } else { read_json };
    read(&call.body).map_err(|error| {
        Refusal::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })
}

fn delete_options(call: &Call) -> Result<DeleteOptions, Refusal> {
    let mut body = call.json_body()?;
    if !body.is_object() {
        return Err(Refusal::bad_request("the options are no object"));
    }
    for field in [
        "propagationPolicy",
        "orphanDependents",
        "gracePeriodSeconds",
    ] {
        if call.query.has(field) && body[field].is_null() {
            let word = call.query.get(field);
            body[field] = serde_json::from_str(word).unwrap_or_else(|_| json!(word));
        }
    }
    DeleteOptions::read(&body)
}

/// Whether the query or the body asks for a dry run.
fn is_dry_run(call: &Call) -> Result<bool, Refusal> {
    let body = call.json_body()?;
    let asks = body["dryRun"].as_array();
    let asks = asks.is_some_and(|words| words.contains(&json!("All")));
    Ok(asks || call.query.is_dry_run())
}

fn delete(call: &Call, target: &Target) -> Result<Answer, Refusal> {
    let options = delete_options(call)?;
    let is_dry_run = is_dry_run(call)?;
    let deleted = call
        .shared
        .with(|state| state.delete(target, &options, is_dry_run))?;
    Ok(match deleted {
        Deleted::Gone(last) if !target.kind.returns_deleted => {
            respond::deleted(&target.kind, &last)
        }
        Deleted::Gone(object) | Deleted::Pending(object) => {
            respond::object(200, &target.present(&object), call.form, &[])
        }
    })
}

fn delete_collection(call: &Call, target: &Target) -> Result<Answer, Refusal> {
    let query = call.query.list(target)?;
    let options = delete_options(call)?;
    let write = WriteOptions {
        is_dry_run: is_dry_run(call)?,
        ..WriteOptions::default()
    };
    let (items, version) = call.shared.with(|state| {
        let items = state.delete_collection(target, &query, &options, &write)?;
        Ok::<_, Refusal>((items, state.version()))
    })?;
    let list = crate::rest::List {
        items,
        version,
        continue_token: String::new(),
        remaining: None,
    };
    let api_version = target.api_version();
    Ok(respond::list(&target.kind, &api_version, &list, call.form))
}

/// The subresource `scale`.
pub(super) fn scale(call: &Call, target: &Target) -> Result<Answer, Refusal> {
    if call.verb == "get" {
        let scale = call.shared.with(|state| state.read_scale(target))?;
        return Ok(respond::object(200, &scale, call.form, &[]));
    }
    let options = call.query.write(&call.agent, false)?;
    let body: Value = call.json_body()?;
    let outcome = call
        .shared
        .with(|state| state.write_scale(target, &body, &options))?;
    Ok(respond::object(200, &outcome.object, call.form, &[]))
}
