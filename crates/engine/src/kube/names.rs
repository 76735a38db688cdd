//! Names, labels and annotations of everything that this node puts on a cluster.
//!
//! Names of applications are freer than those of most objects (dots, a digit in front, up to 55
//! characters), so a name is taken over where the cluster accepts it and otherwise rewritten. What
//! is rewritten, or put together of two names, ends with a part of a hash where it could else be
//! the name of another application's object: `a` with `b-c` is not `a-b` with `c`.

use std::collections::BTreeMap;

use baetyl_shadow::Digest;

use crate::desired::InputKey;

/// Who we are in server-side apply.
pub const FIELD_MANAGER: &str = "baetyl";

/// Who we are where we hold a number of replicas until an autoscaler takes over.
pub const SCALE_MANAGER: &str = "baetyl-scale";

/// Label that says which program keeps an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "baetyl";

/// What every label and annotation of ours begins with.
pub const PREFIX: &str = "baetyl.io/";

/// Label with the uid of the node: everything that is watched, pruned or touched has it.
pub const OWNER_LABEL: &str = "baetyl.io/owner";

/// Label with the name of the application.
pub const APPLICATION_LABEL: &str = "baetyl.io/application";

/// Label of workloads and pods with the release: see [`super::manifest::release_hash`].
pub const RELEASE_LABEL: &str = "baetyl.io/release";

/// Annotation of pods that is changed to make the kubelet look at reloaded inputs at once.
pub const INPUTS_ANNOTATION: &str = "baetyl.io/inputs";

/// The longest DNS label (RFC 1035, RFC 1123).
const MAX_LABEL: usize = 63;

/// The longest DNS name that an object can have (RFC 1123).
const MAX_SUBDOMAIN: usize = 253;

/// The cluster appends 11 characters to the names of stateful sets and cron jobs, and the result
/// is a label.
const MAX_PARENT: usize = MAX_LABEL - 11;

/// Length of a release: see [`RELEASE_LABEL`].
pub const RELEASE_DIGITS: usize = 12;

const TAG_DIGITS: usize = 6;
const CONTENT_DIGITS: usize = 10;

const HEADLESS: &str = "headless";
const NODE_PORTS: &str = "nodeport";

/// Returns the labels of every object and pod of an application.
#[must_use]
pub fn labels(owner: &str, application: &str) -> BTreeMap<String, String> {
    let mut labels = selector(owner, application);
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
    labels
}

/// Returns the labels that select the pods of an application.
#[must_use]
pub fn selector(owner: &str, application: &str) -> BTreeMap<String, String> {
    [(OWNER_LABEL, owner), (APPLICATION_LABEL, application)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Names the deployment or daemon set of an application, its service account, autoscaler and
/// disruption budget: the application's own name.
#[must_use]
pub fn workload(application: &str) -> String {
    if is_subdomain(application) {
        return application.to_owned();
    }
    label(application, MAX_LABEL)
}

/// Names the stateful set of an application: at most 52 characters, no dots.
#[must_use]
pub fn stateful_set(application: &str) -> String {
    label(application, MAX_PARENT)
}

/// Names the cron job of an application: at most 52 characters, no dots.
#[must_use]
pub fn cron_job(application: &str) -> String {
    label(application, MAX_PARENT)
}

/// Names the job of a release: the template of a job cannot change, so each release has its own.
#[must_use]
pub fn job(application: &str, release: &str) -> String {
    let base = label(application, MAX_LABEL - 1 - RELEASE_DIGITS);
    format!("{base}-{release}")
}

/// Names the Service of an application: the application's own name where that is a name of a
/// Service: a letter in front, no dots.
#[must_use]
pub fn service(application: &str) -> String {
    label(application, MAX_LABEL)
}

/// Names the Service without an address that gives the pods of a stateful set their names.
#[must_use]
pub fn headless(application: &str) -> String {
    suffixed(application, HEADLESS)
}

/// Names the Service with the ports of the machines.
#[must_use]
pub fn node_ports(application: &str) -> String {
    suffixed(application, NODE_PORTS)
}

/// Names the ConfigMap or Secret with the values of an input: stable while `content` is `None`,
/// else one for each content.
#[must_use]
pub fn input(application: &str, input: &InputKey, content: Option<&Digest>) -> String {
    let tag = tag(&[application, input.kind.word(), &input.name]);
    let base = format!("{}-{}-{tag}", plain(application), plain(&input.name));
    match content {
        Some(digest) => format!("{base}-{}", hex(digest, CONTENT_DIGITS)),
        None => base,
    }
}

/// Names the Secret with key and certificate of a service.
#[must_use]
pub fn credentials(application: &str, service: &str) -> String {
    let tag = tag(&[application, service, "tls"]);
    format!("{}-{}-tls-{tag}", plain(application), plain(service))
}

/// Names the ConfigMap with the file of a function runtime, one for each content.
#[must_use]
pub fn runtime_file(application: &str, service: &str, content: &Digest) -> String {
    let tag = tag(&[application, service, "runtime"]);
    let base = format!("{}-{}-runtime-{tag}", plain(application), plain(service));
    format!("{base}-{}", hex(content, CONTENT_DIGITS))
}

/// Names the claim of a persistent volume that the pods of an application share:
/// `<application>.<volume>`. Volumes have no dots, so the last one tells the two apart.
#[must_use]
pub fn claim(application: &str, volume: &str) -> String {
    format!("{}.{volume}", workload(application))
}

/// Names the template of claims of a stateful set, and the volume in its pods; the cluster names
/// the claims `<template>-<stateful set>-<number>`.
#[must_use]
pub fn claim_template(application: &str, volume: &str) -> String {
    let tag = tag(&[application, volume, "claim"]);
    format!("{}-{tag}", cut(volume, MAX_LABEL - 1 - TAG_DIGITS))
}

/// Names a volume of ours in pods, for one service.
#[must_use]
pub fn volume(what: &str, service: &str) -> String {
    bounded(what, service)
}

/// Names a port of a Service by the service that listens there, where the port's own name is taken.
#[must_use]
pub fn port(service: &str, port: &str) -> String {
    bounded(service, port)
}

/// Returns the first digits of a digest, for labels and annotations.
pub(super) fn hex(digest: &Digest, digits: usize) -> String {
    let bytes = digest.as_bytes().iter();
    let all: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    all.chars().take(digits).collect()
}

/// Whether a text is a DNS label that may begin with a digit (RFC 1123).
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// Whether a text is a DNS name as the cluster understands it (RFC 1123): its parts may be longer
/// than labels.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.bytes().next().zip(text.bytes().next_back());
    ends.is_some_and(|(first, last)| is_end(first) && is_end(last))
        && text.bytes().all(|byte| is_end(byte) || byte == b'-')
}

/// A name as a DNS label that begins with a letter (RFC 1035): the name itself where it is one,
/// and nobody's suffixed name.
fn label(name: &str, longest: usize) -> String {
    let begins_with_letter = name.starts_with(|first: char| first.is_ascii_lowercase());
    let is_suffixed = [HEADLESS, NODE_PORTS].iter().any(|suffix| {
        name.strip_suffix(suffix)
            .is_some_and(|rest| rest.ends_with('-'))
    });
    if is_label(name) && begins_with_letter && name.len() <= longest && !is_suffixed {
        return name.to_owned();
    }
    let prefix = if begins_with_letter { "" } else { "app-" };
    let readable = format!("{prefix}{}", dashed(name));
    let readable = cut(&readable, longest - 1 - TAG_DIGITS);
    format!("{readable}-{}", tag(&[name]))
}

fn suffixed(name: &str, suffix: &str) -> String {
    let base = label(name, MAX_LABEL - 1 - suffix.len());
    format!("{base}-{suffix}")
}

/// Two names as one label.
fn bounded(one: &str, other: &str) -> String {
    let name = format!("{one}-{other}");
    if name.len() <= MAX_LABEL {
        return name;
    }
    let tag = tag(&[one, other]);
    format!("{}-{tag}", cut(&name, MAX_LABEL - 1 - TAG_DIGITS))
}

/// A part of a longer name that ends with a hash of it all: as it is where it is a DNS name.
fn plain(name: &str) -> String {
    if is_subdomain(name) {
        return name.to_owned();
    }
    dashed(name)
}

/// A name without what no name may have.
fn dashed(name: &str) -> String {
    let allowed = |letter: char| match letter {
        'a'..='z' | '0'..='9' => letter,
        _ => '-',
    };
    let dashed: String = name.chars().map(allowed).collect();
    match dashed.trim_matches('-') {
        "" => "x".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// The beginning of a name, not ending with a dash.
fn cut(name: &str, longest: usize) -> &str {
    // Names are ASCII here; where one is not, all of it stays and the cluster says so.
    let part = name.get(..longest).unwrap_or(name);
    part.trim_end_matches('-')
}

/// A part of a hash that stands for names; none of them has a slash.
fn tag(names: &[&str]) -> String {
    hex(&Digest::of(names.join("/").as_bytes()), TAG_DIGITS)
}

#[cfg(test)]
mod tests;
