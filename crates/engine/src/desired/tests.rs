//! Tests of the module `desired`.

use baetyl_proto::sync::v1::InputRef;

use super::*;

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

fn item() -> DesiredApplication {
    DesiredApplication {
        name: "watcher".into(),
        revision: 4,
        digest: digest("body"),
        template_digest: digest("template"),
        inputs: vec![InputRef {
            kind: "configuration".into(),
            name: "thresholds".into(),
            revision: 2,
            digest: digest("input"),
        }],
        ..DesiredApplication::default()
    }
}

#[test]
fn when_an_item_is_read_then_inputs_are_named_by_kind_and_name() {
    let pin = Pin::parse(&item()).unwrap();

    assert_eq!(
        pin.inputs.keys().next().unwrap().to_string(),
        "configuration/thresholds"
    );
    assert_eq!(pin.digests().count(), 2);
}

#[test]
fn when_a_field_cannot_be_read_then_it_is_named() {
    let mut wrong = item();
    wrong.template_digest = "sha256:x".into();
    assert!(
        Pin::parse(&wrong)
            .unwrap_err()
            .to_string()
            .contains("template_digest")
    );

    let mut wrong = item();
    wrong.inputs[0].kind = "module".into();
    assert!(
        Pin::parse(&wrong)
            .unwrap_err()
            .to_string()
            .contains("inputs")
    );
}

#[test]
fn when_only_the_revision_differs_then_it_is_the_same_try() {
    let pin = Pin::parse(&item()).unwrap();
    let mut other = pin.clone();
    other.revision = 5;
    other.digest = Digest::of(b"other labels");
    assert!(pin.is_same_try(&other));

    other.retry = 1;
    assert!(!pin.is_same_try(&other));
}

#[test]
fn when_a_pin_is_stored_then_it_reads_back() {
    let pin = Pin::parse(&item()).unwrap();

    let text = serde_json::to_string(&pin).unwrap();

    assert_eq!(serde_json::from_str::<Pin>(&text).unwrap(), pin);
}
