//! Revisions and rollback.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;

use crate::world::{World, create_application, plain, reason, refused, secret, watcher};

fn list(kind: &str, name: &str) -> pb::ListRevisionsRequest {
    pb::ListRevisionsRequest {
        kind: kind.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    }
}

fn rollback(kind: &str, name: &str, revision: u64) -> pb::RollbackRequest {
    pb::RollbackRequest {
        kind: kind.to_owned(),
        name: name.to_owned(),
        revision,
        ..Default::default()
    }
}

pub(crate) async fn when_a_resource_changes_then_its_history_tells_what_and_who(world: World) {
    let mut admin = world.admin();
    admin.configuration("limits", "{\"a\": 1}").await;
    let mut ci = world.caller("ci", "default").await;
    ci.rewrite("limits", "{\"a\": 2}").await;
    admin.rewrite("limits", "{\"a\": 3}").await;

    let first = pb::ListRevisionsRequest {
        page_size: 2,
        ..list("configuration", "limits")
    };
    let first = admin
        .revisions
        .list_revisions(first)
        .await
        .expect("it exists")
        .into_inner();
    let second = pb::ListRevisionsRequest {
        page_size: 2,
        page_token: first.next_page_token.clone(),
        ..list("configuration", "limits")
    };
    let second = admin
        .revisions
        .list_revisions(second)
        .await
        .expect("it goes on")
        .into_inner();
    let read = pb::GetRevisionRequest {
        kind: "configuration".to_owned(),
        name: "limits".to_owned(),
        revision: 2,
        ..Default::default()
    };
    let read = admin
        .revisions
        .get_revision(read)
        .await
        .expect("it is kept")
        .into_inner();

    let told = first.revisions.iter().chain(&second.revisions).map(|one| {
        let change = one.changes.first().map(|change| change.new_value.as_str());
        (
            one.revision,
            one.author.as_str(),
            change.unwrap_or_default(),
            one.current,
        )
    });
    let expected = [
        (3, "admin", "3", true),
        (2, "ci", "2", false),
        (1, "admin", "", false),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(second.next_page_token, "");
    assert_eq!(read.revision.as_ref(), first.revisions.get(1));
    let Some(pb::document::Resource::Configuration(document)) =
        read.document.and_then(|document| document.resource)
    else {
        panic!("it is a configuration");
    };
    assert_eq!(
        (document.data["limits.json"].as_str(), document.revision),
        ("{\"a\": 2}", 2)
    );
    let unknown = refused(
        admin
            .revisions
            .list_revisions(list("namespace", "default"))
            .await,
    );
    assert_eq!(unknown.1, [("kind".to_owned(), "UNKNOWN_VALUE".to_owned())]);
}

pub(crate) async fn when_rolled_back_then_the_earlier_spec_is_a_new_revision(world: World) {
    let mut admin = world.admin();
    admin.configuration("limits", "{\"a\": 1}").await;
    let only = admin
        .revisions
        .rollback(rollback("configuration", "limits", 0))
        .await;
    admin.rewrite("limits", "{\"a\": 2}").await;
    admin.rewrite("limits", "{\"a\": 3}").await;

    let check = pb::RollbackRequest {
        validate_only: true,
        ..rollback("configuration", "limits", 1)
    };
    let checked = admin
        .revisions
        .rollback(check)
        .await
        .expect("right")
        .into_inner();
    let unchanged = admin.read("limits").await.expect("it exists");
    let before = admin
        .revisions
        .rollback(rollback("configuration", "limits", 0))
        .await;
    let again = admin
        .revisions
        .rollback(rollback("configuration", "limits", 2))
        .await;
    let read = admin.read("limits").await.expect("it exists");
    let never = admin
        .revisions
        .rollback(rollback("configuration", "limits", 9))
        .await;

    let checked = checked.result.expect("it is told");
    assert_eq!(
        (checked.action(), checked.revision),
        (pb::ApplyAction::Changed, 4)
    );
    assert_eq!(checked.changes[0].path, "data.limits.json: a");
    assert_eq!(unchanged.revision, 3);
    let before = before
        .expect("right")
        .into_inner()
        .result
        .expect("it is told");
    assert_eq!(
        (before.action(), before.revision),
        (pb::ApplyAction::Changed, 4)
    );
    let again = again
        .expect("right")
        .into_inner()
        .result
        .expect("it is told");
    assert_eq!(
        (again.action(), again.revision),
        (pb::ApplyAction::Unchanged, 4)
    );
    assert_eq!(
        (read.data["limits.json"].as_str(), read.revision),
        ("{\"a\": 2}", 4)
    );
    assert_eq!(reason(never), "REVISION_NOT_FOUND");
    assert_eq!(reason(only), "REVISION_NOT_FOUND");
}

pub(crate) async fn when_a_rollback_refers_to_what_is_gone_then_it_is_refused(world: World) {
    let mut admin = world.admin();
    admin.inputs().await;
    let create = create_application(watcher());
    admin
        .applications
        .create_application(create)
        .await
        .expect("its inputs exist");
    let update = pb::UpdateApplicationRequest {
        application: Some(plain("watcher")),
        ..Default::default()
    };
    admin
        .applications
        .update_application(update)
        .await
        .expect("it exists");
    let delete = pb::DeleteConfigurationRequest {
        name: "limits".to_owned(),
        ..Default::default()
    };
    admin
        .configurations
        .delete_configuration(delete)
        .await
        .expect("nothing uses it now");

    let outcome = admin
        .revisions
        .rollback(rollback("application", "watcher", 1))
        .await;

    assert_eq!(reason(outcome), "MISSING_REFERENCE");
}

pub(crate) async fn when_a_secret_is_rolled_back_then_its_values_are_exactly_those(world: World) {
    let mut admin = world.admin();
    let create = pb::CreateSecretRequest {
        secret: Some(secret("keys", &[("first", "1")])),
        ..Default::default()
    };
    admin
        .secrets
        .create_secret(create)
        .await
        .expect("it is new");
    let update = pb::UpdateSecretRequest {
        secret: Some(secret("keys", &[("second", "2")])),
        ..Default::default()
    };
    admin
        .secrets
        .update_secret(update)
        .await
        .expect("it exists");

    let told = admin
        .revisions
        .rollback(rollback("secret", "keys", 1))
        .await;
    let read = pb::GetSecretRequest {
        name: "keys".to_owned(),
        include_values: true,
        ..Default::default()
    };
    let read: resource::Secret = admin
        .secrets
        .get_secret(read)
        .await
        .expect("it exists")
        .into_inner()
        .secret
        .expect("it");

    let told = told
        .expect("right")
        .into_inner()
        .result
        .expect("it is told");
    assert_eq!(told.changes[0].old_value, "\"(hidden)\"");
    assert_eq!(
        (read.keys.as_slice(), read.revision),
        (["first".to_owned()].as_slice(), 3)
    );
    assert_eq!(read.data["first"].as_ref(), b"1");
}
