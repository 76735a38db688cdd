//! Tests of the module `inputs`.

use baetyl_proto::resource::v1 as pb;
use prost::Message as _;

use super::*;

fn body(keys: &[&str]) -> Vec<u8> {
    let data = keys.iter().map(|key| ((*key).into(), "x".into())).collect();
    let message = pb::Configuration {
        name: "thresholds".into(),
        data,
        ..pb::Configuration::default()
    };
    message.encode_to_vec()
}

#[test]
fn when_keys_are_file_names_then_the_body_is_read() {
    let content = decode(InputKind::Configuration, &body(&["a.json", "b"])).unwrap();

    assert_eq!(content.files.keys().collect::<Vec<_>>(), ["a.json", "b"]);
}

#[test]
fn when_a_key_would_lead_elsewhere_then_the_body_is_refused() {
    for key in ["..", "../etc/passwd", "a/b", "..data", ".", ""] {
        assert!(
            decode(InputKind::Configuration, &body(&[key])).is_none(),
            "{key:?}"
        );
    }
}
