//! A real chart by the real program, where that is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use baetyl_engine::driver::Refusal;
use baetyl_engine::kube::cluster::Capabilities;
use baetyl_engine::kube::source::Sourced;
use baetyl_engine::kube::source::helm::{Chart, render};
use baetyl_engine::reason;
use bytes::Bytes;

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  namespace: {{ .Release.Namespace }}
  annotations:
    cluster: {{ .Capabilities.KubeVersion.Version | quote }}
    widgets: {{ .Capabilities.APIVersions.Has "example.com/v1/Widget" | quote }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: {{ required "image must be set" .Values.image }}
"#;

const HOOK: &str = r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: pre-upgrade}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: probe
  annotations: {helm.sh/hook: test}
spec: {containers: [{name: a, image: b}]}
"#;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec: {group: example.com}
"#;

#[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
fn helm() -> Option<PathBuf> {
    let tools = std::env::var_os("BAETYL_TOOLS").map(PathBuf::from);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = tools.unwrap_or_else(|| repository.join(".tools/venv/bin"));
    let program = tools.join("helm");
    if program.exists() {
        return Some(program);
    }
    println!(
        "skipped: {} is not there, see ./just setup",
        program.display()
    );
    None
}

/// Packs a chart of these templates.
fn pack(program: &Path, templates: &[(&str, &str)]) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("web");
    for name in ["templates", "crds"] {
        fs::create_dir_all(chart.join(name)).unwrap();
    }
    let about = "apiVersion: v2\nname: web\nversion: 1.2.3\n";
    fs::write(chart.join("Chart.yaml"), about).unwrap();
    fs::write(chart.join("values.yaml"), "replicas: 1\n").unwrap();
    for (name, text) in templates {
        fs::write(chart.join(name), text).unwrap();
    }
    let status = Command::new(program)
        .arg("package")
        .arg(&chart)
        .arg("--destination")
        .arg(folder.path())
        .env("HOME", folder.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    fs::read(folder.path().join("web-1.2.3.tgz"))
        .unwrap()
        .into()
}

async fn rendered(
    program: &Path,
    templates: &[(&str, &str)],
    values: &[&str],
) -> Result<Sourced, Refusal> {
    let chart = Chart {
        release: "shop".to_owned(),
        namespace: "baetyl-edge".to_owned(),
        archive: pack(program, templates),
        values: values
            .iter()
            .map(|text| Bytes::from((*text).to_owned()))
            .collect(),
    };
    let capabilities = Capabilities {
        version: "v1.33.2+k3s1".to_owned(),
        apis: vec![
            "example.com/v1".to_owned(),
            "example.com/v1/Widget".to_owned(),
        ],
    };
    render(&program.to_string_lossy(), chart, &capabilities).await
}

#[tokio::test]
async fn when_a_real_chart_is_rendered_then_values_and_capabilities_count() {
    let Some(program) = helm() else { return };
    let templates = [
        ("templates/web.yaml", DEPLOYMENT),
        ("templates/hook.yaml", HOOK),
        ("crds/widget.yaml", DEFINITION),
    ];
    let values = ["image: busybox:1\nreplicas: 2\n", "{\"replicas\": 3}"];

    let sourced = rendered(&program, &templates, &values).await.unwrap();

    let keys: Vec<String> = sourced
        .objects
        .iter()
        .map(|o| o.key().to_string())
        .collect();
    assert_eq!(
        keys,
        [
            "CustomResourceDefinition widgets.example.com",
            "Deployment baetyl-edge/shop-web",
        ]
    );
    let body = sourced.objects[1].body();
    assert_eq!(body["spec"]["replicas"], 3);
    let annotations = &body["metadata"]["annotations"];
    assert_eq!(annotations["cluster"], "v1.33.2+k3s1");
    assert_eq!(annotations["widgets"], "true");
    let hooks: Vec<String> = sourced.hooks.iter().map(ToString::to_string).collect();
    assert_eq!(hooks, ["Job migrate"]);
}

#[tokio::test]
async fn when_a_real_chart_refuses_its_values_then_its_words_are_told() {
    let Some(program) = helm() else { return };

    let outcome = rendered(&program, &[("templates/web.yaml", DEPLOYMENT)], &[]).await;

    let refusal = outcome.unwrap_err();
    assert_eq!(refusal.reason, reason::HELM_FAILED);
    assert!(refusal.is_final);
    assert!(
        refusal.message.contains("image must be set"),
        "{}",
        refusal.message
    );
    assert!(
        !refusal.message.contains("baetyl-chart-"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn when_a_real_chart_draws_a_password_then_it_is_refused() {
    let Some(program) = helm() else { return };
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData:\n  password: \
                  {{ randAlphaNum 20 }}\n";

    let outcome = rendered(&program, &[("templates/secret.yaml", secret)], &[]).await;

    let message = outcome.unwrap_err().message;
    let expected = "Secret login: stringData.password comes out different each time";
    assert!(message.starts_with(expected), "{message}");
}

#[tokio::test]
async fn when_the_chart_is_no_archive_then_it_is_refused() {
    let Some(program) = helm() else { return };
    let chart = Chart {
        release: "shop".to_owned(),
        namespace: "baetyl-edge".to_owned(),
        archive: Bytes::from_static(b"no archive"),
        values: Vec::new(),
    };
    let capabilities = Capabilities {
        version: "v1.33.2".to_owned(),
        apis: Vec::new(),
    };

    let refusal = render(&program.to_string_lossy(), chart, &capabilities)
        .await
        .unwrap_err();

    assert_eq!(refusal.reason, reason::HELM_FAILED);
}
