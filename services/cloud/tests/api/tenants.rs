//! Tokens, tenants, and the walls between them.

use baetyl_proto::cloud::v1 as pb;
use tonic::Code;

use crate::world::{World, configuration, create_configuration, get_configuration, node, reason};

pub(crate) async fn when_a_token_is_for_one_tenant_then_every_other_is_closed(world: World) {
    let mut admin = world.admin();
    admin.configuration("limits", "{}").await;
    let mut factory = world.caller("factory-ci", "factory").await;

    let own = factory.configuration("limits", "[]").await;
    let elsewhere = pb::CreateConfigurationRequest {
        namespace: "default".to_owned(),
        ..create_configuration(configuration("other", "{}"))
    };
    let mut written = configuration("other", "{}");
    written.namespace = "default".to_owned();
    let set = pb::ApplyRequest {
        documents: vec![pb::Document {
            resource: Some(pb::document::Resource::Configuration(written.clone())),
        }],
        ..Default::default()
    };
    let read = pb::GetConfigurationRequest {
        namespace: "default".to_owned(),
        ..get_configuration("limits")
    };
    let list = pb::ListConfigurationsRequest {
        namespace: "default".to_owned(),
        ..Default::default()
    };
    let watch = pb::WatchConfigurationsRequest {
        namespace: "default".to_owned(),
        ..Default::default()
    };
    let rollback = pb::RollbackRequest {
        namespace: "default".to_owned(),
        kind: "configuration".to_owned(),
        name: "limits".to_owned(),
        ..Default::default()
    };
    let status = pb::GetSystemStatusRequest {
        namespace: "default".to_owned(),
    };
    let configurations = &mut factory.configurations;
    let refusals = [
        reason(configurations.create_configuration(elsewhere).await),
        reason(
            configurations
                .create_configuration(create_configuration(written))
                .await,
        ),
        reason(configurations.get_configuration(read).await),
        reason(configurations.list_configurations(list).await),
        reason(configurations.watch_configurations(watch).await),
        reason(factory.sets.apply(set).await),
        reason(factory.revisions.rollback(rollback).await),
        reason(factory.system.get_system_status(status).await),
    ];
    let tenants = pb::ListNamespacesRequest::default();
    let tenants = factory.namespaces.list_namespaces(tenants).await;

    assert_eq!(own.namespace, "factory");
    assert!(
        refusals
            .iter()
            .all(|reason| reason == "NAMESPACE_FORBIDDEN"),
        "{refusals:?}"
    );
    assert_eq!(reason(tenants), "ALL_NAMESPACES_NEEDED");
    let mine = pb::GetConfigurationRequest {
        namespace: "factory".to_owned(),
        ..get_configuration("limits")
    };
    let mine = admin
        .configurations
        .get_configuration(mine)
        .await
        .expect("for all tenants");
    assert_eq!(mine.into_inner().configuration.expect("returned"), own);
}

pub(crate) async fn when_there_is_no_token_then_only_the_version_is_told(world: World) {
    let mut nobody = world.with_token(None);
    let mut stranger = world.with_token(Some("bt_000000000000000000000000.abc"));

    let version = nobody.system.get_version(pb::GetVersionRequest {}).await;
    let missing = nobody
        .nodes
        .list_nodes(pb::ListNodesRequest::default())
        .await;
    let unknown = stranger
        .nodes
        .list_nodes(pb::ListNodesRequest::default())
        .await;

    assert!(
        !version
            .expect("for everybody")
            .into_inner()
            .version
            .is_empty()
    );
    assert_eq!(
        missing.as_ref().err().map(tonic::Status::code),
        Some(Code::Unauthenticated)
    );
    assert_eq!(reason(missing), "TOKEN_MISSING");
    assert_eq!(reason(unknown), "TOKEN_INVALID");
}

pub(crate) async fn when_a_tenant_holds_resources_then_it_is_deleted_only_by_force(world: World) {
    let mut factory = world.caller("factory-ci", "factory").await;
    factory.inputs().await;
    let watcher = crate::world::create_application(crate::world::watcher());
    factory
        .applications
        .create_application(watcher)
        .await
        .expect("its inputs exist");
    let create = pb::CreateNodeRequest {
        node: Some(node("edge-1")),
        ..Default::default()
    };
    factory.nodes.create_node(create).await.expect("it is new");
    let mut admin = world.admin();
    let delete = |force| pb::DeleteNamespaceRequest {
        name: "factory".to_owned(),
        force,
        ..Default::default()
    };

    let refused = admin.namespaces.delete_namespace(delete(false)).await;
    let forced = admin.namespaces.delete_namespace(delete(true)).await;
    let list = pb::ListNodesRequest {
        namespace: "factory".to_owned(),
        ..Default::default()
    };
    let left = admin
        .nodes
        .list_nodes(list)
        .await
        .expect("allowed")
        .into_inner();
    let closed = factory
        .nodes
        .list_nodes(pb::ListNodesRequest::default())
        .await;

    assert_eq!(reason(refused), "NAMESPACE_NOT_EMPTY");
    assert!(forced.is_ok());
    assert!(left.nodes.is_empty());
    assert_eq!(reason(closed), "TOKEN_INVALID", "its tokens went with it");
}

pub(crate) async fn when_tokens_are_listed_then_their_texts_are_not(world: World) {
    let mut admin = world.admin();
    let create = pb::CreateTokenRequest {
        name: "ci".to_owned(),
        namespace: "factory".to_owned(),
        lifetime: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
    };
    let made = admin
        .tokens
        .create_token(create)
        .await
        .expect("it is new")
        .into_inner();

    let list = |page_size, page_token: &str| pb::ListTokensRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    let first = admin
        .tokens
        .list_tokens(list(1, ""))
        .await
        .expect("allowed")
        .into_inner();
    let second = list(1, &first.next_page_token);
    let second = admin
        .tokens
        .list_tokens(second)
        .await
        .expect("allowed")
        .into_inner();

    assert!(made.secret.starts_with("bt_") && !format!("{made:?}").contains(&made.secret));
    assert_eq!(first.tokens[0].name, "admin");
    assert_eq!(second.tokens, [made.token.expect("returned")]);
    assert!(second.tokens[0].expire_time.is_some());
    assert_eq!(second.next_page_token, "");
}

pub(crate) async fn when_the_status_is_asked_for_then_it_counts(world: World) {
    let mut admin = world.admin();
    for name in ["edge-1", "edge-2"] {
        let create = pb::CreateNodeRequest {
            node: Some(node(name)),
            ..Default::default()
        };
        admin.nodes.create_node(create).await.expect("it is new");
    }

    let status = pb::GetSystemStatusRequest::default();
    let status = admin
        .system
        .get_system_status(status)
        .await
        .expect("allowed")
        .into_inner();

    assert_eq!((status.node_count, status.application_count), (2, 0));
    assert_eq!(status.store_id, world.store.id());
    assert!(status.start_time.is_some());
}
