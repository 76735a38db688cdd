//! Nothing is lost or reordered, however the bytes arrive.

use proptest::prelude::*;

use super::{Lines, MAX_TEXT};

/// Pieces of `chunks`, joined again, with the lengths of the pieces.
fn cut(chunks: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let mut lines = Lines::default();
    let mut joined = Vec::new();
    let mut lengths = Vec::new();
    let mut give = |piece: &[u8], is_partial: bool| {
        lengths.push(piece.len());
        joined.extend_from_slice(piece);
        if !is_partial {
            joined.push(b'\n');
        }
    };
    for chunk in chunks {
        lines.push(chunk, &mut give);
    }
    lines.finish(&mut give);
    (joined, lengths)
}

#[test]
fn when_a_line_has_exactly_the_longest_length_then_it_is_one_piece() {
    for chunks in [
        vec![[vec![b'x'; MAX_TEXT], vec![b'\n']].concat()],
        vec![vec![b'x'; MAX_TEXT], vec![b'\n']],
    ] {
        assert_eq!(cut(&chunks).1, [MAX_TEXT]);
    }
}

#[test]
fn when_a_line_is_longer_then_it_is_cut() {
    let (joined, lengths) = cut(&[vec![b'x'; 2 * MAX_TEXT + 5], b"\nend".to_vec()]);

    assert_eq!(lengths, [MAX_TEXT, MAX_TEXT, 5, 3]);
    assert_eq!(
        joined,
        [vec![b'x'; 2 * MAX_TEXT + 5], b"\nend\n".to_vec()].concat()
    );
}

proptest! {
    #[test]
    fn when_bytes_arrive_in_any_chunks_then_the_lines_are_the_same(
        chunks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(prop_oneof![4 => Just(b'a'), 1 => Just(b'\n')], 0..40),
                (MAX_TEXT - 20..MAX_TEXT + 20).prop_map(|length| vec![b'b'; length]),
            ],
            0..8,
        ),
    ) {
        let mut expected = chunks.concat();
        if expected.last().is_some_and(|byte| *byte != b'\n') {
            expected.push(b'\n');
        }

        let (joined, lengths) = cut(&chunks);

        prop_assert_eq!(joined, expected);
        prop_assert!(lengths.iter().all(|length| *length <= MAX_TEXT));
    }
}
