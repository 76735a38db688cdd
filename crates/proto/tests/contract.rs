//! What the generated code promises beyond what the compiler checks.

use baetyl_proto::resource::v1::Secret;
use baetyl_proto::{DESCRIPTOR, resource};
use prost::Message as _;
use prost_reflect::DescriptorPool;

#[test]
fn when_a_message_with_secrets_is_printed_then_no_value_shows() {
    let mut secret = Secret {
        name: "db".to_owned(),
        ..Secret::default()
    };
    secret
        .data
        .insert("password".to_owned(), b"canary".to_vec().into());
    secret
        .string_data
        .insert("user".to_owned(), "canary".to_owned());

    let printed = format!("{secret:?}");

    assert!(printed.contains("db"), "{printed}");
    assert!(printed.contains("<redacted>"), "{printed}");
    assert!(!printed.contains("canary"), "{printed}");
    assert!(!printed.contains("99, 97"), "{printed}");
}

#[test]
fn when_a_map_is_filled_in_any_order_then_the_bytes_are_equal() {
    let keys = ["zone", "arch", "site", "line"];
    let with = |order: &mut dyn Iterator<Item = &&str>| {
        let mut configuration = resource::v1::Configuration::default();
        for key in order {
            configuration
                .labels
                .insert((*key).to_owned(), "1".to_owned());
        }
        configuration.encode_to_vec()
    };

    let forward = with(&mut keys.iter());
    let backward = with(&mut keys.iter().rev());

    assert_eq!(forward, backward);
}

#[test]
fn when_the_descriptor_is_read_then_it_has_options_details_and_comments() {
    let pool = DescriptorPool::decode(DESCRIPTOR).expect("the committed descriptor decodes");

    for name in [
        "google.rpc.BadRequest",
        "google.rpc.ErrorInfo",
        "faas.Message",
    ] {
        assert!(pool.get_message_by_name(name).is_some(), "{name} is absent");
    }
    let http = pool
        .get_extension_by_name("google.api.http")
        .expect("the annotation is there");
    let annotated = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| method.options().has_extension(&http))
        .count();
    assert!(annotated > 0, "no method kept its HTTP rule");
    let commented = pool
        .file_descriptor_protos()
        .filter_map(|file| file.source_code_info.as_ref())
        .any(|info| {
            info.location
                .iter()
                .any(|place| place.leading_comments.is_some())
        });
    assert!(commented, "no comment was kept");
}
