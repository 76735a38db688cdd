//! Digests: known values, text form.

use proptest::prelude::*;

use super::{Digest, Hasher};
use crate::Error;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn when_nothing_is_hashed_then_it_is_the_known_value() {
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
}

#[test]
fn when_the_text_is_not_exact_then_it_is_refused() {
    let upper = EMPTY.to_uppercase();
    let digits = EMPTY.trim_start_matches("sha256:");
    let long = format!("{EMPTY}0");
    let bad_digit = EMPTY.replace("e3b0", "g3b0");
    let other = format!("sha512:{digits}");
    for text in [
        "",
        "sha256:",
        digits,
        &upper,
        &long,
        &EMPTY[..70],
        &bad_digit,
        &other,
    ] {
        assert_eq!(text.parse::<Digest>(), Err(Error::DigestInvalid), "{text}");
    }
}

proptest! {
    #[test]
    fn when_printed_then_it_is_read_back(bytes: [u8; 32]) {
        let digest = Digest::from_bytes(bytes);

        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn when_bytes_come_in_pieces_then_the_digest_is_the_same(bytes: Vec<u8>, size in 1_usize..9) {
        let mut hasher = Hasher::default();
        bytes.chunks(size).for_each(|piece| hasher.update(piece));

        prop_assert_eq!(hasher.finish(), Digest::of(&bytes));
        prop_assert_eq!(Digest::of_pieces(bytes.chunks(size)), Digest::of(&bytes));
    }
}
