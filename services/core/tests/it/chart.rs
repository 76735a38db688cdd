//! What the chart installs fits together: the Service of the function proxy, the address that
//! runtimes are told, and the certificate that is checked under it.
//!
//! The template is read as it stands, with the few values that matter here: no test needs `helm`.

use baetyl_core::Config;
use baetyl_pki::{Credentials, Details};
use serde_json::Value;

use crate::cloud::Cloud;
use crate::edge::Place;

const TEMPLATE: &str = include_str!("../../../../charts/edge/templates/core.yaml");

/// Namespace of the release.
const NAMESPACE: &str = "plant-system";

/// The lines with the installation's values; what depends on a condition that does not hold, and
/// what is a template on more than one line, is left out.
fn rendered() -> String {
    let values = [
        ("{{ .Release.Namespace }}", NAMESPACE),
        ("{{ first .Values.namespaces }}", "plant"),
        ("{{ toJson .Values.namespaces }}", "[plant]"),
        ("{{ .Values.kubeletSummary }}", "false"),
        (r#"{{ include "baetyl.runtimeImage" . }}"#, "runtime:1"),
    ];
    let mut lines = Vec::new();
    let mut is_left_out = false;
    for line in TEMPLATE.lines() {
        if line.contains(r#"include "baetyl.container""#) {
            // What it puts there ends so, and the list may go on.
            lines.push("          volumeMounts:".to_owned());
            continue;
        }
        if line.trim_start().starts_with("{{-") {
            is_left_out = line.contains("if not ");
            continue;
        }
        let line = values
            .iter()
            .fold(line.to_owned(), |line, (from, to)| line.replace(from, to));
        if !is_left_out && !line.contains("{{") {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// The document of an object.
fn object(kind: &str, name: &str) -> Value {
    let text = rendered();
    let is_it = |document: &&str| {
        let has = |line: String| document.lines().any(|one| one == line);
        has(format!("kind: {kind}")) && has(format!("  name: {name}"))
    };
    let found = text.split("\n---\n").find(is_it);
    let found = found.unwrap_or_else(|| panic!("the chart has no {kind} {name}"));
    serde_saphyr::from_str(found).unwrap_or_else(|error| panic!("{kind} {name}: {error}\n{found}"))
}

fn file(name: &str) -> String {
    let map = object("ConfigMap", "baetyl-core");
    map["data"][name].as_str().unwrap().to_owned()
}

/// Where runtimes attach with such a configuration of core.
fn told(config: &str) -> String {
    let config: Config = serde_saphyr::from_str(config).unwrap();
    config.kube.unwrap().attach_address()
}

#[test]
fn when_the_chart_installs_functions_then_runtimes_are_told_the_service_that_it_makes() {
    let service = object("Service", "baetyl-function");
    let port = &service["spec"]["ports"][0];

    let by_chart = told(&file("core.yaml"));
    let by_default = told(&format!("kube: {{system_namespace: {NAMESPACE}}}"));

    let of_service = format!("baetyl-function.{NAMESPACE}.svc:{}", port["port"]);
    assert_eq!(by_chart, of_service);
    assert_eq!(by_default, of_service);
    assert_eq!(service["metadata"]["namespace"], NAMESPACE);
}

#[test]
fn when_the_chart_installs_functions_then_the_service_leads_to_where_the_proxy_listens() {
    let service = object("Service", "baetyl-function");
    let config: Value = serde_saphyr::from_str(&file("function.yaml")).unwrap();
    let pod = object("StatefulSet", "baetyl-core");

    let target = &service["spec"]["ports"][0]["targetPort"];

    let containers = pod["spec"]["template"]["spec"]["containers"].as_array();
    let function = containers
        .unwrap()
        .iter()
        .find(|container| container["name"] == "function")
        .unwrap();
    let port = &function["ports"][0];
    assert_eq!(port["name"], *target);
    let listens = config["attach_remote"].as_str().unwrap();
    assert_eq!(listens, format!("0.0.0.0:{}", port["containerPort"]));
}

#[tokio::test]
async fn when_core_runs_as_the_chart_says_then_the_proxys_certificate_is_for_its_service() {
    let cloud = Cloud::start().await;
    let place = Place::activated(&cloud);
    let installed: Config = serde_saphyr::from_str(&file("core.yaml")).unwrap();
    let config = Config {
        kube: installed.kube,
        ..place.config()
    };

    let edge = place.start_with(config).await.unwrap();

    let file = edge.local.join("function").join("credentials.pem");
    let issued = Credentials::load(&file).unwrap();
    let names = Details::from_der(&issued.chain()[0]).unwrap().names;
    let host = format!("baetyl-function.{NAMESPACE}.svc");
    assert!(
        names.iter().any(|name| name.ends_with(&host)),
        "{host} is not among {names:?}"
    );
    edge.stop().await.unwrap();
}
