//! Who gets in with what.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::NamespaceName;
use http::{HeaderMap, HeaderValue};

use super::{Caller, NewToken, Scope, Tokens};
use crate::error::Error;
use crate::store::memory::MemoryStore;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn headers(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).expect("visible");
    HeaderMap::from_iter([(http::header::AUTHORIZATION, value)])
}

fn bearer(token: &NewToken) -> HeaderMap {
    headers(&format!("Bearer {}", *token.secret.reveal()))
}

async fn first() -> (Tokens, NewToken) {
    let tokens = Tokens::new(Arc::new(MemoryStore::new()));
    let first = tokens.ensure_first(NOW).await.expect("the store works");
    (tokens, first.expect("it is the first start"))
}

async fn admin(tokens: &Tokens, token: &NewToken) -> Caller {
    tokens
        .authenticate(&bearer(token), NOW)
        .await
        .expect("it is good")
}

#[tokio::test]
async fn when_the_program_starts_first_then_one_token_for_everything_is_made() {
    let (tokens, first) = first().await;

    let caller = admin(&tokens, &first).await;
    let second = tokens.ensure_first(NOW).await.expect("the store works");

    assert_eq!((caller.name.as_str(), caller.scope), ("admin", Scope::All));
    assert!(second.is_none(), "only the first start makes one");
}

#[tokio::test]
async fn when_the_header_is_not_a_known_token_then_the_caller_is_refused() {
    let (tokens, first) = first().await;
    let text = first.secret.reveal().to_string();
    let id = &text[..text.find('.').expect("it has two parts")];
    let stranger = baetyl_pki::BearerToken::generate().reveal().to_string();
    let secret = stranger.split('.').next_back().expect("it has two parts");

    let cases = [
        (HeaderMap::new(), "TOKEN_MISSING"),
        (headers("Basic abc"), "TOKEN_MISSING"),
        (headers("Bearer"), "TOKEN_INVALID"),
        (headers("Bearer abc"), "TOKEN_INVALID"),
        (headers(&format!("Bearer {stranger}")), "TOKEN_INVALID"),
        (headers(&format!("Bearer {id}.{secret}")), "TOKEN_INVALID"),
    ];
    for (headers, expected) in cases {
        let error = tokens
            .authenticate(&headers, NOW)
            .await
            .expect_err("refused");
        assert_eq!(
            baetyl_service_kit::fault::Fault::reason(&error),
            expected,
            "{headers:?}"
        );
    }
    assert!(
        tokens
            .authenticate(&headers(&format!("bearer {text}")), NOW)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn when_a_token_is_for_one_tenant_then_others_are_forbidden() {
    let (tokens, first) = first().await;
    let admin = admin(&tokens, &first).await;
    let made = tokens
        .create(&admin, "ci", "factory", None, NOW)
        .await
        .expect("made");

    let caller = tokens
        .authenticate(&bearer(&made), NOW)
        .await
        .expect("it is good");

    let factory = NamespaceName::parse("factory").expect("a name");
    assert_eq!(caller.namespace("").expect("its own"), factory);
    assert_eq!(caller.namespace("factory").expect("its own"), factory);
    assert!(matches!(
        caller.namespace("default"),
        Err(Error::NamespaceForbidden(_))
    ));
    assert!(matches!(
        caller.insist_on_all(),
        Err(Error::AllNamespacesNeeded)
    ));
    assert_eq!(
        admin.namespace("").expect("the default").as_str(),
        "default"
    );
    assert_eq!(admin.namespace("factory").expect("any"), factory);
    assert!(matches!(admin.namespace("A"), Err(Error::Invalid(_))));
}

#[tokio::test]
async fn when_a_token_of_one_tenant_makes_tokens_then_they_are_good_for_no_more() {
    let (tokens, first) = first().await;
    let admin = admin(&tokens, &first).await;
    let made = tokens
        .create(&admin, "ci", "factory", None, NOW)
        .await
        .expect("made");
    let caller = tokens
        .authenticate(&bearer(&made), NOW)
        .await
        .expect("it is good");

    let for_all = tokens.create(&caller, "more", "*", None, NOW).await;
    let for_other = tokens.create(&caller, "more", "default", None, NOW).await;
    let for_own = tokens
        .create(&caller, "more", "", None, NOW)
        .await
        .expect("made");
    let listed = tokens
        .list(&caller, None, 10)
        .await
        .expect("the store works");

    assert!(matches!(for_all, Err(Error::AllNamespacesNeeded)));
    assert!(matches!(for_other, Err(Error::NamespaceForbidden(_))));
    assert_eq!(for_own.token.scope, caller.scope);
    let names: Vec<_> = listed.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(
        names,
        ["ci", "more"],
        "the first token is not theirs to see"
    );
    let deleted = tokens.delete(&caller, "admin").await;
    assert!(matches!(deleted, Err(Error::TokenNotFound(_))));
}

#[tokio::test]
async fn when_a_token_is_deleted_then_it_is_refused_at_once() {
    let (tokens, first) = first().await;
    let admin = admin(&tokens, &first).await;
    let made = tokens
        .create(&admin, "ci", "", None, NOW)
        .await
        .expect("made");
    let caller = tokens
        .authenticate(&bearer(&made), NOW)
        .await
        .expect("it is good");

    tokens.delete(&admin, "ci").await.expect("it exists");

    let again = tokens.authenticate(&bearer(&made), NOW).await;
    assert!(matches!(again, Err(Error::TokenInvalid)));
    assert!(matches!(
        tokens.check(&caller, NOW).await,
        Err(Error::TokenInvalid)
    ));
    let deleted = tokens.delete(&admin, "ci").await;
    assert!(matches!(deleted, Err(Error::TokenNotFound(_))));
}

#[tokio::test]
async fn when_the_time_of_a_token_is_over_then_it_is_refused() {
    let (tokens, first) = first().await;
    let admin = admin(&tokens, &first).await;
    let hour = Duration::from_secs(3600);
    let made = tokens
        .create(&admin, "ci", "", Some(hour), NOW)
        .await
        .expect("made");

    let before = tokens.authenticate(&bearer(&made), NOW + hour / 2).await;
    let after = tokens.authenticate(&bearer(&made), NOW + hour).await;

    assert!(before.is_ok());
    assert!(matches!(after, Err(Error::TokenExpired)));
}

#[tokio::test]
async fn when_a_new_token_is_wrong_then_every_field_is_named() {
    let (tokens, first) = first().await;
    let admin = admin(&tokens, &first).await;

    let made = tokens
        .create(&admin, "C I", "", Some(Duration::ZERO), NOW)
        .await;

    let Err(Error::Invalid(error)) = made else {
        panic!("refused for its fields");
    };
    let fields: Vec<_> = error
        .violations
        .iter()
        .map(|one| one.field.as_str())
        .collect();
    assert_eq!(fields, ["name", "lifetime"]);
    let twice = tokens.create(&admin, "admin", "", None, NOW).await;
    assert!(matches!(twice, Err(Error::TokenExists(_))));
}
