//! Values of secrets come only when they are asked for.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use prost::Message;

use crate::world::{Clients, World, next, secret};

/// A value that nothing else contains.
const CANARY: &str = "canary-5f1c";

async fn made(world: &World) -> Clients {
    let mut admin = world.admin();
    let create = pb::CreateSecretRequest {
        secret: Some(secret("keys", &[("token", CANARY), ("user", "somebody")])),
        ..Default::default()
    };
    admin
        .secrets
        .create_secret(create)
        .await
        .expect("it is new");
    admin
}

async fn read(clients: &mut Clients, include_values: bool) -> resource::Secret {
    let read = pb::GetSecretRequest {
        name: "keys".to_owned(),
        include_values,
        ..Default::default()
    };
    let read = clients.secrets.get_secret(read).await.expect("it exists");
    read.into_inner().secret.expect("returned")
}

/// Whether an answer has the canary anywhere in its bytes.
fn leaks(answer: &impl Message) -> bool {
    let bytes = answer.encode_to_vec();
    bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes())
}

pub(crate) async fn when_secrets_are_read_then_values_come_only_when_asked_for(world: World) {
    let mut admin = made(&world).await;
    let named = |revision| pb::GetRevisionRequest {
        kind: "secret".to_owned(),
        name: "keys".to_owned(),
        revision,
        ..Default::default()
    };
    let update = pb::UpdateSecretRequest {
        secret: Some(secret("keys", &[("user", "else")])),
        ..Default::default()
    };

    let updated = admin
        .secrets
        .update_secret(update)
        .await
        .expect("it exists")
        .into_inner();
    let closed = read(&mut admin, false).await;
    let open = read(&mut admin, true).await;
    let list = pb::ListSecretsRequest::default();
    let list = admin
        .secrets
        .list_secrets(list)
        .await
        .expect("allowed")
        .into_inner();
    let watch = pb::WatchSecretsRequest::default();
    let mut watch = admin
        .secrets
        .watch_secrets(watch)
        .await
        .expect("allowed")
        .into_inner();
    let event = next(&mut watch).await.expect("an event");
    let past = admin
        .revisions
        .get_revision(named(1))
        .await
        .expect("it is kept")
        .into_inner();
    let again = pb::ApplyRequest {
        documents: vec![pb::Document {
            resource: Some(pb::document::Resource::Secret(secret(
                "keys",
                &[("token", "other")],
            ))),
        }],
        validate_only: true,
        ..Default::default()
    };
    let told = admin.sets.apply(again).await.expect("right").into_inner();

    assert!(leaks(&open), "the one that may");
    assert!(!leaks(&updated) && !leaks(&closed) && !leaks(&list));
    assert!(!leaks(&event) && !leaks(&past) && !leaks(&told));
    assert_eq!(closed.keys, ["token", "user"]);
    assert!(closed.data.is_empty() && closed.salt.is_empty() && open.salt.is_empty());
    assert!(
        !format!("{open:?}").contains(CANARY),
        "values are not in Debug"
    );
}

pub(crate) async fn when_a_secret_is_updated_then_absent_keys_are_kept(world: World) {
    let mut admin = made(&world).await;
    let mut change = secret("keys", &[("added", "new")]);
    change.remove_keys = vec!["user".to_owned()];
    let update = pb::UpdateSecretRequest {
        secret: Some(change),
        ..Default::default()
    };

    admin
        .secrets
        .update_secret(update)
        .await
        .expect("it exists");

    let open = read(&mut admin, true).await;
    assert_eq!(open.keys, ["added", "token"]);
    assert_eq!(open.data["token"].as_ref(), CANARY.as_bytes());
}

pub(crate) async fn when_what_was_read_is_sent_back_then_nothing_is_wiped(world: World) {
    let mut admin = made(&world).await;
    let closed = read(&mut admin, false).await;
    let update = pb::UpdateSecretRequest {
        secret: Some(closed.clone()),
        ..Default::default()
    };

    let after = admin
        .secrets
        .update_secret(update)
        .await
        .expect("it exists");

    assert_eq!(after.into_inner().secret.expect("returned"), closed);
}
