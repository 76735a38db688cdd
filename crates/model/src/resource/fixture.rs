//! Documents for tests.

use baetyl_proto::json::{Format, ReadOptions, from_json};
use serde_json::{Value, json};

use super::Message;

/// Reads a document as people write it.
pub(crate) fn message(kind: &str, document: Value) -> Message {
    let text = document.to_string();
    let name = format!("baetyl.resource.v1.{kind}");
    let (format, options) = (Format::Json, ReadOptions::default());
    let read = "the document has only known fields";
    match kind {
        "Namespace" => Message::Namespace(from_json(&name, &text, format, options).expect(read)),
        "Node" => Message::Node(from_json(&name, &text, format, options).expect(read)),
        "Application" => {
            Message::Application(from_json(&name, &text, format, options).expect(read))
        }
        "Configuration" => {
            Message::Configuration(from_json(&name, &text, format, options).expect(read))
        }
        "Secret" => Message::Secret(from_json(&name, &text, format, options).expect(read)),
        "Certificate" => {
            Message::Certificate(from_json(&name, &text, format, options).expect(read))
        }
        "Registry" => Message::Registry(from_json(&name, &text, format, options).expect(read)),
        other => panic!("no kind {other}"),
    }
}

/// A process application that reloads a configuration.
pub(crate) fn watcher() -> Value {
    json!({
        "name": "watcher",
        "type": "process",
        "selector": "site = demo",
        "services": [{
            "name": "watcher",
            "program": {"configuration": "watcher-code", "entry": ["python3", "watcher.py"]},
            "env": [{"name": "LOG_LEVEL", "value": "info"}],
            "volumeMounts": [{"name": "limits", "mountPath": "/etc/watcher"}],
            "readinessProbe": {"exec": {"command": ["test", "-f", "ready"]}, "periodSeconds": 1},
            "resources": {"limits": {"memory": "64Mi", "cpu": "200m"}},
        }],
        "volumes": [{"name": "limits", "config": {"name": "thresholds"}, "onChange": "reload"}],
    })
}

/// A container application with one of most things that clusters have.
pub(crate) fn shop() -> Value {
    json!({
        "name": "shop",
        "type": "container",
        "selector": "site = demo",
        "registries": ["private"],
        "initServices": [{
            "name": "prepare",
            "image": "busybox",
            "env": [{
                "name": "TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}},
            }],
        }],
        "services": [{
            "name": "shop",
            "image": "shop:1",
            "ports": [{"name": "http", "containerPort": 8080}],
            "volumeMounts": [
                {"name": "tls", "mountPath": "/tls"},
                {"name": "data", "mountPath": "/data"},
            ],
            "readinessProbe": {"httpGet": {"port": "http"}},
        }],
        "volumes": [
            {"name": "tls", "certificate": {"name": "shop-tls"}},
            {"name": "data", "persistent": {}},
        ],
    })
}

/// A function application.
pub(crate) fn sensors() -> Value {
    json!({
        "name": "sensors",
        "type": "function",
        "selector": "site = demo",
        "services": [{
            "name": "sensors",
            "runtime": "python3",
            "functions": [{"name": "window", "handler": "window.handler"}],
            "code": {"configuration": "sensors-code"},
            "concurrency": 2,
            "timeout": "5s",
        }],
    })
}
