//! Reading objects of the cluster, and the pieces that controllers write again and again.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Text at a pointer; empty when there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// Number at a pointer.
pub(super) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// Whether `true` stands at a pointer.
pub(super) fn is_set(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// List at a pointer; empty when there is none.
pub(super) fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Texts of a map at a pointer.
pub(super) fn texts(object: &Value, pointer: &str) -> BTreeMap<String, String> {
    let map = object.pointer(pointer).and_then(Value::as_object);
    let pairs = map.into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Name of an object.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Namespace of an object.
pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// Uid of an object.
pub(super) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Whether the object is being deleted.
pub(super) fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Uid of what controls the object; empty when nothing does.
pub(super) fn controller(object: &Value) -> &str {
    let owners = items(object, "/metadata/ownerReferences").iter();
    owners
        .filter(|owner| is_set(owner, "/controller"))
        .map(|owner| text(owner, "/uid"))
        .next()
        .unwrap_or("")
}

/// The reference of a controller to itself, for what it makes.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": text(owner, "/apiVersion"),
        "kind": text(owner, "/kind"),
        "name": name(owner),
        "uid": uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Whether a label selector matches labels; an empty one matches nothing here.
pub(super) fn is_selected(selector: Option<&Value>, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    let exact = texts(selector, "/matchLabels");
    let requirements = items(selector, "/matchExpressions");
    if exact.is_empty() && requirements.is_empty() {
        return false;
    }
    exact
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && requirements
            .iter()
            .all(|requirement| holds(requirement, labels))
}

/// Whether one requirement of labels holds.
pub(super) fn holds(requirement: &Value, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(text(requirement, "/key"));
    let values = items(requirement, "/values");
    let is_among =
        || value.is_some_and(|value| values.iter().any(|one| one.as_str() == Some(value)));
    let compared = || {
        let bound: i64 = values.first()?.as_str()?.parse().ok()?;
        let value: i64 = value?.parse().ok()?;
        Some(value.cmp(&bound))
    };
    match text(requirement, "/operator") {
        "In" => is_among(),
        "NotIn" => !is_among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared() == Some(std::cmp::Ordering::Greater),
        "Lt" => compared() == Some(std::cmp::Ordering::Less),
        _ => false,
    }
}

/// The labels of an object.
pub(super) fn labels(object: &Value) -> BTreeMap<String, String> {
    texts(object, "/metadata/labels")
}

/// Whether a pod is ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| text(condition, "/status") == "True")
}

/// Whether a pod has come to its end.
pub(super) fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// A pod that counts: neither deleted nor at its end.
pub(super) fn is_active(pod: &Value) -> bool {
    !is_deleting(pod) && !is_finished(pod)
}

/// A condition of an object.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = items(object, "/status/conditions").iter();
    conditions.find(|condition| text(condition, "/type") == kind)
}

/// What a condition is to say.
pub(super) struct Said<'a> {
    pub(super) kind: &'a str,
    pub(super) is_true: bool,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// Writes a condition beside those that the object has; its time changes with its status only.
pub(super) fn with_condition(conditions: &mut Vec<Value>, said: &Said<'_>, now: &str) {
    let status = if said.is_true { "True" } else { "False" };
    let mut next = json!({ "type": said.kind, "status": status, "lastTransitionTime": now });
    for (field, value) in [("reason", said.reason), ("message", said.message)] {
        if !value.is_empty() {
            next[field] = value.into();
        }
    }
    let mut all = conditions.iter_mut();
    let Some(condition) = all.find(|one| text(one, "/type") == said.kind) else {
        conditions.push(next);
        return;
    };
    if text(condition, "/status") == status {
        next["lastTransitionTime"] = condition["lastTransitionTime"].clone();
    }
    *condition = next;
}

/// Removes a condition.
pub(super) fn without_condition(conditions: &mut Vec<Value>, kind: &str) {
    conditions.retain(|condition| text(condition, "/type") != kind);
}

/// A count or a percentage of a total.
pub(super) fn count_of(value: Option<&Value>, total: i64, is_rounded_up: bool) -> Option<i64> {
    let value = value?;
    if let Some(count) = value.as_i64() {
        return Some(count);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let product = percent * total;
    Some(if is_rounded_up {
        (product + 99) / 100
    } else {
        product / 100
    })
}

/// A stable hash of a value in the alphabet of generated names.
pub(super) fn hash(value: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // FNV-1a, 64 bits; maps of `Value` are sorted, so that equal values have equal texts.
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in value.to_string().bytes() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let letters = (0..10).map(|_| {
        let letter = ALPHABET[usize::try_from(sum % 27).unwrap_or(0)];
        sum /= 27;
        char::from(letter)
    });
    letters.collect()
}

/// Now, as times stand in objects.
pub(super) fn now() -> String {
    stamp(SystemTime::now())
}

/// A time as it stands in objects: whole seconds.
pub(super) fn stamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let time = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds);
    time.format(&Rfc3339).unwrap_or_default()
}

/// Sets a label in metadata or in a template.
pub(super) fn set(object: &mut Value, path: &[&str], value: impl Into<Value>) {
    let mut place = object;
    for key in path {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[*key];
    }
    *place = value.into();
}

/// A quantity in thousandths of its unit; 0 when it cannot be read.
pub(super) fn milli(quantity: &str) -> i128 {
    let split = quantity
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-' && c != '+')
        .unwrap_or(quantity.len());
    let (digits, unit) = quantity.split_at(split);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = whole.parse().unwrap_or(0);
    let part: i128 = format!("{part:0<3}")[..3].parse().unwrap_or(0);
    let value = whole * 1000 + part;
    let binary = |power: u32| value * 1024_i128.pow(power);
    let decimal = |power: u32| value * 10_i128.pow(power);
    match unit {
        "m" => value / 1000,
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        _ => value,
    }
}
