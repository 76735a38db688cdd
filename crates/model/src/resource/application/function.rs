//! What only the services of function applications have.

use std::collections::BTreeSet;
use std::time::Duration;

use baetyl_proto::resource::v1 as pb;

use crate::duration::{self, Bounds};
use crate::id::Kind;
use crate::resource::metadata::check_name;
use crate::violation::{Check, Path, reason};

const RUNTIMES: [&str; 2] = ["python3", "node"];
const MAX_FUNCTIONS: usize = 128;
const MAX_FUNCTION_NAME: usize = 63;
const MAX_HANDLER_BYTES: usize = 255;
const MAX_CONCURRENCY: u32 = 64;

const TIMEOUT: Bounds = Bounds {
    least: Duration::from_millis(1),
    most: Duration::from_secs(3600),
    default: Duration::from_secs(60),
};

pub(super) fn normalise(service: &mut pb::Service, path: &Path, check: &mut Check) {
    let runtime = path.field("runtime");
    if service.runtime.is_empty() {
        check.add(&runtime, reason::REQUIRED, "must be python3 or node");
    } else if !RUNTIMES.contains(&service.runtime.as_str()) {
        let description = format!("must be python3 or node, got {:?}", service.runtime);
        check.add(&runtime, reason::UNKNOWN_VALUE, description);
    }

    let code = path.field("code");
    match &service.code {
        None => check.add(
            &code,
            reason::REQUIRED,
            "must name the configuration with the code",
        ),
        Some(code_from) => {
            let path = code.field("configuration");
            check_name(&code_from.configuration, Kind::Configuration, &path, check);
        }
    }

    check_functions(&service.functions, &path.field("functions"), check);

    if service.concurrency == 0 {
        service.concurrency = 1;
    }
    let concurrency = i64::from(service.concurrency);
    check.range(
        &path.field("concurrency"),
        concurrency,
        1,
        i64::from(MAX_CONCURRENCY),
    );
    duration::normalise(&mut service.timeout, TIMEOUT, &path.field("timeout"), check);
}

/// Refuses what only the services of function applications have.
pub(super) fn check_absent(service: &pb::Service, path: &Path, check: &mut Check) {
    let why = "belongs to function applications";
    let fields = [
        ("runtime", !service.runtime.is_empty()),
        ("functions", !service.functions.is_empty()),
        ("code", service.code.is_some()),
        ("concurrency", service.concurrency != 0),
        ("timeout", service.timeout.is_some()),
    ];
    for (field, is_set) in fields {
        check.absent(&path.field(field), is_set, why);
    }
}

fn check_functions(functions: &[pb::FunctionSpec], path: &Path, check: &mut Check) {
    if functions.is_empty() {
        check.add(path, reason::REQUIRED, "must have at least one function");
    }
    check.count(path, functions.len(), MAX_FUNCTIONS);
    let mut seen = BTreeSet::new();
    for (index, function) in functions.iter().take(MAX_FUNCTIONS).enumerate() {
        let path = path.index(index);
        check_function_name(&function.name, &path.field("name"), check);
        if !function.name.is_empty() && !seen.insert(function.name.as_str()) {
            check.duplicate(&path.field("name"), "a function of that name");
        }
        check_handler(&function.handler, &path.field("handler"), check);
    }
}

fn check_function_name(name: &str, path: &Path, check: &mut Check) {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() {
        check.add(path, reason::REQUIRED, "must be set");
    } else if name.len() > MAX_FUNCTION_NAME || !name.bytes().all(may_stand) {
        let description = "must be 1 to 63 letters, digits, `-` and `_`";
        check.add(path, reason::INVALID_NAME, description);
    }
}

fn check_handler(handler: &str, path: &Path, check: &mut Check) {
    if handler.is_empty() {
        check.add(path, reason::REQUIRED, "must be module.function");
        return;
    }
    check.bytes(path, handler.len(), MAX_HANDLER_BYTES);
    let shown = &handler[..handler.floor_char_boundary(MAX_HANDLER_BYTES)];
    if !is_handler(handler) {
        let description = format!("must be module.function, got {shown:?}");
        check.add(path, reason::INVALID_FORMAT, description);
    }
}

/// `folder/module.function`: the folders and the module are files, the function is a name in
/// Python and in JavaScript.
fn is_handler(handler: &str) -> bool {
    let is_file = |part: &str| {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !part.is_empty() && part.bytes().all(may_stand)
    };
    let is_name = |text: &str| {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"_$".contains(&byte);
        let starts_well = !text.starts_with(|first: char| first.is_ascii_digit());
        !text.is_empty() && starts_well && text.bytes().all(may_stand)
    };
    let parts = handler.split_once('.');
    parts.is_some_and(|(module, function)| module.split('/').all(is_file) && is_name(function))
}
