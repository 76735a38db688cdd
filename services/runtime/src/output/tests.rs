//! Lines are marked, cut and counted, and never hold anybody up.

use std::sync::Mutex;

use baetyl_model::runtime_config::split_invocation;

use super::*;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(Stream, String)>>>);

impl LineSink for Kept {
    fn write(&mut self, stream: Stream, lines: &[u8]) -> io::Result<()> {
        let text = String::from_utf8(lines.to_vec()).unwrap();
        self.0.lock().unwrap().push((stream, text));
        Ok(())
    }
}

#[tokio::test]
async fn when_lines_belong_to_an_invocation_then_they_are_marked_as_such() {
    let kept = Kept::default();
    let (output, writer) = channel(Box::new(kept.clone()));

    output.lines(Stream::Stdout, Some("inv-1"), "a\nb");
    output.lines(Stream::Stderr, None, "c");
    drop(output);
    writer.run().await;

    let written = kept.0.lock().unwrap().clone();
    let marked = "\u{1e}inv=inv-1\u{1e}a\n\u{1e}inv=inv-1\u{1e}b\n".to_owned();
    assert_eq!(
        written,
        [(Stream::Stdout, marked), (Stream::Stderr, "c\n".to_owned())]
    );
}

#[tokio::test]
async fn when_nobody_writes_then_lines_are_dropped_and_counted() {
    let kept = Kept::default();
    let (output, writer) = channel(Box::new(kept.clone()));

    for _ in 0..MAX_WAITING_LINES + 30 {
        output.lines(Stream::Stdout, None, "flood");
    }
    drop(output);
    writer.run().await;

    let written = kept.0.lock().unwrap().clone();
    let text: String = written.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(text.matches("flood").count(), MAX_WAITING_LINES);
    assert!(text.contains("30 lines of output were dropped"));
}

#[test]
fn when_a_line_is_long_then_it_is_cut_at_characters() {
    let line = "ä".repeat(MAX_LINE_BYTES);

    let cut: Vec<&str> = pieces(&line).collect();

    assert_eq!(cut.concat(), line);
    assert!(cut.iter().all(|piece| piece.len() <= MAX_LINE_BYTES));
    assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
}

#[test]
fn when_plain_text_looks_marked_then_it_passes_for_nobody_elses() {
    let line = marked(None, "\u{1e}inv=other\u{1e}text");

    assert_eq!(
        split_invocation(&line),
        (Some(""), "\u{1e}inv=other\u{1e}text")
    );
}

#[test]
fn when_an_id_has_odd_characters_then_it_is_not_used() {
    assert_eq!(checked_invocation(b"0198-f2c1"), Some("0198-f2c1"));
    for id in [&b""[..], b"a b", b"a\x1eb", b"a\nb", b"\xff"] {
        assert_eq!(checked_invocation(id), None, "{id:?}");
    }
}
