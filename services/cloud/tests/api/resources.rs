//! Create, read, update, delete.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use baetyl_service_kit::fault::Problem;

use crate::world::{
    World, configuration, create_application, create_configuration, farewell, get_configuration,
    labels, node, plain, reason, refused, update_configuration, watcher,
};

pub(crate) async fn when_a_resource_is_created_then_it_reads_back_with_defaults(world: World) {
    let mut admin = world.admin();
    admin.inputs().await;

    let created = admin
        .applications
        .create_application(create_application(watcher()))
        .await;
    let created = created
        .expect("it is new")
        .into_inner()
        .application
        .expect("returned");
    let read = admin
        .applications
        .get_application(pb::GetApplicationRequest {
            name: "watcher".to_owned(),
            ..Default::default()
        });
    let read = read
        .await
        .expect("it exists")
        .into_inner()
        .application
        .expect("returned");

    assert_eq!(
        (created.revision, created.namespace.as_str()),
        (1, "default")
    );
    assert_eq!(created.replicas, Some(1));
    assert_eq!(created.volumes[0].on_change(), resource::OnChange::Reload);
    assert_eq!(created.etag, format!("{}.1", created.uid));
    assert!(created.digest.starts_with("sha256:") && created.create_time.is_some());
    assert_eq!(read, created);
}

pub(crate) async fn when_nothing_changes_then_no_revision_is_made(world: World) {
    let mut admin = world.admin();
    let made = admin.configuration("limits", "{}").await;

    let same = admin.rewrite("limits", "{}").await;

    assert_eq!(same, made);
}

pub(crate) async fn when_the_spec_changes_then_a_revision_is_made(world: World) {
    let mut admin = world.admin();
    let made = admin.configuration("limits", "{}").await;

    let changed = admin.rewrite("limits", "{\"a\": 1}").await;
    let mut labelled = configuration("limits", "{\"a\": 1}");
    labelled.labels = labels(&[("site", "demo")]);
    let labelled = admin
        .configurations
        .update_configuration(update_configuration(labelled))
        .await;
    let labelled = labelled
        .expect("it exists")
        .into_inner()
        .configuration
        .expect("returned");

    assert_eq!((changed.revision, labelled.revision), (2, 3));
    assert_eq!(
        (&changed.uid, changed.create_time),
        (&made.uid, made.create_time)
    );
    assert_ne!(changed.digest, made.digest);
    assert_ne!(labelled.update_time, made.update_time);
}

pub(crate) async fn when_the_etag_is_old_then_the_write_is_aborted(world: World) {
    let mut admin = world.admin();
    let made = admin.configuration("limits", "{}").await;
    let changed = admin.rewrite("limits", "{\"a\": 1}").await;
    let with_etag = |etag: &str| {
        let mut one = configuration("limits", "{\"a\": 2}");
        one.etag = etag.to_owned();
        update_configuration(one)
    };
    let delete = |etag: &str| pb::DeleteConfigurationRequest {
        name: "limits".to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };

    let old = admin
        .configurations
        .update_configuration(with_etag(&made.etag))
        .await;
    let deleted = admin
        .configurations
        .delete_configuration(delete(&made.etag))
        .await;
    let fresh = admin
        .configurations
        .update_configuration(with_etag(&changed.etag))
        .await;

    assert_eq!(
        old.as_ref().map_err(tonic::Status::code).err(),
        Some(tonic::Code::Aborted)
    );
    assert_eq!(reason(old), "ETAG_MISMATCH");
    assert_eq!(reason(deleted), "ETAG_MISMATCH");
    let fresh = fresh
        .expect("nobody was faster")
        .into_inner()
        .configuration
        .expect("returned");
    let deleted = admin
        .configurations
        .delete_configuration(delete(&fresh.etag))
        .await;
    assert!(deleted.is_ok());
}

pub(crate) async fn when_a_resource_is_missing_then_update_creates_it_only_when_asked(
    world: World,
) {
    let mut admin = world.admin();
    let update = |allow_missing| pb::UpdateConfigurationRequest {
        allow_missing,
        ..update_configuration(configuration("limits", "{}"))
    };

    let refused = admin
        .configurations
        .update_configuration(update(false))
        .await;
    let created = admin
        .configurations
        .update_configuration(update(true))
        .await;

    assert_eq!(reason(refused), "RESOURCE_NOT_FOUND");
    let created = created
        .expect("it may")
        .into_inner()
        .configuration
        .expect("returned");
    assert_eq!(created.revision, 1);
}

pub(crate) async fn when_only_validated_then_nothing_is_stored(world: World) {
    let mut admin = world.admin();
    let made = admin.configuration("limits", "{}").await;
    let create = pb::CreateConfigurationRequest {
        validate_only: true,
        request_id: "once".to_owned(),
        ..create_configuration(configuration("other", "{}"))
    };
    let update = pb::UpdateConfigurationRequest {
        validate_only: true,
        ..update_configuration(configuration("limits", "{\"a\": 1}"))
    };
    let delete = pb::DeleteConfigurationRequest {
        name: "limits".to_owned(),
        validate_only: true,
        ..Default::default()
    };

    let created = admin
        .configurations
        .create_configuration(create)
        .await
        .expect("right");
    admin
        .configurations
        .update_configuration(update)
        .await
        .expect("right");
    admin
        .configurations
        .delete_configuration(delete)
        .await
        .expect("right");

    let created = created.into_inner().configuration.expect("returned");
    assert_eq!((created.uid.as_str(), created.revision), ("", 0));
    assert_eq!(admin.read("limits").await.expect("it exists"), made);
    let other = admin
        .configurations
        .get_configuration(get_configuration("other"))
        .await;
    assert_eq!(reason(other), "RESOURCE_NOT_FOUND");
}

pub(crate) async fn when_fields_are_wrong_then_all_are_named_and_nothing_is_stored(world: World) {
    let mut admin = world.admin();
    let mut wrong = plain("wrong");
    wrong.selector = "site ==! demo".to_owned();
    wrong.services[0].name = "Main".to_owned();
    wrong.services[0].args = vec!["\0".to_owned()];
    wrong.labels = labels(&[("a b", "x")]);
    let create = pb::CreateApplicationRequest {
        request_id: "with space".to_owned(),
        ..create_application(wrong)
    };

    let (reason, fields) = refused(admin.applications.create_application(create).await);
    let listed = admin
        .applications
        .list_applications(pb::ListApplicationsRequest::default());

    let expected = [
        ("labels.a b", "INVALID_LABEL"),
        ("requestId", "INVALID_FORMAT"),
        ("selector", "INVALID_SELECTOR"),
        ("services[0].args[0]", "INVALID_FORMAT"),
        ("services[0].name", "INVALID_NAME"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(
        (reason.as_str(), fields.as_slice()),
        ("FIELD_VIOLATION", expected.as_slice())
    );
    assert!(
        listed
            .await
            .expect("allowed")
            .into_inner()
            .applications
            .is_empty()
    );
}

pub(crate) async fn when_what_may_not_change_changes_then_it_is_refused(world: World) {
    let mut admin = world.admin();
    let create = pb::CreateNodeRequest {
        node: Some(node("edge-1")),
        ..Default::default()
    };
    admin.nodes.create_node(create).await.expect("it is new");
    let mut changed = node("edge-1");
    changed.set_node_mode(resource::NodeMode::Kube);

    let (reason, fields) = refused(
        admin
            .nodes
            .update_node(pb::UpdateNodeRequest {
                node: Some(changed),
                ..Default::default()
            })
            .await,
    );

    assert_eq!(reason, "FIELD_VIOLATION");
    assert_eq!(fields, [("nodeMode".to_owned(), "IMMUTABLE".to_owned())]);
}

pub(crate) async fn when_the_same_create_is_repeated_then_it_returns_what_the_first_made(
    world: World,
) {
    let mut admin = world.admin();
    let create = || pb::CreateSecretRequest {
        request_id: "0198f2c1".to_owned(),
        secret: Some(crate::world::secret("keys", &[("token", "canary")])),
        ..Default::default()
    };
    let made = admin
        .secrets
        .create_secret(create())
        .await
        .expect("it is new")
        .into_inner();
    let update = pb::UpdateSecretRequest {
        secret: Some(crate::world::secret("keys", &[("token", "other")])),
        ..Default::default()
    };
    admin
        .secrets
        .update_secret(update)
        .await
        .expect("it exists");
    let world = world.restarted().await;
    let mut admin = world.admin();

    let again = admin
        .secrets
        .create_secret(create())
        .await
        .expect("the same request");

    assert_eq!(again.into_inner(), made);
}

pub(crate) async fn when_a_request_id_comes_with_another_body_then_it_is_refused(world: World) {
    let mut admin = world.admin();
    let create = |name: &str, text: &str| pb::CreateConfigurationRequest {
        request_id: "once".to_owned(),
        ..create_configuration(configuration(name, text))
    };
    let first = admin
        .configurations
        .create_configuration(create("limits", "{}"))
        .await;
    first.expect("it is new");

    let other_body = admin
        .configurations
        .create_configuration(create("limits", "[]"))
        .await;
    let other_name = admin
        .configurations
        .create_configuration(create("other", "{}"))
        .await;

    assert_eq!(reason(other_body), "REQUEST_ID_REUSED");
    assert_eq!(reason(other_name), "REQUEST_ID_REUSED");
}

pub(crate) async fn when_the_name_is_taken_then_create_is_refused(world: World) {
    let mut admin = world.admin();
    admin.configuration("limits", "{}").await;

    let again = create_configuration(configuration("limits", "{}"));
    let again = admin.configurations.create_configuration(again).await;
    let first = pb::CreateConfigurationRequest {
        namespace: "nowhere".to_owned(),
        ..create_configuration(configuration("limits", "{}"))
    };
    let nowhere = admin.configurations.create_configuration(first).await;

    assert_eq!(reason(again), "RESOURCE_EXISTS");
    assert_eq!(reason(nowhere), "NAMESPACE_NOT_FOUND");
}

pub(crate) async fn when_an_input_is_missing_then_every_missing_one_is_named(world: World) {
    let mut admin = world.admin();

    let created = admin
        .applications
        .create_application(create_application(watcher()))
        .await;

    let problem = Problem::from_status(&created.expect_err("refused"));
    let mut subjects: Vec<_> = problem
        .preconditions
        .into_iter()
        .map(|one| one.subject)
        .collect();
    subjects.sort();
    assert_eq!(problem.reason, "MISSING_REFERENCE");
    assert_eq!(
        subjects,
        ["default/configuration/limits", "default/secret/keys"]
    );
}

pub(crate) async fn when_an_input_is_in_use_then_its_users_are_named(world: World) {
    let mut admin = world.admin();
    admin.inputs().await;
    let created = admin
        .applications
        .create_application(create_application(watcher()))
        .await;
    created.expect("its inputs exist");
    let delete = |force| pb::DeleteConfigurationRequest {
        name: "limits".to_owned(),
        force,
        ..Default::default()
    };

    let refused = admin
        .configurations
        .delete_configuration(delete(false))
        .await;
    let forced = admin
        .configurations
        .delete_configuration(delete(true))
        .await;

    let problem = Problem::from_status(&refused.expect_err("it is in use"));
    let subjects: Vec<_> = problem
        .preconditions
        .into_iter()
        .map(|one| one.subject)
        .collect();
    assert_eq!(problem.reason, "IN_USE");
    assert_eq!(subjects, ["default/application/watcher"]);
    let about = problem.resource.expect("it is about something");
    assert_eq!(
        (about.kind.as_str(), about.name.as_str()),
        ("Configuration", "default/limits")
    );
    assert!(forced.is_ok());
}

pub(crate) async fn when_a_node_is_deleted_then_its_device_is_told_in_the_same_commit(
    world: World,
) {
    let mut admin = world.admin();
    let create = pb::CreateNodeRequest {
        node: Some(node("edge-1")),
        ..Default::default()
    };
    let made = admin.nodes.create_node(create).await.expect("it is new");
    let uid = made.into_inner().node.expect("returned").uid;
    let delete = pb::DeleteNodeRequest {
        name: "edge-1".to_owned(),
        remove_data: true,
        ..Default::default()
    };

    admin.nodes.delete_node(delete).await.expect("it exists");

    let record = world
        .store
        .record(&farewell("default", &uid))
        .await
        .expect("the store works");
    assert_eq!(record.expect("it is told").value.as_ref(), [1]);
}

pub(crate) async fn when_many_update_at_once_then_nothing_is_lost(world: World) {
    let mut admin = world.admin();
    admin.configuration("limits", "{}").await;
    let writes = (0..8).map(|index| {
        let mut admin = world.admin();
        async move {
            admin
                .rewrite("limits", &format!("{{\"a\": {index}}}"))
                .await
                .revision
        }
    });

    let mut revisions = futures::future::join_all(writes).await;

    revisions.sort_unstable();
    assert_eq!(revisions, (2..10).collect::<Vec<_>>());
}

pub(crate) async fn when_operations_are_asked_of_a_node_then_it_must_exist(world: World) {
    let mut admin = world.admin();
    let retry = |name: &str| pb::RetryApplicationRequest {
        name: name.to_owned(),
        application: "watcher".to_owned(),
        ..Default::default()
    };
    let join = |seconds| pb::CreateJoinTokenRequest {
        name: "edge-1".to_owned(),
        lifetime: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let missing = admin.nodes.retry_application(retry("edge-1")).await;
    let create = pb::CreateNodeRequest {
        node: Some(node("edge-1")),
        ..Default::default()
    };
    admin.nodes.create_node(create).await.expect("it is new");

    let retried = admin
        .nodes
        .retry_application(retry("edge-1"))
        .await
        .expect("it exists");
    let joined = admin
        .nodes
        .create_join_token(join(60))
        .await
        .expect("it exists");
    let negative = admin.nodes.create_join_token(join(-1)).await;

    assert_eq!(reason(missing), "RESOURCE_NOT_FOUND");
    assert_eq!(retried.into_inner().generation, 7);
    assert_eq!(joined.into_inner().command, "join edge-1");
    let lifetime = ("lifetime".to_owned(), "OUT_OF_BOUNDS".to_owned());
    assert_eq!(
        refused(negative),
        ("FIELD_VIOLATION".to_owned(), vec![lifetime])
    );
}
