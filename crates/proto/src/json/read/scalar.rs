//! Values of single fields.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{EnumDescriptor, Kind, Value};

use super::Reader;
use crate::json::number;
use crate::json::{Node, NodeKind, Place, allowed_names, enumeration, nearest, reason};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The integers of the wire.
trait Integer: TryFrom<i128> {
    const LEAST: i128;
    const MOST: i128;
}

macro_rules! integer {
    ($($type:ty),*) => {
        $(impl Integer for $type {
            const LEAST: i128 = <$type>::MIN as i128;
            const MOST: i128 = <$type>::MAX as i128;
        })*
    };
}

integer!(i32, i64, u32, u64);

impl Reader {
    /// Reads a value of a kind.
    pub(super) fn value(
        &mut self,
        kind: &Kind,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<Value> {
        match kind {
            Kind::Bool => self.boolean(node, place),
            Kind::String => self.text(node, place),
            Kind::Bytes => self.bytes(node, place),
            Kind::Enum(descriptor) => self.enumeration(descriptor, node, place),
            Kind::Message(descriptor) => self.message(descriptor, node, place).map(Value::Message),
            Kind::Double => self.float(node, place).map(Value::F64),
            Kind::Float => self.single_float(node, place),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                self.integer(node, place).map(Value::I32)
            }
            Kind::Uint32 | Kind::Fixed32 => self.integer(node, place).map(Value::U32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                self.integer(node, place).map(Value::I64)
            }
            Kind::Uint64 | Kind::Fixed64 => self.integer(node, place).map(Value::U64),
        }
    }

    fn boolean(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        match &node.kind {
            NodeKind::Bool(value) => Some(Value::Bool(*value)),
            _ => self.mismatch(place, node, reason::WRONG_TYPE, "true or false"),
        }
    }

    fn text(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        match &node.kind {
            NodeKind::Text(text) => Some(Value::String(text.clone().into_owned())),
            NodeKind::Number(_) | NodeKind::Bool(_) => {
                self.report(place, node.at, reason::WRONG_TYPE, || {
                    let got = place.got(node);
                    format!("must be text, got {got}; put it in quotes")
                })
            }
            _ => self.mismatch(place, node, reason::WRONG_TYPE, "text"),
        }
    }

    fn bytes(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        // Bytes are often secrets and never readable: they are not repeated.
        let place = &place.guarded(true);
        let NodeKind::Text(text) = &node.kind else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "text in base64");
        };
        // YAML people wrap long lines.
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let decoded = STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text));
        match decoded {
            Ok(bytes) => Some(Value::Bytes(bytes.into())),
            Err(_) => self.report(place, node.at, reason::INVALID_FORMAT, || {
                "must be base64".to_owned()
            }),
        }
    }

    fn enumeration(
        &mut self,
        descriptor: &EnumDescriptor,
        node: &Node<'_>,
        place: &Place<'_>,
    ) -> Option<Value> {
        if let Some(number) = text_of(node).and_then(|text| enumeration::number(descriptor, text)) {
            return Some(Value::EnumNumber(number));
        }
        let is_text = matches!(node.kind, NodeKind::Text(_));
        let reason = if is_text {
            reason::UNKNOWN_VALUE
        } else {
            reason::WRONG_TYPE
        };
        self.report(place, node.at, reason, || {
            let allowed = allowed_names(descriptor);
            let mut message = format!(
                "must be one of {}, got {}",
                allowed.join(", "),
                place.got(node)
            );
            let meant = text_of(node).and_then(|text| nearest(text, &allowed));
            if let Some(meant) = meant {
                message.push_str(&format!("; did you mean {meant}?"));
            }
            message
        })
    }

    fn integer<T: Integer>(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<T> {
        let parsed = match &node.kind {
            NodeKind::Number(text) | NodeKind::Text(text) => number::integer(text),
            _ => None,
        };
        let Some(parsed) = parsed else {
            return self.mismatch(place, node, reason::WRONG_TYPE, "a whole number");
        };
        let fitting = T::try_from(parsed).ok();
        fitting.or_else(|| {
            let expected = format!("between {} and {}", T::LEAST, T::MOST);
            self.mismatch(place, node, reason::OUT_OF_BOUNDS, &expected)
        })
    }

    pub(super) fn float(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<f64> {
        let parsed = match &node.kind {
            NodeKind::Number(text) | NodeKind::Text(text) => number::float(text),
            _ => None,
        };
        match parsed {
            Some(number) => Some(number),
            None => self.mismatch(place, node, reason::WRONG_TYPE, "a number"),
        }
    }

    fn single_float(&mut self, node: &Node<'_>, place: &Place<'_>) -> Option<Value> {
        let number = self.float(node, place)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what does not fit is refused below"
        )]
        let single = number as f32;
        if single.is_infinite() && number.is_finite() {
            let expected = format!("between {} and {}", f32::MIN, f32::MAX);
            return self.mismatch(place, node, reason::OUT_OF_BOUNDS, &expected);
        }
        Some(Value::F32(single))
    }
}

fn text_of<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.kind {
        NodeKind::Text(text) => Some(text),
        // In YAML, `true` is how ConditionStatus spells one of its values.
        NodeKind::Bool(true) => Some("true"),
        NodeKind::Bool(false) => Some("false"),
        _ => None,
    }
}
