//! Tokens: text forms, hidden secrets.

use proptest::prelude::*;

use super::{BearerToken, JoinToken, SecretHash, TokenId};
use crate::Fingerprint;

#[test]
fn when_a_bearer_token_is_revealed_then_it_is_read_back() {
    let token = BearerToken::generate();
    let text = token.reveal();

    let read: BearerToken = text.parse().unwrap();

    assert!(text.starts_with("bt_") && text.is_ascii() && !text.contains(' '));
    assert_eq!(read.id(), token.id());
    assert!(read.hash().matches(&token.hash()));
    assert_eq!(token.id().to_string().parse::<TokenId>(), Ok(token.id()));
}

#[test]
fn when_a_join_token_is_revealed_then_it_is_read_back_with_the_authority() {
    let authority = Fingerprint::of(b"an authority");
    let token = JoinToken::generate(authority);
    let text = token.reveal();

    let read: JoinToken = text.parse().unwrap();

    assert!(text.starts_with("jt_") && text.ends_with(&authority.to_string()));
    assert_eq!(read.id(), token.id());
    assert_eq!(read.authority(), authority);
    assert!(read.hash().matches(&token.hash()));
}

#[test]
fn when_secrets_differ_then_hashes_do_not_match() {
    let (one, two) = (
        BearerToken::generate().hash(),
        BearerToken::generate().hash(),
    );

    assert!(!one.matches(&two));
    assert!(one.matches(&SecretHash::from_bytes(*one.as_bytes())));
    for place in 0..32 {
        let mut bytes = *one.as_bytes();
        bytes[place] ^= 1;
        assert!(!one.matches(&SecretHash::from_bytes(bytes)));
    }
}

#[test]
fn when_a_token_is_shown_for_debugging_then_the_secret_is_not_seen() {
    let bearer = BearerToken::generate();
    let join = JoinToken::generate(Fingerprint::of(b""));

    let secret = |text: &str| text.split('.').nth(1).unwrap().to_owned();
    assert!(!format!("{bearer:?}").contains(&secret(&bearer.reveal())));
    assert!(!format!("{join:?}").contains(&secret(&join.reveal())));
}

#[test]
fn when_a_text_is_not_a_token_then_it_is_refused_and_not_repeated() {
    let bearer = BearerToken::generate().reveal();
    let join = JoinToken::generate(Fingerprint::of(b"")).reveal();
    let rows = [
        String::new(),
        "bt_".into(),
        "jt_".into(),
        bearer[3..].to_owned(),
        format!("{}A", *bearer),
        bearer[..bearer.len() - 1].to_owned(),
        format!("{}.x", *bearer),
        bearer.replacen("bt_", "bt_x", 1),
        join[..join.len() - 2].to_owned(),
        join.replacen('.', "", 1),
    ];
    for text in rows {
        assert!(text.parse::<JoinToken>().is_err(), "{text}");
        let error = text.parse::<BearerToken>().unwrap_err();
        assert_eq!(error.to_string(), "the text is not a bearer token (bt_...)");
        assert_eq!(error.reason(), "TOKEN_MALFORMED");
    }
    assert!(join.parse::<BearerToken>().is_err());
    assert!(bearer.parse::<JoinToken>().is_err());
}

proptest! {
    #[test]
    fn when_any_text_is_read_then_nothing_panics(text in "(bt_|jt_)?[ -~ä]{0,80}") {
        prop_assert!(text.parse::<BearerToken>().is_err());
        prop_assert!(text.parse::<JoinToken>().is_err());
    }
}
