//! Tests of server-side apply.

use serde_json::{Value, json};

use super::update::Applied;
use super::*;
use crate::refusal::Refusal;
use crate::schema::Schema;

/// An object that is written by turns.
struct Object {
    type_name: &'static str,
    value: Value,
}

impl Object {
    fn new(type_name: &'static str) -> Self {
        Self {
            type_name,
            value: Value::Null,
        }
    }

    fn deployment() -> Self {
        Self::new("apps.v1.Deployment")
    }

    fn try_apply(&mut self, manager: &str, wish: &Value, force: bool) -> Result<(), Refusal> {
        let schema = Schema::kubernetes();
        let node = schema.node(schema.named(self.type_name).unwrap());
        let writer = writer(manager, "");
        let Applied {
            mut object,
            managers,
        } = apply(node, &self.value, wish, &writer, force).unwrap()?;
        managers.write(&mut object);
        self.value = object;
        Ok(())
    }

    fn apply(&mut self, manager: &str, wish: &Value) {
        self.try_apply(manager, wish, false).unwrap();
    }

    fn update(&mut self, manager: &str, subresource: &str, change: impl FnOnce(&mut Value)) {
        let schema = Schema::kubernetes();
        let node = schema.node(schema.named(self.type_name).unwrap());
        let mut value = self.value.clone();
        change(&mut value);
        let managers = track_update(
            node,
            Managers::of(&self.value),
            &self.value,
            &value,
            &writer(manager, subresource),
        );
        managers.write(&mut value);
        self.value = value;
    }

    fn fields_of(&self, manager: &str) -> Value {
        let entries = self.value["metadata"]["managedFields"].as_array();
        let mut entries = entries.into_iter().flatten();
        let found = entries.find(|entry| entry["manager"] == manager);
        found.map_or(Value::Null, |entry| entry["fieldsV1"].clone())
    }

    fn spec(&self) -> &Value {
        &self.value["spec"]
    }
}

fn writer<'a>(manager: &'a str, subresource: &'a str) -> Writer<'a> {
    Writer {
        manager,
        api_version: "apps/v1",
        subresource,
        time: "2025-01-01T00:00:00Z",
        has_status: true,
    }
}

fn wish(spec: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "one"}, "spec": spec,
    })
}

fn containers(list: Value) -> Value {
    wish(json!({"template": {"spec": {"containers": list}}}))
}

#[test]
fn when_an_object_is_applied_then_its_fields_are_owned_in_the_format_of_the_server() {
    let mut object = Object::deployment();

    object.apply(
        "baetyl",
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"a": "b"}, "finalizers": ["x/y"]},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["x"]},
            ]}}},
        }),
    );

    assert_eq!(
        object.fields_of("baetyl"),
        json!({
            "f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}, "f:labels": {"f:a": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {},
                    "f:args": {},
                    "f:image": {},
                    "f:name": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                        ".": {}, "f:containerPort": {},
                    }},
                }}}},
            },
        })
    );
}

#[test]
fn when_a_field_is_no_longer_declared_then_it_goes() {
    let mut object = Object::deployment();
    object.apply(
        "baetyl",
        &containers(json!([
            {"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}, {"name": "y", "value": "1"}]},
            {"name": "b", "image": "1"},
        ])),
    );
    // What the server fills in belongs to nobody.
    object.value["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = json!("Always");
    object.value["spec"]["template"]["spec"]["dnsPolicy"] = json!("Default");

    object.apply(
        "baetyl",
        &containers(json!([{"name": "a", "image": "1", "env": [{"name": "y", "value": "1"}]}])),
    );

    assert_eq!(
        object.spec()["template"]["spec"],
        json!({
            "containers": [{"name": "a", "image": "1", "env": [{"name": "y", "value": "1"}]}],
            "dnsPolicy": "Default",
        })
    );
}

#[test]
fn when_another_manager_declares_a_field_too_then_it_stays_until_both_have_gone() {
    let mut object = Object::deployment();
    object.apply("one", &wish(json!({"replicas": 2, "paused": true})));
    object.apply("two", &wish(json!({"replicas": 2})));

    object.apply("one", &wish(json!({"paused": true})));
    let after_one = object.spec()["replicas"].clone();
    object.apply("two", &wish(json!({"minReadySeconds": 1})));

    assert_eq!(after_one, 2);
    assert_eq!(object.spec()["replicas"], Value::Null);
}

#[test]
fn when_managers_disagree_then_the_conflict_names_manager_and_field() {
    let mut object = Object::deployment();
    object.apply("one", &wish(json!({"replicas": 2})));

    let refusal = object
        .try_apply("two", &wish(json!({"replicas": 3})), false)
        .unwrap_err();

    assert_eq!((refusal.code, refusal.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        refusal.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
    );
    let causes = refusal.causes();
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!(causes[0].field, ".spec.replicas");
}

#[test]
fn when_an_editor_owns_a_field_then_the_conflict_names_its_version() {
    let mut object = Object::deployment();
    object.apply("baetyl", &containers(json!([{"name": "a", "image": "1"}])));
    object.update("kubectl-edit", "", |value| {
        value["spec"]["template"]["spec"]["containers"][0]["image"] = json!("2");
        value["spec"]["replicas"] = json!(5);
    });
    let mut desired = containers(json!([{"name": "a", "image": "1"}]));
    desired["spec"]["replicas"] = json!(1);

    let refusal = object.try_apply("baetyl", &desired, false).unwrap_err();

    let causes = refusal.causes();
    assert_eq!(causes.len(), 2);
    assert!(
        causes
            .iter()
            .all(|cause| cause.message == "conflict with \"kubectl-edit\" using apps/v1")
    );
    assert_eq!(
        refusal.message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-edit\" using apps/v1:\n\
         - .spec.replicas\n- .spec.template.spec.containers[name=\"a\"].image"
    );
}

#[test]
fn when_an_apply_is_forced_then_the_others_lose_the_field() {
    let mut object = Object::deployment();
    object.apply("one", &wish(json!({"replicas": 2, "paused": true})));

    object
        .try_apply("two", &wish(json!({"replicas": 3})), true)
        .unwrap();

    assert_eq!(object.spec()["replicas"], 3);
    assert_eq!(object.fields_of("one"), json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(
        object.fields_of("two"),
        json!({"f:spec": {"f:replicas": {}}})
    );
}

#[test]
fn when_the_same_is_applied_again_then_nothing_changes() {
    let mut object = Object::deployment();
    let desired = containers(json!([{"name": "a", "image": "1"}]));
    object.apply("baetyl", &desired);
    let before = object.value.clone();

    object.apply("baetyl", &desired);

    assert_eq!(object.value, before);
}

#[test]
fn when_lists_meet_then_the_declared_order_rules_and_others_keep_their_place() {
    let mut object = Object::deployment();
    object.apply(
        "one",
        &containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
    );
    object.update("injector", "", |value| {
        let list = &mut value["spec"]["template"]["spec"]["containers"];
        *list = json!([
            {"name": "sidecar", "image": "s"}, {"name": "a", "image": "1"}, {"name": "b", "image": "1"},
        ]);
    });

    object.apply(
        "one",
        &containers(json!([
            {"name": "b", "image": "1"}, {"name": "new", "image": "1"}, {"name": "a", "image": "1"},
        ])),
    );

    let list = object.spec()["template"]["spec"]["containers"].as_array();
    let names: Vec<_> = list
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sidecar", "b", "new", "a"]);
}

#[test]
fn when_atomic_parts_differ_then_they_conflict_as_a_whole() {
    let mut object = Object::deployment();
    let selecting = |labels: Value| wish(json!({"selector": {"matchLabels": labels}}));
    object.apply("one", &selecting(json!({"a": "b"})));

    let refusal = object
        .try_apply("two", &selecting(json!({"a": "b", "c": "d"})), false)
        .unwrap_err();

    assert_eq!(refusal.causes()[0].field, ".spec.selector");
    assert_eq!(
        object.fields_of("one"),
        json!({"f:spec": {"f:selector": {}}})
    );
}

#[test]
fn when_a_status_is_written_then_its_owner_is_noted_apart() {
    let mut object = Object::deployment();
    object.apply("baetyl", &wish(json!({"replicas": 2})));

    object.update("controller", "status", |value| {
        value["status"] =
            json!({"replicas": 2, "conditions": [{"type": "Available", "status": "True"}]});
    });

    let entries = object.value["metadata"]["managedFields"]
        .as_array()
        .unwrap();
    assert_eq!(entries[1]["subresource"], "status");
    assert_eq!(
        entries[1]["fieldsV1"]["f:status"]["f:conditions"],
        json!({"k:{\"type\":\"Available\"}": {".": {}, "f:status": {}, "f:type": {}}})
    );
}

#[test]
fn when_an_editor_removes_a_field_then_nobody_owns_it() {
    let mut object = Object::new("core.v1.ConfigMap");
    let desired = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
        "data": {"x": "1", "y": "1"},
    });
    object.apply("baetyl", &desired);

    object.update("kubectl", "", |value| {
        value["data"] = json!({"x": "1", "z": "2"});
    });

    assert_eq!(object.fields_of("baetyl"), json!({"f:data": {"f:x": {}}}));
    assert_eq!(object.fields_of("kubectl"), json!({"f:data": {"f:z": {}}}));
}

#[test]
fn when_fields_were_there_before_the_first_apply_then_they_conflict() {
    let mut object = Object::deployment();
    object.value = wish(json!({"replicas": 1}));

    let refusal = object
        .try_apply("baetyl", &wish(json!({"replicas": 2})), false)
        .unwrap_err();

    assert_eq!(
        refusal.causes()[0].message,
        "conflict with \"before-first-apply\" using apps/v1"
    );
}

#[test]
fn when_a_declaration_does_not_fit_its_kind_then_every_field_is_named() {
    let schema = Schema::kubernetes();
    let node = schema.node(schema.named("apps.v1.Deployment").unwrap());
    let desired = wish(json!({
        "replicas": "two",
        "unknown": 1,
        "template": {"spec": {"containers": [
            {"image": "nameless"}, {"name": "a"}, {"name": "a"},
        ]}},
    }));

    let errors = apply(node, &Value::Null, &desired, &writer("m", ""), false)
        .map(|_| ())
        .unwrap_err();

    assert_eq!(
        errors,
        [
            ".spec.replicas: expected numeric (int or float), got string",
            ".spec.template.spec.containers: element 0: associative list with keys has an element \
             that omits key field \"name\" (and doesn't have default value)",
            ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
            ".spec.unknown: field not declared in schema",
        ]
    );
}
