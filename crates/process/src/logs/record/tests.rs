//! Records survive writing and reading, and nothing makes the reader panic.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::{LogRecord, MAX_OVERHEAD, Output, decode, encode};

fn output() -> impl Strategy<Value = Output> {
    prop_oneof![Just(Output::Stdout), Just(Output::Stderr)]
}

proptest! {
    #[test]
    fn when_a_record_is_written_then_it_is_read_back(
        nanoseconds in any::<u64>(),
        output in output(),
        text in "[^\n]{0,200}",
        is_partial in any::<bool>(),
    ) {
        let time = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let mut line = Vec::new();

        encode(time, output, text.as_bytes(), is_partial, &mut line);

        prop_assert_eq!(line.pop(), Some(b'\n'));
        prop_assert!(line.len() < text.len() + MAX_OVERHEAD);
        prop_assert_eq!(decode(&line), Some(LogRecord { time, output, text, is_partial }));
    }

    #[test]
    fn when_a_line_is_anything_then_reading_does_not_panic(line in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&line);
    }
}

#[test]
fn when_a_line_is_torn_then_it_is_no_record() {
    for line in ["", "12", "12 ", "12 o", "12 x text", "x o text", "12 otext"] {
        assert_eq!(decode(line.as_bytes()), None, "{line}");
    }
}
