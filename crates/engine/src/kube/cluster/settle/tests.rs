//! What the state of a definition says.

use serde_json::json;

use super::Definition;

#[test]
fn when_a_definition_has_conditions_then_they_decide() {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "message": "taken by others"});
    let rows = [
        (vec![], None),
        (vec![condition("NamesAccepted", "True")], None),
        (vec![condition("Established", "False")], None),
        (vec![condition("Established", "True")], Some(Ok(()))),
        (
            vec![
                condition("NamesAccepted", "False"),
                condition("Established", "False"),
            ],
            Some(Err("taken by others".to_owned())),
        ),
    ];
    for (conditions, expected) in rows {
        let text = json!({"metadata": {}, "status": {"conditions": conditions}});
        let definition: Definition = serde_json::from_value(text).unwrap();
        assert_eq!(definition.verdict(), expected, "{conditions:?}");
    }
}

#[test]
fn when_a_definition_has_no_state_yet_then_nothing_is_decided() {
    for text in [
        json!({"metadata": {}}),
        json!({"status": {"conditions": null}}),
    ] {
        let definition: Definition = serde_json::from_value(text.clone()).unwrap();

        assert_eq!(definition.verdict(), None, "{text}");
    }
}
