//! Lines and pieces.

use futures::io::Cursor;

use super::{MAX_TEXT, Pieces, SHORTEST_TIME};

async fn all(text: &[u8]) -> Vec<String> {
    let mut pieces = Pieces::new(Cursor::new(text.to_vec()));
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await.expect("it can be read") {
        all.push(piece);
    }
    all
}

#[tokio::test]
async fn when_lines_are_short_then_they_come_whole() {
    assert_eq!(
        all(b"t one\nt two\r\n\nt three").await,
        ["t one", "t two", "", "t three"]
    );
    assert_eq!(all(b"").await, Vec::<String>::new());
    assert_eq!(all(b"t one\n").await, ["t one"]);
}

#[tokio::test]
async fn when_a_line_is_long_then_it_comes_in_pieces_with_its_time() {
    let long = "x".repeat(3 * MAX_TEXT);

    let pieces = all(format!("time {long}\ntime next\n").as_bytes()).await;

    assert!(pieces.iter().all(|piece| piece.starts_with("time ")));
    assert!(
        pieces
            .iter()
            .all(|piece| piece.len() <= MAX_TEXT + SHORTEST_TIME)
    );
    let text: String = pieces.iter().map(|piece| &piece[5..]).collect();
    assert_eq!(text, format!("{long}next"));
    assert_eq!(pieces.last().map(String::as_str), Some("time next"));
}

#[tokio::test]
async fn when_a_line_ends_with_its_piece_then_no_empty_one_follows() {
    let full = "x".repeat(MAX_TEXT + SHORTEST_TIME - 2);

    let pieces = all(format!("t {full}\nt next\n").as_bytes()).await;

    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1], "t next");
}

#[tokio::test]
async fn when_bytes_are_no_text_then_they_are_replaced() {
    assert_eq!(all(b"t \xff\n").await, ["t \u{fffd}"]);
}
