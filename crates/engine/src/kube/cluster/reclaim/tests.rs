//! Which fields become ours, and which stay.

use kube::core::Status;
use serde_json::{Value, json};

use super::{doubled, moved};

fn entry(manager: &str, operation: &str, fields: Value) -> Value {
    json!({
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    })
}

fn ports(port: u16) -> Value {
    let key = format!("k:{{\"port\":{port},\"protocol\":\"TCP\"}}");
    json!({ "f:ports": { key: { ".": {}, "f:name": {}, "f:port": {} } } })
}

fn status(causes: Value) -> Status {
    let status = json!({ "code": 422, "details": { "causes": causes } });
    serde_json::from_value(status).unwrap()
}

#[test]
fn when_a_name_is_there_twice_then_its_list_is_named() {
    let causes = json!([
        { "reason": "FieldValueDuplicate", "field": "spec.ports[1].name", "message": "Duplicate" },
        { "reason": "FieldValueDuplicate", "field": "spec.ports[2].name", "message": "Duplicate" },
        { "reason": "FieldValueInvalid", "field": "spec.other[1]", "message": "Invalid" },
    ]);

    let lists = doubled(&status(causes));

    assert_eq!(
        lists,
        [["f:spec", "f:ports"].map(str::to_owned).to_vec()].into()
    );
}

#[test]
fn when_an_edit_has_entries_of_the_list_then_they_become_ours_and_the_rest_stays_theirs() {
    let lists = [["f:spec", "f:ports"].map(str::to_owned).to_vec()].into();
    let mut theirs = ports(81);
    theirs["f:type"] = json!({});
    let mut status = entry("controller", "Update", json!({ "f:spec": ports(82) }));
    status["subresource"] = "status".into();
    let mut older = entry("old", "Update", json!({ "f:spec": ports(83) }));
    older["apiVersion"] = "v1beta1".into();
    let declared = entry("flux", "Apply", json!({ "f:spec": ports(84) }));
    let only_that = entry("edit", "Update", json!({ "f:spec": ports(85) }));
    let entries = vec![
        entry("baetyl", "Apply", json!({ "f:spec": ports(80) })),
        entry("kubectl-edit", "Update", json!({ "f:spec": theirs })),
        status.clone(),
        older.clone(),
        declared.clone(),
        only_that,
    ];

    let entries = moved(entries, &lists).unwrap();

    let mut ours = ports(80);
    for port in [81, 85] {
        let more = ports(port)["f:ports"].as_object().unwrap().clone();
        ours["f:ports"].as_object_mut().unwrap().extend(more);
    }
    let left = json!({ "f:spec": { "f:type": {} } });
    assert_eq!(
        entries,
        [
            entry("baetyl", "Apply", json!({ "f:spec": ours })),
            entry("kubectl-edit", "Update", left),
            status,
            older,
            declared,
        ]
    );
}

#[test]
fn when_no_edit_has_the_list_then_nothing_moves() {
    let lists = [["f:spec", "f:ports"].map(str::to_owned).to_vec()].into();
    let ours = entry("baetyl", "Apply", json!({ "f:spec": ports(80) }));
    let edit = entry(
        "edit",
        "Update",
        json!({ "f:metadata": { "f:labels": {} } }),
    );
    assert_eq!(moved(vec![ours, edit.clone()], &lists), None);
    assert_eq!(moved(vec![edit], &lists), None);
}
