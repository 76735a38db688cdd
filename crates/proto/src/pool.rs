//! The contract as descriptors, built once and shared.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, Value,
};

use crate::DESCRIPTOR;

#[cfg(test)]
mod tests;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR).expect("the descriptor was written by the generator")
});

static BEHAVIORS: LazyLock<HashMap<String, Behavior>> = LazyLock::new(behaviors);

/// Every file of the contract, with what it imports.
#[must_use]
pub fn descriptors() -> &'static DescriptorPool {
    &POOL
}

/// The message with a full name, for example `baetyl.resource.v1.Application`.
#[must_use]
pub fn message(full_name: &str) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(full_name)
}

/// What the contract says about the fields of a message beyond their types.
#[must_use]
pub fn behavior(message: &MessageDescriptor) -> &'static Behavior {
    static NONE: Behavior = Behavior {
        required: Vec::new(),
        output_only: Vec::new(),
        input_only: Vec::new(),
        redacted: Vec::new(),
    };
    BEHAVIORS.get(message.full_name()).unwrap_or(&NONE)
}

/// Numbers of the fields of one message that are marked (AIP-203, `debug_redact`).
#[derive(Debug, Default)]
pub struct Behavior {
    required: Vec<u32>,
    output_only: Vec<u32>,
    input_only: Vec<u32>,
    redacted: Vec<u32>,
}

impl Behavior {
    /// Whether a request must set the field.
    #[must_use]
    pub fn is_required(&self, field: &FieldDescriptor) -> bool {
        self.required.contains(&field.number())
    }

    /// Whether only the server sets the field.
    #[must_use]
    pub fn is_output_only(&self, field: &FieldDescriptor) -> bool {
        self.output_only.contains(&field.number())
    }

    /// Whether the server never returns the field.
    #[must_use]
    pub fn is_input_only(&self, field: &FieldDescriptor) -> bool {
        self.input_only.contains(&field.number())
    }

    /// Whether the value may stand in no log and no message.
    #[must_use]
    pub fn is_redacted(&self, field: &FieldDescriptor) -> bool {
        self.redacted.contains(&field.number())
    }

    fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.output_only.is_empty()
            && self.input_only.is_empty()
            && self.redacted.is_empty()
    }
}

/// Options are messages that are decoded anew at each look, so they are looked at once.
fn behaviors() -> HashMap<String, Behavior> {
    let extension = POOL
        .get_extension_by_name("google.api.field_behavior")
        .expect("the contract imports field_behavior.proto");
    let mut found = HashMap::new();
    for message in POOL.all_messages() {
        let mut behavior = Behavior::default();
        for field in message.fields() {
            behavior.add(&field, &extension);
        }
        if !behavior.is_empty() {
            found.insert(message.full_name().to_owned(), behavior);
        }
    }
    found
}

/// Numbers of `google.api.FieldBehavior`.
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;

impl Behavior {
    fn add(&mut self, field: &FieldDescriptor, extension: &ExtensionDescriptor) {
        let options = field.options();
        let marks = options.get_extension(extension);
        for mark in marks.as_list().unwrap_or_default() {
            match mark.as_enum_number() {
                Some(REQUIRED) => self.required.push(field.number()),
                Some(OUTPUT_ONLY) => self.output_only.push(field.number()),
                Some(INPUT_ONLY) => self.input_only.push(field.number()),
                _ => {}
            }
        }
        let redact = options.get_field_by_name("debug_redact");
        if redact.is_some_and(|value| *value == Value::Bool(true)) {
            self.redacted.push(field.number());
        }
    }
}
