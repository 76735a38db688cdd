//! What applications on clusters are filled with, need and keep.

use baetyl_proto::resource::v1 as pb;
use serde_json::{Value, json};

use super::application;
use crate::resource::{feature, fixture};
use crate::violation::reason;
use crate::{Application, Kind, Selector};

fn changed(set: &[(&str, Value)]) -> Application {
    application(document(set))
}

fn document(set: &[(&str, Value)]) -> Value {
    let mut document = fixture::shop();
    for (pointer, value) in set {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = document.pointer_mut(parent).expect("the parent exists");
        parent[key] = value.clone();
    }
    document
}

/// What is wrong when an application becomes another one.
fn refused(set: &[(&str, Value)], before: &Application) -> Vec<(String, String)> {
    let message = fixture::message("Application", document(set)).into_application();
    let revised = Application::revise(message.expect("an application"), before);
    let violations = revised.err().unwrap_or_default().into_iter();
    violations.map(|one| (one.field, one.reason)).collect()
}

#[test]
fn when_containers_say_little_then_defaults_are_filled() {
    let application = application(fixture::shop());

    let message = application.message();
    let service = &message.services[0];
    let Some(pb::volume::Source::Persistent(folder)) = &message.volumes[1].source else {
        unreachable!("it is a folder");
    };
    let probe = service.readiness_probe.as_ref().expect("it was given");
    let Some(pb::probe::Check::HttpGet(get)) = &probe.check else {
        unreachable!("it asks over HTTP");
    };
    assert_eq!(
        service.image_pull_policy(),
        pb::ImagePullPolicy::IfNotPresent
    );
    assert_eq!(
        (folder.size.as_str(), folder.access_mode.as_str()),
        ("1Gi", "ReadWriteOnce")
    );
    assert_eq!(get.scheme, "HTTP");
    assert_eq!(message.replicas, Some(1));
    assert_eq!(message.volumes[0].on_change(), pb::OnChange::Reload);
    let init = &message.init_services[0];
    assert_eq!(init.restart_policy(), pb::RestartPolicy::Unspecified);
}

#[test]
fn when_a_cron_job_says_little_then_its_policies_are_filled() {
    let application = changed(&[
        ("/workload", json!("cronjob")),
        ("/cron", json!({"schedule": "@daily"})),
        ("/services/0/readinessProbe", Value::Null),
    ]);

    let message = application.message();
    let (job, cron) = (message.job.as_ref(), message.cron.as_ref());
    let (job, cron) = (job.expect("it is filled"), cron.expect("it was given"));
    assert_eq!(
        (job.completions, job.parallelism, job.backoff_limit),
        (Some(1), Some(1), Some(6))
    );
    assert_eq!(cron.concurrency_policy(), pb::ConcurrencyPolicy::Forbid);
    assert_eq!(message.replicas, None);
    let policy = message.services[0].restart_policy();
    assert_eq!(policy, pb::RestartPolicy::OnFailure);
}

#[test]
fn when_security_is_given_then_rights_grow_with_privilege_only() {
    let of = |privileged: bool| {
        let security = json!({"privileged": privileged});
        let application = changed(&[("/services/0/security", security)]);
        let security = application.message().services[0].security.clone();
        security.expect("it was given").allow_privilege_escalation
    };

    assert_eq!((of(false), of(true)), (Some(false), Some(true)));
}

#[test]
fn when_a_container_uses_things_then_all_of_them_are_inputs() {
    let inputs = |application: Application| {
        let inputs = application.inputs().into_iter();
        inputs
            .map(|input| (input.kind, input.name.to_string(), input.on_change))
            .collect::<Vec<_>>()
    };
    let (reload, restart) = (pb::OnChange::Reload, pb::OnChange::Restart);
    let manifest = application(json!({
        "name": "objects",
        "type": "manifest",
        "manifest": {"configuration": "objects"},
    }));
    let chart = application(json!({
        "name": "chart",
        "type": "helm",
        "helm": {"configuration": "charts", "key": "a.tgz", "valuesConfiguration": "site"},
    }));

    let expected = [
        (Kind::Secret, "keys".to_owned(), restart),
        (Kind::Certificate, "shop-tls".to_owned(), reload),
        (Kind::Registry, "private".to_owned(), reload),
    ];
    assert_eq!(inputs(application(fixture::shop())), expected);
    let expected = [(Kind::Configuration, "objects".to_owned(), restart)];
    assert_eq!(inputs(manifest), expected);
    let expected = [
        (Kind::Configuration, "charts".to_owned(), restart),
        (Kind::Configuration, "site".to_owned(), restart),
    ];
    assert_eq!(inputs(chart), expected);
}

#[test]
fn when_nothing_in_a_pod_changes_then_the_template_stays() {
    let before = application(fixture::shop());
    let cpu = json!([{"resource": "cpu", "averageValue": "1"}]);
    let around = [
        ("/replicas", json!(3)),
        ("/autoscaling", json!({"maxReplicas": 3, "metrics": cpu})),
        ("/disruptionBudget", json!({"minAvailable": "1"})),
        ("/forceConflicts", json!(true)),
        ("/services/0/ports/0/servicePort", json!(80)),
        ("/services/0/ports/0/nodePort", json!(30080)),
        ("/volumes/1/persistent", json!({"size": "2Gi"})),
    ];
    let inside = [
        ("/services/0/image", json!("shop:2")),
        ("/hostNetwork", json!(true)),
        ("/machineSelector", json!("disk = ssd")),
        ("/kubeNamespace", json!("other")),
        ("/registries", json!([])),
        ("/workload", json!("statefulset")),
    ];

    for change in around {
        let after = changed(std::slice::from_ref(&change));
        assert_ne!(after.digest(), before.digest(), "{}", change.0);
        assert_eq!(
            after.template_digest(),
            before.template_digest(),
            "{}",
            change.0
        );
    }
    for change in inside {
        let after = changed(std::slice::from_ref(&change));
        assert_ne!(
            after.template_digest(),
            before.template_digest(),
            "{}",
            change.0
        );
    }
}

#[test]
fn when_the_number_of_functions_changes_then_so_does_the_template() {
    let before = application(fixture::sensors());
    let mut document = fixture::sensors();
    document["replicas"] = 2.into();
    let after = application(document);

    assert_ne!(after.template_digest(), before.template_digest());
}

#[test]
fn when_an_application_needs_something_of_a_cluster_then_its_features_say_so() {
    let mut placed = fixture::sensors();
    placed["machineSelector"] = "gpu".into();
    let placed = application(placed);
    let plain = application(fixture::sensors());
    let stateful = changed(&[
        ("/workload", json!("statefulset")),
        (
            "/autoscaling",
            json!({
                "maxReplicas": 2, "metrics": [{"resource": "cpu", "averageValue": "1"}],
            }),
        ),
    ]);

    assert_eq!(
        (placed.needs_cluster(), plain.needs_cluster()),
        (true, false)
    );
    assert_eq!(placed.features(), ["function.v1", "kube.v1"]);
    assert_eq!(plain.features(), ["function.v1"]);
    let expected = [
        "autoscaling.v1",
        "certificate.v1",
        "container.v1",
        "persistent-volume.v1",
        "registry.v1",
        "statefulset.v1",
    ];
    assert_eq!(stateful.features(), expected);
    let known = |name: &&str| feature::ALL.iter().any(|(known, _)| known == name);
    assert!(stateful.features().iter().all(known));
    assert!(feature::ALL.is_sorted());
}

#[test]
fn when_a_claim_changes_then_only_growth_is_taken() {
    let sized = ("/volumes/1/persistent", json!({"size": "2Gi"}));
    let before = changed(&[sized]);

    let grown = [("/volumes/1/persistent", json!({"size": "3Gi"}))];
    let other = [(
        "/volumes/1/persistent",
        json!({"size": "1Gi", "storageClass": "fast", "accessMode": "ReadWriteMany"}),
    )];
    let renamed = [
        ("/volumes/1/name", json!("new")),
        ("/volumes/1/persistent", json!({"storageClass": "fast"})),
        ("/services/0/volumeMounts/1/name", json!("new")),
    ];

    assert_eq!(refused(&grown, &before), []);
    assert_eq!(refused(&renamed, &before), []);
    let immutable = |field: &str| {
        let field = format!("volumes[1].persistent.{field}");
        (field, reason::IMMUTABLE.to_owned())
    };
    assert_eq!(
        refused(&other, &before),
        [
            immutable("storageClass"),
            immutable("accessMode"),
            immutable("size")
        ]
    );
}

#[test]
fn when_a_newer_program_sends_unknown_words_then_they_are_refused() {
    let document = document(&[
        ("/workload", json!("cronjob")),
        ("/cron", json!({"schedule": "@daily"})),
    ]);
    let message = fixture::message("Application", document).into_application();
    let mut message = message.expect("an application");
    message.services[0].image_pull_policy = 99;
    message.services[0].restart_policy = 99;
    message
        .cron
        .as_mut()
        .expect("it is there")
        .concurrency_policy = 99;
    let mut other = message.clone();
    other.workload = 99;

    let fields = |message: pb::Application| {
        let violations = Application::try_new(message).err().unwrap_or_default();
        assert!(
            violations
                .iter()
                .all(|one| one.reason == reason::UNKNOWN_VALUE || one.field == "cron"),
            "{violations:?}"
        );
        let fields = violations.into_iter().map(|one| one.field);
        fields.collect::<Vec<_>>()
    };
    let of_service = ["services[0].imagePullPolicy", "services[0].restartPolicy"];
    assert_eq!(
        fields(message),
        [&["cron.concurrencyPolicy"], &of_service[..]].concat()
    );
    assert_eq!(
        fields(other),
        [&["workload", "cron"], &of_service[..]].concat()
    );
}

#[test]
fn when_the_workload_changes_then_it_is_another_one() {
    let before = application(fixture::shop());

    assert_eq!(refused(&[("/workload", json!("daemonset"))], &before), []);
}

#[test]
fn when_no_machine_is_selected_then_all_are() {
    let all = application(fixture::shop());
    let some = changed(&[("/machineSelector", json!("disk = ssd"))]);

    assert_eq!(all.machine_selector(), Ok(Selector::Everything));
    assert_eq!(some.machine_selector(), Selector::parse("disk = ssd"));
}

#[test]
fn when_values_of_a_chart_are_large_or_no_numbers_then_they_are_refused() {
    let chart = |value: prost_types::value::Kind| {
        let value = prost_types::Value { kind: Some(value) };
        let nested = prost_types::ListValue {
            values: vec![value],
        };
        let nested = prost_types::Value {
            kind: Some(prost_types::value::Kind::ListValue(nested)),
        };
        let message = pb::Application {
            name: "chart".into(),
            r#type: pb::ApplicationType::Helm.into(),
            helm: Some(pb::HelmChart {
                configuration: "charts".into(),
                key: "a.tgz".into(),
                values: Some(prost_types::Struct {
                    fields: [("list".to_owned(), nested)].into(),
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let violations = Application::try_new(message).err().unwrap_or_default();
        let found = violations.into_iter().map(|one| (one.field, one.reason));
        found.collect::<Vec<_>>()
    };
    use prost_types::value::Kind as Value;

    assert_eq!(chart(Value::NumberValue(1.5)), []);
    assert_eq!(
        chart(Value::NumberValue(f64::NAN)),
        [(
            "helm.values.list[0]".to_owned(),
            reason::INVALID_FORMAT.to_owned()
        )]
    );
    assert_eq!(
        chart(Value::StringValue("x".repeat(256 * 1024))),
        [("helm.values".to_owned(), reason::TOO_LARGE.to_owned())]
    );
}
