//! Frames are read as the table says, and anything else is an error.

use super::*;

fn frame(kind: u8, body: &[u8]) -> Bytes {
    [&[kind], body].concat().into()
}

#[test]
fn when_a_frame_is_whole_then_it_is_read() {
    let outcome = [7_u64.to_be_bytes(), 1200_u64.to_be_bytes()].concat();
    let cases = [
        (
            frame(
                0x11,
                br#"{"protocol":1,"runtime":"python3","version":"3.11.7"}"#,
            ),
            Frame::Hello(Hello {
                protocol: 1,
                version: "3.11.7".into(),
            }),
        ),
        (frame(0x12, b"{}"), Frame::Loaded),
        (
            frame(0x14, &[&outcome, &b"abc"[..]].concat()),
            Frame::Result {
                call: 7,
                run_us: 1200,
                payload: Bytes::from_static(b"abc"),
            },
        ),
        (
            frame(0x15, &[&outcome[..8], b"x"].concat()),
            Frame::Chunk {
                call: 7,
                data: Bytes::from_static(b"x"),
            },
        ),
        (
            frame(
                0x16,
                &[&outcome, &br#"{"kind":"not_encodable"}"#[..]].concat(),
            ),
            Frame::Error {
                call: 7,
                run_us: 1200,
                error: WorkerError {
                    kind: ErrorKind::NotEncodable,
                    ..WorkerError::default()
                },
            },
        ),
        (
            frame(0x17, b"\x02\x03abchello\nworld"),
            Frame::Log {
                stream: Stream::Stderr,
                invocation: Bytes::from_static(b"abc"),
                lines: Bytes::from_static(b"hello\nworld"),
            },
        ),
        (frame(0x18, &9_u64.to_be_bytes()), Frame::Dropped(9)),
    ];

    for (bytes, expected) in cases {
        assert_eq!(decode(bytes).unwrap(), expected);
    }
}

#[test]
fn when_a_frame_is_damaged_then_it_is_refused() {
    let damaged = [
        Bytes::new(),
        frame(0x11, b"hello"),
        frame(0x14, &[0; 15]),
        frame(0x15, &[0; 7]),
        frame(0x16, &[0; 16]),
        frame(0x17, b"\x01"),
        frame(0x17, b"\x01\x05abc"),
        frame(0x18, b""),
        frame(0x7f, b"what"),
    ];

    for bytes in damaged {
        assert!(decode(bytes.clone()).is_err(), "{bytes:?}");
    }
}

#[test]
fn when_a_call_is_encoded_then_its_length_covers_the_payload_that_follows() {
    let header = CallHeader {
        function: 2,
        stream: true,
        timeout_ms: 50,
        context: BTreeMap::from([("invokeId", "i")]),
    };

    let frame = call(7, &header, 100);

    let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
    assert_eq!(length, frame.len() - 4 + 100);
    assert_eq!(frame[4], CALL);
    let text = r#"{"function":2,"stream":true,"timeoutMs":50,"context":{"invokeId":"i"}}"#;
    assert_eq!(&frame[17..], text.as_bytes());
}
