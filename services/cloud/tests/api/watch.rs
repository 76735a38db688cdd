//! Changes in order, over restarts.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use tonic::Streaming;

use crate::world::{
    Clients, World, configuration, create_configuration, labels, next, reason, update_configuration,
};

type Stream = Streaming<pb::WatchConfigurationsResponse>;

async fn watch(clients: &mut Clients, filter: &str, resume_token: &str) -> Stream {
    let watch = pb::WatchConfigurationsRequest {
        filter: filter.to_owned(),
        resume_token: resume_token.to_owned(),
        ..Default::default()
    };
    let stream = clients.configurations.watch_configurations(watch).await;
    stream.expect("the watch begins").into_inner()
}

/// The next event: what happened to which name in which revision, and the token after it.
async fn told(stream: &mut Stream) -> (String, String) {
    let event = next(stream).await.expect("an event");
    let one = event.configuration.clone().unwrap_or_default();
    let what = format!("{:?} {} {}", event.r#type(), one.name, one.revision);
    (what, event.resume_token)
}

async fn delete(clients: &mut Clients, name: &str) {
    let delete = pb::DeleteConfigurationRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    clients
        .configurations
        .delete_configuration(delete)
        .await
        .expect("it exists");
}

pub(crate) async fn when_watched_then_the_present_state_comes_first_and_changes_follow(
    world: World,
) {
    let mut admin = world.admin();
    admin.configuration("bb", "{}").await;
    admin.configuration("aa", "{}").await;

    let mut stream = watch(&mut admin, "", "").await;
    let present = [told(&mut stream).await.0, told(&mut stream).await.0];
    admin.configuration("cc", "{}").await;
    admin.rewrite("aa", "[]").await;
    delete(&mut admin, "bb").await;
    let changes = [
        told(&mut stream).await.0,
        told(&mut stream).await.0,
        told(&mut stream).await.0,
    ];

    assert_eq!(present, ["Added aa 1", "Added bb 1"]);
    assert_eq!(changes, ["Added cc 1", "Modified aa 2", "Deleted bb 1"]);
}

pub(crate) async fn when_resumed_then_nothing_is_lost_and_nothing_comes_twice(world: World) {
    let mut admin = world.admin();
    admin.configuration("aa", "{}").await;
    let mut stream = watch(&mut admin, "", "").await;
    told(&mut stream).await;
    admin.rewrite("aa", "[1]").await;
    admin.rewrite("aa", "[2]").await;
    let (what, token) = told(&mut stream).await;
    assert_eq!(what, "Modified aa 2");
    drop(stream);

    let world = world.restarted().await;
    let mut admin = world.admin();
    admin.configuration("bb", "{}").await;
    let mut resumed = watch(&mut admin, "", &token).await;
    let changes = [told(&mut resumed).await.0, told(&mut resumed).await.0];

    assert_eq!(changes, ["Modified aa 3", "Added bb 1"]);
}

pub(crate) async fn when_resumed_in_the_middle_of_the_present_state_then_the_rest_comes(
    world: World,
) {
    let mut admin = world.admin();
    for name in ["aa", "bb", "cc"] {
        admin.configuration(name, "{}").await;
    }
    let mut stream = watch(&mut admin, "", "").await;
    let (first, token) = told(&mut stream).await;
    drop(stream);
    admin.rewrite("bb", "[]").await;

    let mut resumed = watch(&mut admin, "", &token).await;
    let rest = [told(&mut resumed).await.0, told(&mut resumed).await.0];
    admin.rewrite("aa", "[]").await;
    let change = told(&mut resumed).await.0;

    assert_eq!(first, "Added aa 1");
    assert_eq!(rest, ["Added bb 2", "Added cc 1"]);
    assert_eq!(
        change, "Modified aa 2",
        "what the list said already is not said again"
    );
}

pub(crate) async fn when_a_filter_stops_to_match_then_the_resource_is_deleted_for_the_watcher(
    world: World,
) {
    let mut admin = world.admin();
    let labelled = |tier: &str, text: &str| {
        let mut one = configuration("aa", text);
        one.labels = labels(&[("tier", tier)]);
        one
    };
    let mut stream = watch(&mut admin, "tier = a", "").await;
    let create = create_configuration(labelled("b", "0"));
    admin
        .configurations
        .create_configuration(create)
        .await
        .expect("it is new");
    for (tier, text) in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4"), ("a", "5")] {
        let update = update_configuration(labelled(tier, text));
        admin
            .configurations
            .update_configuration(update)
            .await
            .expect("it exists");
    }

    let mut events = Vec::new();
    for _ in 0..4 {
        events.push(told(&mut stream).await.0);
    }

    assert_eq!(
        events,
        ["Added aa 2", "Modified aa 3", "Deleted aa 4", "Added aa 6"]
    );
}

pub(crate) async fn when_the_token_is_of_another_store_or_feed_then_the_client_lists_again(
    world: World,
) {
    let mut admin = world.admin();
    admin.configuration("aa", "{}").await;
    let mut stream = watch(&mut admin, "", "").await;
    let (_, token) = told(&mut stream).await;
    let mut other = World::in_memory().await.admin();
    let request = |token: &str| pb::WatchConfigurationsRequest {
        resume_token: token.to_owned(),
        ..Default::default()
    };
    let secrets = pb::WatchSecretsRequest {
        resume_token: token.clone(),
        ..Default::default()
    };

    let of_another_store = other
        .configurations
        .watch_configurations(request(&token))
        .await;
    let of_another_feed = admin.secrets.watch_secrets(secrets).await;
    let malformed = admin
        .configurations
        .watch_configurations(request("abc"))
        .await;

    let code = of_another_store.as_ref().err().map(tonic::Status::code);
    assert_eq!(code, Some(tonic::Code::OutOfRange));
    assert_eq!(reason(of_another_store), "RESUME_TOKEN_EXPIRED");
    assert_eq!(reason(of_another_feed), "RESUME_TOKEN_EXPIRED");
    assert_eq!(reason(malformed), "FIELD_VIOLATION");
}

pub(crate) async fn when_too_much_happened_then_the_client_lists_again(world: World) {
    use baetyl_cloud::store::{Commit, EVENTS_KEPT, Key, Write};
    use baetyl_model::{Kind, Name, NamespaceName};
    let mut admin = world.admin();
    let create = pb::CreateNodeRequest {
        node: Some(crate::world::node("edge-1")),
        ..Default::default()
    };
    admin.nodes.create_node(create).await.expect("it is new");
    let mut stream = watch(&mut admin, "", "").await;
    admin.configuration("aa", "{}").await;
    let (_, token) = told(&mut stream).await;
    drop(stream);
    let node = Key {
        namespace: NamespaceName::parse("default").expect("a name"),
        kind: Kind::Node,
        name: Name::parse("edge-1").expect("a name"),
    };
    let touches = usize::try_from(EVENTS_KEPT).expect("it fits") + 1;
    let commit = Commit {
        preconditions: Vec::new(),
        writes: vec![Write::Touch(node); touches],
    };
    world.store.commit(commit).await.expect("the node exists");

    let request = pb::WatchConfigurationsRequest {
        resume_token: token,
        ..Default::default()
    };
    let resumed = admin.configurations.watch_configurations(request).await;

    assert_eq!(reason(resumed), "RESUME_TOKEN_EXPIRED");
}

pub(crate) async fn when_tenants_change_then_their_watcher_sees_it(world: World) {
    let mut admin = world.admin();
    let request = |token: &str| pb::WatchNamespacesRequest {
        resume_token: token.to_owned(),
        ..Default::default()
    };
    let tenant = |description: &str| resource::Namespace {
        name: "plant".to_owned(),
        description: description.to_owned(),
        ..Default::default()
    };
    let mut stream = admin
        .namespaces
        .watch_namespaces(request(""))
        .await
        .expect("allowed")
        .into_inner();
    let mut events = Vec::new();
    let mut token = String::new();
    let create = pb::CreateNamespaceRequest {
        namespace: Some(tenant("")),
        ..Default::default()
    };
    admin
        .namespaces
        .create_namespace(create)
        .await
        .expect("it is new");
    for _ in 0..3 {
        let event = next(&mut stream).await.expect("an event");
        token = event.resume_token.clone();
        events.push((event.r#type(), event.namespace.expect("it is there").name));
    }
    drop(stream);
    let update = pb::UpdateNamespaceRequest {
        namespace: Some(tenant("the second plant")),
        ..Default::default()
    };
    admin
        .namespaces
        .update_namespace(update)
        .await
        .expect("it exists");
    let delete = pb::DeleteNamespaceRequest {
        name: "plant".to_owned(),
        ..Default::default()
    };
    admin
        .namespaces
        .delete_namespace(delete)
        .await
        .expect("it is empty");
    let world = world.restarted().await;
    let mut admin = world.admin();
    let resumed = admin.namespaces.watch_namespaces(request(&token)).await;
    let mut resumed = resumed.expect("it resumes").into_inner();
    // The update is passed over, since nothing is left of what it made.
    let event = next(&mut resumed).await.expect("an event");
    events.push((event.r#type(), event.namespace.expect("it is there").name));

    use pb::EventType::{Added, Deleted};
    let expected = [
        (Added, "default"),
        (Added, "factory"),
        (Added, "plant"),
        (Deleted, "plant"),
    ];
    assert_eq!(
        events,
        expected.map(|(event, name)| (event, name.to_owned()))
    );
}

pub(crate) async fn when_the_bearer_token_is_revoked_then_its_streams_end(world: World) {
    let mut caller = world.caller("ci", "default").await;
    let mut stream = watch(&mut caller, "", "").await;
    let mut admin = world.admin();
    admin.configuration("aa", "{}").await;
    told(&mut stream).await;

    let delete = pb::DeleteTokenRequest {
        name: "ci".to_owned(),
    };
    admin.tokens.delete_token(delete).await.expect("it exists");

    let ended = next(&mut stream).await.expect_err("the stream ends");
    assert_eq!(ended.code(), tonic::Code::Unauthenticated);
}

pub(crate) async fn when_the_server_drains_then_streams_end(world: World) {
    let mut admin = world.admin();
    let mut stream = watch(&mut admin, "", "").await;

    world.shutdown.begin();

    let ended = next(&mut stream).await.expect_err("the stream ends");
    assert_eq!(ended.code(), tonic::Code::Unavailable);
}
