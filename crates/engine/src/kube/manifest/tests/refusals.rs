//! What cannot be rendered: named with its field, before anything changes.

use baetyl_proto::resource::v1 as pb;

use super::case;
use super::rig::{Fixture, settings};
use crate::desired::InputKey;
use crate::kube::manifest::{manifest, release_hash};
use crate::reason;

/// A case, what is done to it, and what is said then.
type Row = (
    &'static str,
    &'static str,
    fn(&mut Fixture),
    &'static str,
    &'static str,
);

const INVALID: &str = reason::INVALID_APPLICATION;

fn service(fixture: &mut Fixture) -> &mut pb::Service {
    &mut fixture.material.application.services[0]
}

const ROWS: &[Row] = &[
    (
        "a key that is not there",
        "environment",
        |one| {
            let input = one
                .material
                .inputs
                .get_mut(&InputKey::configuration("limits"));
            input.unwrap().files.remove("high");
        },
        reason::KEY_NOT_FOUND,
        "services[0].env[2].valueFrom: key \"high\" is not in configuration/limits",
    ),
    (
        "a value that is no text",
        "environment",
        |one| {
            let input = one
                .material
                .inputs
                .get_mut(&InputKey::configuration("limits"));
            input.unwrap().binary.push("high".into());
        },
        reason::KEY_NOT_FOUND,
        "services[0].env[2].valueFrom: key \"high\" of configuration/limits is no text",
    ),
    (
        "an input that is not pinned",
        "configurations",
        |one| {
            drop(
                one.material
                    .inputs
                    .remove(&InputKey::configuration("reloaded")),
            )
        },
        INVALID,
        "volumes[0]: the desired state does not pin configuration/reloaded",
    ),
    (
        "a reloaded input that is mounted in parts",
        "configurations",
        |one| service(one).volume_mounts[0].sub_path = "limits.json".into(),
        INVALID,
        "services[0].volumeMounts[0].subPath: what is mounted so does not follow a reload: \
         the volume must say restart",
    ),
    (
        "a part that is not there",
        "configurations",
        |one| service(one).volume_mounts[1].sub_path = "c.conf".into(),
        reason::KEY_NOT_FOUND,
        "services[0].volumeMounts[1].subPath: key \"c.conf\" is not in configuration/restarted",
    ),
    (
        "an input that is too large",
        "configurations",
        |one| {
            let input = one
                .material
                .inputs
                .get_mut(&InputKey::configuration("reloaded"));
            let large = vec![b'x'; 1024 * 1024].into();
            input.unwrap().files.insert("large".into(), large);
        },
        INVALID,
        "volumes[0]: configuration/reloaded has 1048605 bytes, an object of the cluster holds \
         1048576",
    ),
    (
        "a volume that is not there",
        "configurations",
        |one| service(one).volume_mounts[2].name = "other".into(),
        INVALID,
        "services[0].volumeMounts[2].name: no volume is named \"other\"",
    ),
    (
        "a mount over the certificate",
        "configurations",
        |one| service(one).volume_mounts[2].mount_path = "/var/run/baetyl/certificates".into(),
        INVALID,
        "services[0].volumeMounts[2].mountPath: something else is mounted at \
         /var/run/baetyl/certificates",
    ),
    (
        "a volume with a name of ours",
        "configurations",
        |one| one.material.application.volumes[1].name = "baetyl-code-0".into(),
        INVALID,
        "volumes[1].name: names that begin with baetyl- are reserved",
    ),
    (
        "a variable with a name of ours",
        "environment",
        |one| service(one).env[1].name = "BAETYL_ROOT".into(),
        INVALID,
        "services[0].env[1].name: names that begin with BAETYL_ are reserved",
    ),
    (
        "a variable that stands there twice",
        "environment",
        |one| service(one).env[1].name = "PLAIN".into(),
        INVALID,
        "services[0].env[1].name: \"PLAIN\" stands here twice",
    ),
    (
        "a probe of a port that is not there",
        "probes",
        |one| {
            let probe = service(one).readiness_probe.as_mut().unwrap();
            let get = pb::HttpGetAction {
                port: "https".into(),
                ..Default::default()
            };
            probe.check = Some(pb::probe::Check::HttpGet(get));
        },
        INVALID,
        "services[0].readinessProbe.httpGet.port: the service has no port \"https\"",
    ),
    (
        "two services with one port of the Service",
        "ports",
        |one| one.material.application.services[1].ports[0].container_port = 80,
        INVALID,
        "services[1].ports[0].servicePort: service \"web\" has 80/tcp already",
    ),
    (
        "a port of the machines out of range",
        "ports",
        |one| service(one).ports[1].node_port = 53,
        INVALID,
        "services[0].ports[1].nodePort: must be 30000 to 32767",
    ),
    (
        "services that disagree when to start again",
        "job",
        |one| {
            let mut other = service(one).clone();
            other.name = "other".into();
            other.set_restart_policy(pb::RestartPolicy::OnFailure);
            one.material.application.services.push(other);
        },
        INVALID,
        "services[1].restartPolicy: must be the same for all services of an instance",
    ),
    (
        "a deployment that ends",
        "deployment",
        |one| service(one).set_restart_policy(pb::RestartPolicy::Never),
        INVALID,
        "services[0].restartPolicy: only a job or cronjob may end; use always",
    ),
    (
        "a cron job without a timetable",
        "cronjob",
        |one| one.material.application.cron = None,
        INVALID,
        "cron: must be set in a cronjob",
    ),
    (
        "an autoscaler of a daemon set",
        "daemonset",
        |one| one.material.application.autoscaling = Some(pb::Autoscaling::default()),
        INVALID,
        "autoscaling: belongs to deployment and statefulset",
    ),
    (
        "a budget without a bound",
        "deployment",
        |one| one.material.application.disruption_budget = Some(pb::DisruptionBudget::default()),
        INVALID,
        "disruptionBudget: must have either minAvailable or maxUnavailable",
    ),
    (
        "a selector that cannot be read",
        "deployment",
        |one| one.material.application.machine_selector = "site ==! demo".into(),
        INVALID,
        "machineSelector: unexpected \"==!\" at column 6; see docs/selectors.md",
    ),
    (
        "a namespace that is not allowed",
        "deployment",
        |one| one.material.application.kube_namespace = "kube-system".into(),
        reason::NAMESPACE_NOT_ALLOWED,
        "kubeNamespace: this node may not use the namespace \"kube-system\"",
    ),
    (
        "a certificate that is not issued yet",
        "deployment",
        |one| one.material.credentials.clear(),
        reason::CERTIFICATE_UNAVAILABLE,
        "services[0]: its certificate is not issued yet",
    ),
    (
        "no image",
        "deployment",
        |one| service(one).image.clear(),
        INVALID,
        "services[0].image: must be set",
    ),
    (
        "programs",
        "deployment",
        |one| {
            one.material
                .application
                .set_type(pb::ApplicationType::Process)
        },
        reason::UNSUPPORTED_TYPE,
        "type: process is not made of containers",
    ),
];

#[test]
fn when_something_cannot_be_rendered_then_its_field_is_named() {
    let mut failures = Vec::new();
    for (what, name, edit, reason, message) in ROWS {
        let mut fixture = Fixture::read(case(name));
        edit(&mut fixture);

        let refusal = fixture.refusal();

        if (refusal.reason, refusal.message.as_str()) != (*reason, *message) {
            failures.push(format!("{what}: {} {}", refusal.reason, refusal.message));
        }
        let is_final = refusal.reason != reason::CERTIFICATE_UNAVAILABLE;
        assert_eq!(refusal.is_final, is_final, "{what}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn when_a_node_has_no_function_service_then_functions_are_refused() {
    let fixture = Fixture::read(case("function"));
    let mut settings = settings();
    settings.functions = None;

    let rendered = manifest(&fixture.material, &settings).unwrap_err();
    let application = &fixture.material.application;
    let hashed = release_hash(application, &fixture.pin, &settings).unwrap_err();

    assert_eq!(rendered.reason, reason::FUNCTIONS_UNAVAILABLE);
    assert_eq!(hashed.reason, reason::FUNCTIONS_UNAVAILABLE);
}
