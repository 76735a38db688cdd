//! Whole sets in one commit.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use baetyl_service_kit::fault::Problem;
use pb::ApplyAction::{Changed, Created, Deleted, Unchanged};
use pb::document::Resource;

use crate::world::{
    Clients, World, configuration, get_configuration, labels, node, plain, reason, refused, secret,
    watcher,
};

fn set(resources: Vec<Resource>) -> pb::ApplyRequest {
    let document = |resource| pb::Document {
        resource: Some(resource),
    };
    pb::ApplyRequest {
        documents: resources.into_iter().map(document).collect(),
        ..Default::default()
    }
}

/// The application before its inputs: the order does not matter.
fn watcher_set(limits: &str) -> pb::ApplyRequest {
    set(vec![
        Resource::Application(watcher()),
        Resource::Configuration(configuration("limits", limits)),
        Resource::Secret(secret("keys", &[("token", "canary")])),
    ])
}

async fn applied(clients: &mut Clients, request: pb::ApplyRequest) -> pb::ApplyResponse {
    clients
        .sets
        .apply(request)
        .await
        .expect("the set is right")
        .into_inner()
}

fn actions(response: &pb::ApplyResponse) -> Vec<(&str, pb::ApplyAction, u64)> {
    let results = response.results.iter();
    results
        .map(|one| (one.name.as_str(), one.action(), one.revision))
        .collect()
}

pub(crate) async fn when_a_set_is_applied_then_references_are_resolved_inside(world: World) {
    let mut admin = world.admin();

    let response = applied(&mut admin, watcher_set("{}")).await;

    let expected = [
        ("watcher", Created, 1),
        ("limits", Created, 1),
        ("keys", Created, 1),
    ];
    assert_eq!(actions(&response), expected);
    assert_eq!(response.results[0].kind, "Application");
    assert!(admin.read("limits").await.is_ok());
}

pub(crate) async fn when_one_document_is_wrong_then_nothing_is_stored_and_all_are_named(
    world: World,
) {
    let mut admin = world.admin();
    let mut wrong = plain("wrong");
    wrong.selector = "site ==! demo".to_owned();
    wrong.services.clear();
    let mut request = set(vec![
        Resource::Configuration(configuration("limits", "{}")),
        Resource::Application(wrong),
        Resource::Node(node("Edge")),
        Resource::Configuration(configuration("limits", "[]")),
    ]);
    request.documents.push(pb::Document::default());

    let (reason, fields) = refused(admin.sets.apply(request).await);
    let stored = admin.read("limits").await;

    let expected = [
        ("documents[1].selector", "INVALID_SELECTOR"),
        ("documents[1].services", "REQUIRED"),
        ("documents[2].name", "INVALID_NAME"),
        ("documents[3].name", "DUPLICATE"),
        ("documents[4]", "REQUIRED"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(
        (reason.as_str(), fields.as_slice()),
        ("FIELD_VIOLATION", expected.as_slice())
    );
    assert!(stored.is_err(), "nothing is stored");
}

pub(crate) async fn when_an_input_is_nowhere_then_the_set_is_refused(world: World) {
    let mut admin = world.admin();
    let request = set(vec![
        Resource::Application(watcher()),
        Resource::Configuration(configuration("limits", "{}")),
    ]);

    let outcome = admin.sets.apply(request).await;

    let problem = Problem::from_status(&outcome.expect_err("refused"));
    let subjects: Vec<_> = problem
        .preconditions
        .into_iter()
        .map(|one| one.subject)
        .collect();
    assert_eq!(problem.reason, "MISSING_REFERENCE");
    assert_eq!(subjects, ["default/secret/keys"]);
    assert!(admin.read("limits").await.is_err(), "nothing is stored");
}

pub(crate) async fn when_a_set_is_dry_run_then_it_tells_the_difference_and_stores_nothing(
    world: World,
) {
    let mut admin = world.admin();
    applied(&mut admin, watcher_set("{\"temperature\": 31.5}")).await;
    let before = admin.read("limits").await.expect("it exists");
    let mut request = watcher_set("{\"temperature\": 30.0}");
    request.validate_only = true;
    let mut second = plain("second");
    second.description = "new".to_owned();
    request.documents.push(pb::Document {
        resource: Some(Resource::Application(second)),
    });

    let response = applied(&mut admin, request).await;

    let expected = [
        ("watcher", Unchanged, 1),
        ("limits", Changed, 2),
        ("keys", Unchanged, 1),
        ("second", Created, 1),
    ];
    assert_eq!(actions(&response), expected);
    assert_eq!(response.affected_nodes, ["edge-1"]);
    assert_eq!(response.affected_node_count, 1);
    assert_eq!(response.results[0].note, "reloads limits in place");
    let change = pb::FieldChange {
        path: "data.limits.json: temperature".to_owned(),
        old_value: "31.5".to_owned(),
        new_value: "30.0".to_owned(),
    };
    assert_eq!(response.results[1].changes, [change]);
    assert_eq!(admin.read("limits").await.expect("it exists"), before);
}

pub(crate) async fn when_the_same_set_is_applied_again_then_nothing_changes(world: World) {
    let mut admin = world.admin();
    applied(&mut admin, watcher_set("{}")).await;

    let again = applied(&mut admin, watcher_set("{}")).await;

    assert!(
        again
            .results
            .iter()
            .all(|one| one.action() == Unchanged && one.revision == 1)
    );
    assert_eq!(again.affected_node_count, 0);
}

pub(crate) async fn when_an_etag_in_a_set_is_old_then_nothing_is_stored(world: World) {
    let mut admin = world.admin();
    let made = admin.configuration("limits", "{}").await;
    admin.rewrite("limits", "[]").await;
    let mut old = configuration("limits", "[1]");
    old.etag = made.etag;

    let outcome = admin.sets.apply(set(vec![
        Resource::Configuration(configuration("other", "{}")),
        Resource::Configuration(old),
    ]));

    assert_eq!(reason(outcome.await), "ETAG_MISMATCH");
    let other = admin
        .configurations
        .get_configuration(get_configuration("other"))
        .await;
    assert_eq!(reason(other), "RESOURCE_NOT_FOUND");
}

pub(crate) async fn when_a_set_has_a_tenant_then_it_holds_the_rest(world: World) {
    let mut admin = world.admin();
    let plant = resource::Namespace {
        name: "plant".to_owned(),
        ..Default::default()
    };
    let mut request = set(vec![
        Resource::Configuration(configuration("limits", "{}")),
        Resource::Namespace(plant),
    ]);
    request.namespace = "plant".to_owned();
    let mut nowhere = set(vec![Resource::Configuration(configuration("limits", "{}"))]);
    nowhere.namespace = "nowhere".to_owned();

    let response = applied(&mut admin, request).await;
    let nowhere = admin.sets.apply(nowhere).await;

    assert_eq!(response.results[0].namespace, "plant");
    assert_eq!(
        actions(&response),
        [("limits", Created, 1), ("plant", Created, 1)]
    );
    assert_eq!(reason(nowhere), "NAMESPACE_NOT_FOUND");
}

pub(crate) async fn when_pruned_then_what_is_left_out_goes_and_what_is_used_stays(world: World) {
    let mut admin = world.admin();
    let team = labels(&[("team", "a")]);
    let mut watcher = watcher();
    watcher.labels = team.clone();
    let labelled = |name: &str| {
        let mut one = configuration(name, "{}");
        one.labels = labels(&[("team", "a")]);
        one
    };
    let mut old = plain("old");
    old.labels = team;
    old.services[0]
        .program
        .as_mut()
        .expect("it has one")
        .configuration = "code".to_owned();
    let everything = set(vec![
        Resource::Application(watcher.clone()),
        Resource::Configuration(labelled("limits")),
        Resource::Secret(secret("keys", &[("token", "canary")])),
        Resource::Application(old),
        Resource::Configuration(labelled("code")),
        Resource::Configuration(configuration("unlabelled", "{}")),
    ]);
    applied(&mut admin, everything).await;
    let mut rest = set(vec![Resource::Application(watcher)]);
    rest.prune_selector = "team = a".to_owned();

    let response = applied(&mut admin, rest).await;

    let expected = [
        ("watcher", Unchanged, 1),
        ("old", Deleted, 0),
        ("code", Deleted, 0),
        ("limits", Unchanged, 1),
    ];
    assert_eq!(actions(&response), expected);
    assert_eq!(
        response.results[3].note,
        "kept: application watcher uses it"
    );
    assert!(admin.read("code").await.is_err());
    assert!(admin.read("limits").await.is_ok());
    assert!(admin.read("unlabelled").await.is_ok());
}

pub(crate) async fn when_a_set_is_too_much_then_it_is_refused(world: World) {
    let mut admin = world.admin();
    let many = (0..1001)
        .map(|index| Resource::Configuration(configuration(&format!("c{index:04}"), "{}")));
    let mut many = set(many.collect());
    many.prune_selector = "=".to_owned();
    let large = "x".repeat(4_000_000);
    let large =
        (0..5).map(|index| Resource::Configuration(configuration(&format!("c{index:04}"), &large)));

    let many = refused(admin.sets.apply(many).await).1;
    let none = refused(admin.sets.apply(set(Vec::new())).await).1;
    let large = admin.sets.apply(set(large.collect())).await;

    let expected = [
        ("documents", "TOO_MANY"),
        ("pruneSelector", "INVALID_SELECTOR"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(many, expected);
    assert_eq!(none, [("documents".to_owned(), "REQUIRED".to_owned())]);
    let code = large.expect_err("it is refused before it is read").code();
    assert_eq!(code, tonic::Code::OutOfRange);
}

pub(crate) async fn when_what_objects_are_made_of_changes_then_they_are_rendered_anew(
    world: World,
) {
    let mut admin = world.admin();
    let mut objects = resource::Application {
        name: "objects".to_owned(),
        manifest: Some(resource::ManifestSource {
            configuration: "limits".to_owned(),
            keys: Vec::new(),
        }),
        ..Default::default()
    };
    objects.set_type(resource::ApplicationType::Manifest);
    let documents = |text: &str| {
        set(vec![
            Resource::Application(objects.clone()),
            Resource::Configuration(configuration("limits", text)),
        ])
    };
    admin.sets.apply(documents("one")).await.expect("right");

    let told = admin.sets.apply(documents("two")).await.expect("right");

    let result = &told.into_inner().results[0];
    assert_eq!(result.note, "renders limits anew");
    assert_eq!(result.action(), pb::ApplyAction::Unchanged);
}
