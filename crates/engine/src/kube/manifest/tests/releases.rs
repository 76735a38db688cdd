//! What replaces pods, and what does not.

use baetyl_proto::resource::v1 as pb;

use super::case;
use super::rig::{Fixture, template};
use crate::desired::InputKey;
use crate::kube::manifest::inputs_hash;
use crate::kube::object::Object;

/// A change of an application.
type Edit = fn(&mut pb::Application);

/// Objects of kinds that hold inputs.
fn is_input(object: &Object) -> bool {
    ["ConfigMap", "Secret"].contains(&object.key().kind.as_str())
}

fn without_inputs(objects: &[Object]) -> Vec<&Object> {
    objects.iter().filter(|object| !is_input(object)).collect()
}

#[test]
fn when_a_reloaded_input_changes_then_only_its_own_object_does() {
    let before = Fixture::read(case("configurations"));
    let mut after = before.clone();
    after.change(&InputKey::configuration("reloaded"), "limits.json", "{}");

    let (old, new) = (before.objects(), after.objects());

    assert_eq!(before.release().unwrap(), after.release().unwrap());
    assert_eq!(without_inputs(&old), without_inputs(&new));
    let keys = |objects: &[Object]| {
        objects
            .iter()
            .map(|one| one.key().clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&old), keys(&new));
    let changed: Vec<_> = old
        .iter()
        .zip(&new)
        .filter(|(old, new)| old != new)
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let application = &before.material.application;
    assert_ne!(
        inputs_hash(application, &before.pin),
        inputs_hash(application, &after.pin)
    );
}

#[test]
fn when_credentials_change_then_only_their_secrets_do() {
    let before = Fixture::read(case("registries"));
    let mut after = before.clone();
    after.change(&InputKey::registry("private"), "password", "other");
    for credentials in after.material.credentials.values_mut() {
        credentials.chain_pem = "RENEWED".to_owned();
    }

    let (old, new) = (before.objects(), after.objects());

    assert_eq!(without_inputs(&old), without_inputs(&new));
    let changed = old.iter().zip(&new).filter(|(old, new)| old != new);
    assert_eq!(changed.count(), 2);
}

#[test]
fn when_a_restarting_input_changes_then_the_template_does() {
    let inputs = [
        ("restarted", "a.conf"),
        // Mounted to be reloaded, and in a variable.
        ("both", "level"),
    ];
    for (input, key) in inputs {
        let before = Fixture::read(case("configurations"));
        let mut after = before.clone();
        after.change(&InputKey::configuration(input), key, "other");

        assert_ne!(
            before.release().unwrap(),
            after.release().unwrap(),
            "{input}"
        );
        let (old, new) = (template(&before.objects()), template(&after.objects()));
        assert_ne!(old["spec"]["volumes"], new["spec"]["volumes"], "{input}");
        let application = &before.material.application;
        assert_eq!(
            inputs_hash(application, &before.pin),
            inputs_hash(application, &after.pin)
        );
    }
}

#[test]
fn when_code_changes_then_the_template_does() {
    let before = Fixture::read(case("function"));
    let mut after = before.clone();
    after.change(
        &InputKey::configuration("sensors-code"),
        "window.py",
        "other",
    );

    assert_ne!(before.release().unwrap(), after.release().unwrap());
    assert_ne!(template(&before.objects()), template(&after.objects()));
}

#[test]
fn when_what_pods_do_not_see_changes_then_the_release_stays() {
    let edits: [(&str, Edit); 11] = [
        ("labels", |app| {
            drop(app.labels.insert("a".into(), "b".into()))
        }),
        ("description", |app| app.description = "other".into()),
        ("selector", |app| app.selector = "other".into()),
        ("replicas", |app| app.replicas = Some(5)),
        ("soak", |app| {
            app.update.get_or_insert_default().soak = Some(prost_types::Duration {
                seconds: 7,
                nanos: 0,
            });
        }),
        ("budget", |app| {
            app.disruption_budget.get_or_insert_default().min_available = "1".into();
        }),
        ("autoscaling", |app| {
            app.autoscaling = Some(pb::Autoscaling {
                max_replicas: 2,
                ..Default::default()
            });
        }),
        ("conflicts", |app| app.force_conflicts = true),
        ("service port", |app| {
            app.services[0].ports[0].service_port = 81
        }),
        ("node port", |app| {
            app.services[0].ports[0].node_port = 30081
        }),
        ("revision", |app| app.revision = 9),
    ];
    let before = Fixture::read(case("ports"));
    for (what, edit) in edits {
        let mut after = before.clone();
        edit(&mut after.material.application);

        assert_eq!(
            before.release().unwrap(),
            after.release().unwrap(),
            "{what}"
        );
        assert_eq!(
            template(&before.objects()),
            template(&after.objects()),
            "{what}"
        );
    }
}

#[test]
fn when_what_pods_see_changes_then_the_release_does() {
    let edits: [(&str, Edit); 7] = [
        ("image", |app| app.services[0].image = "nginx:2".into()),
        ("argument", |app| app.services[0].args.push("more".into())),
        ("grace", |app| {
            app.services[0].stop_grace_period = Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            });
        }),
        ("container port", |app| {
            app.services[0].ports[0].container_port = 81
        }),
        ("priority", |app| app.priority_class = "high".into()),
        ("account", |app| app.service_account = "robot".into()),
        ("selector of machines", |app| {
            app.machine_selector = "gpu".into()
        }),
    ];
    let before = Fixture::read(case("ports"));
    for (what, edit) in edits {
        let mut after = before.clone();
        edit(&mut after.material.application);

        assert_ne!(
            before.release().unwrap(),
            after.release().unwrap(),
            "{what}"
        );
        let [old, new] = [&before, &after].map(|one| template(&one.objects())["spec"].clone());
        assert_ne!(old, new, "{what}");
    }
}

#[test]
fn when_it_is_tried_again_then_the_release_changes() {
    let before = Fixture::read(case("deployment"));
    let mut after = before.clone();
    after.pin.retry = 1;

    assert_ne!(before.release().unwrap(), after.release().unwrap());
}

#[test]
fn when_a_jobs_policy_changes_then_it_is_another_job() {
    let before = Fixture::read(case("job"));
    let mut after = before.clone();
    after
        .material
        .application
        .job
        .get_or_insert_default()
        .completions = Some(5);

    let names = [&before, &after].map(|one| {
        let objects = one.objects();
        let job = objects.iter().find(|object| object.key().kind == "Job");
        job.expect("a job").key().name.clone()
    });
    assert_ne!(names[0], names[1]);
}

#[test]
fn when_a_timetable_changes_then_pods_stay() {
    let before = Fixture::read(case("cronjob"));
    let mut after = before.clone();
    let cron = after.material.application.cron.as_mut().unwrap();
    cron.schedule = "@daily".into();

    assert_eq!(before.release().unwrap(), after.release().unwrap());
}

#[test]
fn when_only_the_revision_of_functions_differs_then_each_has_a_file_of_its_own() {
    let before = Fixture::read(case("function"));
    let mut after = before.clone();
    after.material.revision = 4;

    assert_eq!(before.release().unwrap(), after.release().unwrap());
    let files = [&before, &after].map(|one| {
        let objects = one.objects();
        let file = objects
            .into_iter()
            .find(|one| one.key().name.contains("-runtime-"));
        file.expect("the file of the runtime")
    });
    assert_ne!(files[0].key(), files[1].key());
    assert_ne!(files[0].body()["data"], files[1].body()["data"]);
}

#[test]
fn when_a_chart_or_raw_objects_change_then_their_release_does() {
    let mut fixture = Fixture::read(case("deployment"));
    fixture
        .material
        .application
        .set_type(pb::ApplicationType::Helm);
    let first = fixture.release().unwrap();

    fixture.pin.template_digest = baetyl_shadow::Digest::of(b"other");
    let second = fixture.release().unwrap();
    let key = InputKey::configuration("chart");
    fixture
        .pin
        .inputs
        .insert(key, baetyl_shadow::Digest::of(b"chart"));
    let third = fixture.release().unwrap();

    assert_eq!(first.len(), 12);
    assert!(first != second && second != third && first != third);
}
