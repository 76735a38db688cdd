//! Each credential opens what it should, and nothing else.

use std::os::unix::fs::PermissionsExt as _;

use baetyl_pki::{Name, Subject};
use tonic::Extensions;
use tonic::metadata::MetadataMap;

use super::{Access, AccessError, Caller, EdgeToken};

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn workload(application: &str, service: &str) -> Caller {
    Caller::Identity(Subject::Workload {
        namespace: name("default"),
        node: name("demo"),
        application: name(application),
        service: name(service),
    })
}

fn system(service: &str) -> Caller {
    Caller::Identity(Subject::EdgeSystem {
        namespace: name("default"),
        node: name("demo"),
        service: name(service),
    })
}

fn bearer(token: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert(
        "authorization",
        format!("Bearer {token}").parse().expect("visible"),
    );
    metadata
}

fn token_file(text: &str, mode: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(file.path(), permissions).expect("permitted");
    file
}

#[test]
fn a_certificate_attaches_and_registers_its_own_service_only() {
    let access = Access::new(None, false);
    let own = workload("sensors", "window");
    for (caller, may_attach, may_register, may_route) in [
        (own, true, true, false),
        (workload("other", "window"), false, true, false),
        (workload("sensors", "other"), false, false, false),
        (system("core"), false, false, true),
        (system("gateway"), false, false, false),
        (Caller::Owner, false, true, true),
    ] {
        let attaches = access.check_attach(&caller, "sensors", "window").is_ok();
        let registers = access.check_register(&caller, "window").is_ok();
        let routes = access.check_routes(&caller).is_ok();
        assert_eq!(
            (attaches, registers, routes),
            (may_attach, may_register, may_route),
            "{caller:?}"
        );
    }
}

#[test]
fn when_it_is_allowed_then_the_token_attaches() {
    let access = Access::new(None, true);

    assert!(
        access
            .check_attach(&Caller::Owner, "any", "service")
            .is_ok()
    );
}

#[tokio::test]
async fn only_the_token_in_the_file_is_valid() {
    let file = token_file("secret\n", 0o600);
    let access = Access::new(Some(EdgeToken::open(file.path().to_owned())), false);

    let check =
        async |metadata: MetadataMap| access.check_invoke(&Extensions::new(), &metadata).await;

    assert_eq!(check(bearer("secret")).await, Ok(()));
    assert_eq!(
        check(bearer("Secret")).await,
        Err(AccessError::TokenInvalid)
    );
    assert_eq!(check(bearer("")).await, Err(AccessError::TokenInvalid));
    assert_eq!(check(MetadataMap::new()).await, Err(AccessError::Missing));
}

#[tokio::test]
async fn when_others_may_read_the_file_or_it_is_empty_then_no_token_is_valid() {
    for (text, mode) in [("secret", 0o644), ("", 0o600), (" \n", 0o600)] {
        let file = token_file(text, mode);
        let token = EdgeToken::open(file.path().to_owned());

        assert!(!token.is(text.trim()).await, "{text:?} {mode:o}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_file_is_replaced_then_the_new_token_holds_and_the_old_one_does_not() {
    let file = token_file("old", 0o600);
    let token = EdgeToken::open(file.path().to_owned());
    assert!(token.is("old").await);

    std::fs::write(file.path(), "new").expect("written");
    tokio::time::advance(super::TOKEN_AGE * 2).await;

    assert!(!token.is("old").await);
    assert!(token.is("new").await);
}

#[tokio::test]
async fn without_tls_the_token_is_needed_if_there_is_one() {
    let file = token_file("secret", 0o600);
    let guarded = Access::insecure(Some(EdgeToken::open(file.path().to_owned())));
    let open = Access::insecure(None);
    let nothing = (Extensions::new(), MetadataMap::new());

    assert_eq!(
        guarded.caller(&nothing.0, &nothing.1).await,
        Err(AccessError::Missing)
    );
    assert_eq!(open.caller(&nothing.0, &nothing.1).await, Ok(Caller::Owner));
    assert_eq!(open.check_invoke(&nothing.0, &nothing.1).await, Ok(()));
}
