//! Applications as nodes see them: processes, pods with their containers, objects and events.

use baetyl_proto::resource::v1::{
    ApplicationStatus, ContainerStatus, InstanceStatus, ObjectStatus, Termination,
};

use super::{condition_cells, part};
use crate::output::{Table, age, bytes, dash, word};

/// A status with the word that tells it from others: the application, or the node.
pub(super) type Seen<'a> = (&'a str, &'a ApplicationStatus);

/// Prints everything below the headline; of objects only those that are not ready, unless all are
/// wanted.
pub(super) fn print(owner: &str, seen: &[Seen<'_>], is_whole: bool) {
    part("Conditions of applications", &conditions(owner, seen));
    part("Instances", &processes(owner, seen));
    part("Instances", &pods(owner, seen));
    part("Containers", &containers(seen));
    let title = match is_whole {
        true => "Objects",
        false => "Objects that are not ready",
    };
    part(title, &objects(owner, seen, is_whole));
    part("Events", &events(owner, seen));
}

fn head<'a>(owner: &'a str, rest: &[&'a str]) -> Table {
    Table::new(&[&[owner], rest].concat())
}

fn conditions(owner: &str, seen: &[Seen<'_>]) -> Table {
    let mut table = head(owner, &["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
    for (name, status) in seen {
        for condition in &status.conditions {
            table.add([vec![(*name).to_owned()], condition_cells(condition)].concat());
        }
    }
    table
}

fn instances<'a>(
    seen: &'a [Seen<'a>],
    is_pod: bool,
) -> impl Iterator<Item = (&'a str, &'a InstanceStatus)> {
    let all = seen.iter().flat_map(|(name, status)| {
        let instances = status.instances.iter();
        instances.map(move |instance| (*name, instance))
    });
    // A pod runs all services, and has none of its own.
    all.filter(move |(_, instance)| instance.service.is_empty() == is_pod)
}

fn processes(owner: &str, seen: &[Seen<'_>]) -> Table {
    let rest = [
        "SERVICE", "STATE", "PID", "MEMORY", "RESTARTS", "STARTED", "LAST END", "WHY",
    ];
    let mut table = head(owner, &rest);
    for (name, instance) in instances(seen, false) {
        table.add(vec![
            name.to_owned(),
            format!("{}/{}", instance.service, instance.index),
            word(&instance.state()),
            instance.pid.to_string(),
            bytes(instance.memory_bytes),
            instance.restart_count.to_string(),
            age(instance.start_time.as_ref()),
            last_end(instance.last_termination.as_ref()),
            dash(&instance.message),
        ]);
    }
    table
}

fn pods(owner: &str, seen: &[Seen<'_>]) -> Table {
    let rest = [
        "INSTANCE", "MACHINE", "STATE", "REVISION", "CPU", "MEMORY", "RESTARTS", "STARTED", "WHY",
    ];
    let mut table = head(owner, &rest);
    for (name, instance) in instances(seen, true) {
        table.add(vec![
            name.to_owned(),
            instance.id.clone(),
            dash(&instance.machine),
            word(&instance.state()),
            instance.revision.to_string(),
            processors(instance.cpu_millis),
            memory(instance.memory_bytes),
            instance.restart_count.to_string(),
            age(instance.start_time.as_ref()),
            reason(&instance.reason, &instance.message),
        ]);
    }
    table
}

fn containers(seen: &[Seen<'_>]) -> Table {
    let mut table = Table::new(&[
        "INSTANCE",
        "CONTAINER",
        "STATE",
        "RESTARTS",
        "LAST END",
        "CPU",
        "MEMORY",
        "IMAGE",
        "WHY",
    ]);
    for (_, instance) in instances(seen, true) {
        for container in &instance.containers {
            table.add(container_cells(&instance.id, container));
        }
    }
    table
}

fn container_cells(instance: &str, container: &ContainerStatus) -> Vec<String> {
    let service = match container.is_init {
        true => format!("{} (init)", container.service),
        false => container.service.clone(),
    };
    vec![
        instance.to_owned(),
        service,
        word(&container.state()),
        container.restart_count.to_string(),
        last_end(container.last_termination.as_ref()),
        processors(container.cpu_millis),
        memory(container.memory_bytes),
        dash(&container.image),
        reason(&container.reason, &container.message),
    ]
}

fn objects(owner: &str, seen: &[Seen<'_>], is_whole: bool) -> Table {
    let mut table = head(owner, &["OBJECT", "API", "READY", "MESSAGE"]);
    for (name, status) in seen {
        let shown = status.objects.iter();
        for object in shown.filter(|object| is_whole || !object.is_ready) {
            let ready = if object.is_ready { "yes" } else { "no" };
            table.add(vec![
                (*name).to_owned(),
                object_name(object),
                object.api_version.clone(),
                ready.to_owned(),
                dash(&object.message),
            ]);
        }
    }
    table
}

/// `Deployment baetyl-edge/shop`.
fn object_name(object: &ObjectStatus) -> String {
    match object.namespace.as_str() {
        "" => format!("{} {}", object.kind, object.name),
        namespace => format!("{} {namespace}/{}", object.kind, object.name),
    }
}

fn events(owner: &str, seen: &[Seen<'_>]) -> Table {
    let rest = ["LAST", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"];
    let mut table = head(owner, &rest);
    for (name, status) in seen {
        for event in &status.events {
            let kind = if event.is_warning {
                "warning"
            } else {
                "normal"
            };
            table.add(vec![
                (*name).to_owned(),
                age(event.time.as_ref()),
                kind.to_owned(),
                event.reason.clone(),
                dash(&event.object),
                event.count.to_string(),
                dash(&event.message),
            ]);
        }
    }
    table
}

/// `OUT_OF_MEMORY (137)`.
fn last_end(end: Option<&Termination>) -> String {
    let text = end.map(|end| format!("{} ({})", end.reason, end.exit_code));
    dash(&text.unwrap_or_default())
}

/// `IMAGE_PULL_FAILED: no such image`.
fn reason(reason: &str, message: &str) -> String {
    match (reason, message) {
        (reason, "") => dash(reason),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Thousandths of a processor; 0 is not known.
fn processors(millis: u64) -> String {
    match millis {
        0 => "–".to_owned(),
        millis => format!("{millis}m"),
    }
}

/// Bytes; 0 is not known.
fn memory(count: u64) -> String {
    match count {
        0 => "–".to_owned(),
        count => bytes(count),
    }
}

#[cfg(test)]
mod tests;
