//! Lists in pages.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;

use crate::world::{Clients, World, configuration, create_configuration, labels, next, refused};

fn page(size: i32, token: &str) -> pb::ListConfigurationsRequest {
    pb::ListConfigurationsRequest {
        page_size: size,
        page_token: token.to_owned(),
        ..Default::default()
    }
}

async fn listed(
    clients: &mut Clients,
    request: pb::ListConfigurationsRequest,
) -> pb::ListConfigurationsResponse {
    let listed = clients.configurations.list_configurations(request).await;
    listed.expect("the list is allowed").into_inner()
}

fn names(configurations: &[resource::Configuration]) -> Vec<&str> {
    configurations.iter().map(|one| one.name.as_str()).collect()
}

async fn five(world: &World) -> Clients {
    let mut admin = world.admin();
    for name in ["aa", "bb", "cc", "dd", "ee"] {
        admin.configuration(name, "{}").await;
    }
    admin
}

pub(crate) async fn when_pages_are_read_then_writes_in_between_do_no_harm(world: World) {
    let mut admin = five(&world).await;

    let first = listed(&mut admin, page(2, "")).await;
    admin.configuration("ab", "{}").await;
    let delete = pb::DeleteConfigurationRequest {
        name: "bb".to_owned(),
        ..Default::default()
    };
    admin
        .configurations
        .delete_configuration(delete)
        .await
        .expect("it exists");
    let second = listed(&mut admin, page(2, &first.next_page_token)).await;
    let third = listed(&mut admin, page(2, &second.next_page_token)).await;

    assert_eq!(names(&first.configurations), ["aa", "bb"]);
    assert_eq!(names(&second.configurations), ["cc", "dd"]);
    assert_eq!(names(&third.configurations), ["ee"]);
    assert_eq!(third.next_page_token, "");
    assert_eq!(
        first.resume_token, third.resume_token,
        "the list stands where it began"
    );
}

pub(crate) async fn when_listed_backward_then_the_pages_join(world: World) {
    let mut admin = five(&world).await;
    let backward = |token: &str| pb::ListConfigurationsRequest {
        order_by: "name desc".to_owned(),
        ..page(2, token)
    };

    let first = listed(&mut admin, backward("")).await;
    let second = listed(&mut admin, backward(&first.next_page_token)).await;
    let third = listed(&mut admin, backward(&second.next_page_token)).await;

    assert_eq!(names(&first.configurations), ["ee", "dd"]);
    assert_eq!(names(&second.configurations), ["cc", "bb"]);
    assert_eq!(names(&third.configurations), ["aa"]);
    assert_eq!(third.next_page_token, "");
}

pub(crate) async fn when_filtered_then_only_matches_come(world: World) {
    let mut admin = five(&world).await;
    for (name, tier) in [("ff", "a"), ("gg", "b"), ("hh", "a")] {
        let mut one = configuration(name, "{}");
        one.labels = labels(&[("tier", tier)]);
        let made = admin
            .configurations
            .create_configuration(create_configuration(one))
            .await;
        made.expect("it is new");
    }
    let filtered = |size| pb::ListConfigurationsRequest {
        filter: "tier in (a)".to_owned(),
        ..page(size, "")
    };

    let all = listed(&mut admin, filtered(0)).await;
    let first = listed(&mut admin, filtered(1)).await;
    let second = pb::ListConfigurationsRequest {
        page_token: first.next_page_token.clone(),
        ..filtered(1)
    };
    let second = listed(&mut admin, second).await;

    assert_eq!(names(&all.configurations), ["ff", "hh"]);
    assert_eq!(names(&first.configurations), ["ff"]);
    assert_eq!(names(&second.configurations), ["hh"]);
    assert_eq!(second.next_page_token, "");
}

pub(crate) async fn when_bodies_are_large_then_pages_are_short(world: World) {
    let mut admin = world.admin();
    let large = "x".repeat(3 * 1024 * 1024);
    for name in ["aa", "bb", "cc"] {
        admin.configuration(name, &large).await;
    }

    let mut token = String::new();
    let mut found = Vec::new();
    for _ in 0..3 {
        let list = listed(&mut admin, page(100, &token)).await;
        assert_eq!(
            list.configurations.len(),
            1,
            "two would not fit into a message"
        );
        found.extend(list.configurations.into_iter().map(|one| one.name));
        token = list.next_page_token;
    }

    assert_eq!(found, ["aa", "bb", "cc"]);
    assert_eq!(token, "");
}

pub(crate) async fn when_a_list_request_is_wrong_then_every_field_is_named(world: World) {
    let mut admin = five(&world).await;
    let first = listed(&mut admin, page(2, "")).await;
    let wrong = pb::ListConfigurationsRequest {
        filter: "site = (".to_owned(),
        order_by: "age".to_owned(),
        ..page(1001, &first.next_page_token)
    };

    let (reason, fields) = refused(admin.configurations.list_configurations(wrong).await);
    let foreign = pb::ListSecretsRequest {
        page_token: first.next_page_token,
        ..Default::default()
    };
    let foreign = refused(admin.secrets.list_secrets(foreign).await).1;

    let expected = [
        ("filter", "INVALID_SELECTOR"),
        ("orderBy", "UNKNOWN_VALUE"),
        ("pageSize", "OUT_OF_BOUNDS"),
        ("pageToken", "INVALID_FORMAT"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(
        (reason.as_str(), fields.as_slice()),
        ("FIELD_VIOLATION", expected.as_slice())
    );
    assert_eq!(
        foreign,
        [("pageToken".to_owned(), "INVALID_FORMAT".to_owned())]
    );
}

pub(crate) async fn when_listed_then_a_watch_goes_on_from_there(world: World) {
    let mut admin = five(&world).await;
    let list = listed(&mut admin, page(0, "")).await;
    admin.rewrite("cc", "{\"a\": 1}").await;

    let watch = pb::WatchConfigurationsRequest {
        resume_token: list.resume_token,
        ..Default::default()
    };
    let mut stream = admin
        .configurations
        .watch_configurations(watch)
        .await
        .expect("it resumes")
        .into_inner();
    let event = next(&mut stream).await.expect("an event");

    let changed = event.configuration.as_ref().expect("it is there");
    assert_eq!(event.r#type(), pb::EventType::Modified);
    assert_eq!((changed.name.as_str(), changed.revision), ("cc", 2));
}
