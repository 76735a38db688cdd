//! What holds for every application.

use std::collections::{BTreeMap, BTreeSet};

use baetyl_model::Application;
use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Digest;
use proptest::prelude::*;
use prost::Message as _;

use super::CASES;
use super::rig::{Fixture, template};
use crate::desired::InputKey;
use crate::kube::manifest::inputs;
use crate::kube::material::Input;
use crate::kube::names;
use crate::kube::object::{Object, ObjectKey};

/// Few letters, so that names of different things meet.
const NAME: &str = "[ab][ab.-]{0,6}[ab]";
const LABEL: &str = "[ab][ab-]{0,4}[ab]";

#[test]
fn when_the_same_is_rendered_twice_then_it_is_equal() {
    for (name, documents) in CASES {
        let [one, other] = [(); 2].map(|()| Fixture::read(documents));
        assert_eq!(one.objects(), other.objects(), "{name}");
        assert_eq!(one.release(), other.release(), "{name}");
    }
}

#[test]
fn when_inputs_are_sorted_into_both_kinds_then_the_model_agrees() {
    for (name, documents) in CASES {
        let application = Fixture::read(documents).material.application;
        let model = Application::decode(&application.encode_to_vec()).unwrap();
        let restarted: BTreeSet<String> = model
            .inputs()
            .into_iter()
            .filter(|input| input.on_change == pb::OnChange::Restart)
            .map(|input| format!("{}/{}", input.kind.word(), input.name))
            .collect();

        let own = inputs::restarted(&application);

        assert_eq!(
            own.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            restarted,
            "{name}"
        );
    }
}

#[test]
fn when_objects_are_rendered_then_all_are_ours_and_in_one_namespace() {
    for (name, documents) in CASES {
        let fixture = Fixture::read(documents);
        let release = fixture.release().unwrap();
        let namespace = match fixture.material.application.kube_namespace.as_str() {
            "" => "baetyl-edge",
            given => given,
        };
        for object in fixture.objects() {
            check_names(&object);
            assert_eq!(object.key().namespace.as_deref(), Some(namespace), "{name}");
            let labels = &object.body()["metadata"]["labels"];
            let application = &fixture.material.application.name;
            for (label, value) in names::labels(&super::rig::settings().owner, application) {
                assert_eq!(labels[&label], value, "{name}: {object:?}");
            }
        }
        let pods = template(&fixture.objects());
        assert_eq!(
            pods["metadata"]["labels"][names::RELEASE_LABEL],
            release,
            "{name}"
        );
    }
}

fn check_names(object: &Object) {
    let key = object.key();
    assert!(names::is_subdomain(&key.name), "{key}");
    let must_be_label = ["Service", "StatefulSet", "CronJob", "Job"].contains(&key.kind.as_str());
    assert!(!must_be_label || names::is_label(&key.name), "{key}");
}

fn keys(objects: &[Object]) -> BTreeSet<ObjectKey> {
    objects.iter().map(|object| object.key().clone()).collect()
}

/// The inputs that the applications below choose of.
fn inputs() -> BTreeMap<InputKey, Input> {
    let keys = ["a", "b", "a-a", "a.b", "a..b", "b-a"]
        .map(|name| [InputKey::configuration(name), InputKey::secret(name)]);
    let input = |key: InputKey| {
        let files = [("k".to_owned(), "v".into())].into();
        let digest = Digest::of(key.to_string().as_bytes());
        let input = Input {
            digest,
            files,
            binary: Vec::new(),
        };
        (key, input)
    };
    keys.into_iter().flatten().map(input).collect()
}

fn any_input() -> impl Strategy<Value = InputKey> {
    prop::sample::select(inputs().into_keys().collect::<Vec<_>>())
}

fn volume(name: String, shape: u8, key: &InputKey, restarts: bool) -> pb::Volume {
    use pb::volume::Source;
    let reference = pb::ResourceRef {
        name: key.name.clone(),
    };
    let mut volume = pb::Volume {
        name,
        ..Default::default()
    };
    let is_configuration = *key == InputKey::configuration(&key.name);
    volume.source = Some(match shape {
        0 => Source::EmptyDir(pb::EmptyDir::default()),
        1 => Source::Persistent(pb::PersistentFolder::default()),
        _ if is_configuration => Source::Config(reference),
        _ => Source::Secret(reference),
    });
    if restarts && shape > 1 {
        volume.set_on_change(pb::OnChange::Restart);
    }
    volume
}

fn variable(index: usize, key: &InputKey) -> pb::EnvVar {
    use pb::env_var_source::Source;
    let reference = pb::KeyRef {
        name: key.name.clone(),
        key: "k".to_owned(),
    };
    let is_configuration = *key == InputKey::configuration(&key.name);
    pb::EnvVar {
        name: format!("V{index}"),
        value_from: Some(pb::EnvVarSource {
            source: Some(if is_configuration {
                Source::ConfigKeyRef(reference)
            } else {
                Source::SecretKeyRef(reference)
            }),
        }),
        ..Default::default()
    }
}

prop_compose! {
    fn any_application()(
        name in NAME,
        services in prop::collection::btree_set(LABEL, 1..4),
        volumes in prop::collection::btree_map(
            LABEL, (0..5_u8, any_input(), any::<bool>()), 0..5,
        ),
        variables in prop::collection::vec(any_input(), 0..3),
        workload in prop::sample::select(vec![
            pb::Workload::Deployment,
            pb::Workload::Statefulset,
            pb::Workload::Daemonset,
            pb::Workload::Job,
            pb::Workload::Cronjob,
        ]),
        node_port in any::<bool>(),
    ) -> pb::Application {
        let mounts: Vec<pb::VolumeMount> = volumes
            .keys()
            .map(|name| pb::VolumeMount {
                name: name.clone(),
                mount_path: format!("/mnt/{name}"),
                ..Default::default()
            })
            .collect();
        let service = |(index, name): (usize, String)| pb::Service {
            name,
            image: "busybox:1".to_owned(),
            volume_mounts: mounts.clone(),
            env: variables.iter().enumerate().map(|(at, key)| variable(at, key)).collect(),
            ports: vec![pb::Port {
                name: "http".to_owned(),
                container_port: 8000 + u32::try_from(index).unwrap(),
                node_port: 30_000 * u32::from(node_port) + u32::try_from(index).unwrap() * u32::from(node_port),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut application = pb::Application {
            name,
            services: services.into_iter().enumerate().map(service).collect(),
            volumes: volumes
                .into_iter()
                .map(|(name, (shape, key, restarts))| volume(name, shape, &key, restarts))
                .collect(),
            cron: Some(pb::CronPolicy { schedule: "@daily".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        application.set_type(pb::ApplicationType::Container);
        application.set_workload(workload);
        application
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn when_applications_have_different_names_then_no_object_has_two_owners(
        one in any_application(), other in any_application(),
    ) {
        prop_assume!(one.name != other.name);
        let [one, other] = [one, other].map(|each| Fixture::new(each, inputs()).objects());

        for objects in [&one, &other] {
            prop_assert_eq!(keys(objects).len(), objects.len());
            objects.iter().for_each(check_names);
        }
        let shared: Vec<_> = keys(&one).intersection(&keys(&other)).cloned().collect();
        prop_assert!(shared.is_empty(), "{shared:?}");
    }

    #[test]
    fn when_an_input_changes_then_the_release_does_exactly_when_the_template_does(
        application in any_application(), changed in any_input(),
    ) {
        let before = Fixture::new(application, inputs());
        let mut after = before.clone();
        after.change(&changed, "k", "other");

        let is_same_release = before.release() == after.release();
        let specs = [&before, &after].map(|each| template(&each.objects())["spec"].clone());

        prop_assert_eq!(is_same_release, specs[0] == specs[1]);
        let restarts = inputs::restarted(&before.material.application).contains(&changed);
        prop_assert_eq!(is_same_release, !restarts);
    }

    #[test]
    fn when_replicas_change_then_only_the_workload_does(
        application in any_application(), replicas in 2..9_u32,
    ) {
        prop_assume!(application.workload() != pb::Workload::Job);
        let before = Fixture::new(application, inputs());
        let mut after = before.clone();
        after.material.application.replicas = Some(replicas);

        prop_assert_eq!(before.release(), after.release());
        let (old, new) = (before.objects(), after.objects());
        prop_assert_eq!(template(&old), template(&new));
        let changed = old.iter().zip(&new).filter(|(old, new)| old != new);
        prop_assert!(changed.count() <= 1);
    }
}
