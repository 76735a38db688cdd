//! Values as templates see them.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::text;

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

#[test]
fn when_values_are_written_then_whole_numbers_have_no_point() {
    let inner = Struct {
        fields: [("on".to_owned(), value(Kind::BoolValue(true)))].into(),
    };
    let list = [
        value(Kind::NumberValue(0.5)),
        value(Kind::NumberValue(-3.0)),
    ];
    let values = Struct {
        fields: [
            ("count".to_owned(), value(Kind::NumberValue(8080.0))),
            (
                "name".to_owned(),
                value(Kind::StringValue("a\n\"b\"".to_owned())),
            ),
            ("none".to_owned(), Value { kind: None }),
            ("inner".to_owned(), value(Kind::StructValue(inner))),
            (
                "list".to_owned(),
                value(Kind::ListValue(ListValue {
                    values: list.into(),
                })),
            ),
        ]
        .into(),
    };

    assert_eq!(
        text(&values),
        r#"{"count":8080,"inner":{"on":true},"list":[0.5,-3],"name":"a\n\"b\"","none":null}"#
    );
}
