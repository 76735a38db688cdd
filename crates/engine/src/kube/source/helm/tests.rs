//! Charts by a program that plays Helm, so that everything around it is shown without it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use super::super::super::cluster::Capabilities;
use super::super::Sourced;
use super::process::tests::write_program;
use super::twice::difference;
use super::{Chart, render, said};
use crate::driver::Refusal;
use crate::reason;

/// A program in the place of `helm`, and what it was called with.
struct Rig {
    folder: TempDir,
}

impl Rig {
    /// `text` runs in the folder of the chart; `$LOG` is a file that stays.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helm");
        let log = folder.path().join("log");
        let head = format!("#!/bin/sh\nPATH=/usr/bin:/bin\nLOG={}\n", log.display());
        write_program(&path, &format!("{head}{text}\n"));
        Self { folder }
    }

    async fn render(&self, chart: Chart) -> Result<Sourced, Refusal> {
        let program = self.folder.path().join("helm");
        render(&program.to_string_lossy(), chart, &capabilities()).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        version: "v1.33.2+k3s1".into(),
        apis: vec!["apps/v1".into(), "apps/v1/Deployment".into()],
    }
}

fn chart() -> Chart {
    Chart {
        release: "web".into(),
        namespace: "edge".into(),
        archive: Bytes::from_static(b"packed"),
        values: vec![
            Bytes::from_static(b"a: 1"),
            Bytes::from_static(b"{\"a\":2}"),
        ],
    }
}

const OBJECT: &str = "echo 'apiVersion: v1'; echo 'kind: ConfigMap'; echo 'metadata: {name: a}'";

#[tokio::test]
async fn when_a_chart_is_rendered_then_helm_sees_its_files_and_nothing_else() {
    let rig = Rig::new(&format!(
        "echo \"$@\" >> $LOG; cat chart.tgz values-0.yaml values-1.yaml >> $LOG; echo >> $LOG; \
         env >> $LOG; stat -c %a . >> $LOG; {OBJECT}"
    ));

    let sourced = rig.render(chart()).await.unwrap();

    assert_eq!(sourced.objects.len(), 1);
    let log = rig.log();
    let line = "template --include-crds --skip-tests --namespace=edge --kube-version=v1.33.2+k3s1 \
                --api-versions=apps/v1 --api-versions=apps/v1/Deployment --values=values-0.yaml \
                --values=values-1.yaml -- web ./chart.tgz";
    assert!(log.contains(line), "{log}");
    assert!(log.contains("packeda: 1{\"a\":2}"), "{log}");
    assert!(log.contains("\n700\n"), "{log}");
    assert!(!log.contains("CARGO"), "{log}");
    assert_eq!(log.matches("--include-crds").count(), 2, "rendered twice");
}

#[tokio::test]
async fn when_helm_has_ended_then_its_files_are_gone() {
    for end in ["0", "1"] {
        let rig = Rig::new(&format!("pwd > $LOG; {OBJECT}; exit {end}"));

        let outcome = rig.render(chart()).await;

        assert_eq!(outcome.is_ok(), end == "0");
        assert!(!Path::new(rig.log().trim()).exists());
    }
}

#[tokio::test]
async fn when_helm_fails_then_its_error_is_told() {
    let rig = Rig::new(
        "echo 'level=WARN msg=x' >&2; echo 'Error: templates/a.yaml:3: .Values.x is required' >&2; \
         echo >&2; echo 'Use --debug flag to render out invalid YAML' >&2; exit 1",
    );

    let refusal = rig.render(chart()).await.unwrap_err();

    assert_eq!(refusal.reason, reason::HELM_FAILED);
    assert_eq!(refusal.message, "templates/a.yaml:3: .Values.x is required");
    assert!(refusal.is_final);
}

#[tokio::test]
async fn when_helm_is_not_installed_then_it_is_said_what_to_do() {
    let outcome = render("no-such-helm", chart(), &capabilities()).await;

    let refusal = outcome.unwrap_err();
    assert_eq!(refusal.reason, reason::HELM_NOT_FOUND);
    assert!(
        refusal.message.contains("install Helm 3"),
        "{}",
        refusal.message
    );
    assert!(!refusal.is_final);
}

#[tokio::test]
async fn when_a_chart_comes_out_different_then_the_field_is_named() {
    let rig = Rig::new(&format!(
        "echo x >> $LOG; {OBJECT}; echo \"data: {{password: $(wc -l < $LOG)}}\""
    ));

    let refusal = rig.render(chart()).await.unwrap_err();

    assert_eq!(refusal.reason, reason::HELM_FAILED);
    assert!(
        refusal
            .message
            .starts_with("ConfigMap a: data.password comes out different"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn when_a_chart_has_hooks_then_they_are_left_out_and_named() {
    let hook = "echo ---; echo 'apiVersion: batch/v1'; echo 'kind: Job'; echo 'metadata: {name: b, \
                annotations: {helm.sh/hook: pre-install}}'";
    let rig = Rig::new(&format!("{OBJECT}; {hook}"));

    let sourced = rig.render(chart()).await.unwrap();

    let names = |keys: Vec<String>| keys;
    assert_eq!(
        names(
            sourced
                .objects
                .iter()
                .map(|o| o.key().to_string())
                .collect()
        ),
        ["ConfigMap a"]
    );
    assert_eq!(
        names(sourced.hooks.iter().map(ToString::to_string).collect()),
        ["Job b"]
    );
}

#[tokio::test]
async fn when_what_comes_out_is_no_object_then_it_is_refused() {
    let rig = Rig::new("echo 'a: 1'");

    let refusal = rig.render(chart()).await.unwrap_err();

    assert_eq!(refusal.reason, reason::INVALID_OBJECT);
    assert_eq!(
        refusal.message,
        "the rendered chart, document 1, line 1: apiVersion is required"
    );
}

#[tokio::test]
async fn when_names_could_be_options_then_they_are_refused() {
    for release in ["", "-x", "--post-renderer=x", "A", "a/b", &"a".repeat(54)] {
        let mut chart = chart();
        chart.release = release.to_owned();
        let refusal = render("no-such-helm", chart, &capabilities())
            .await
            .unwrap_err();
        assert_eq!(refusal.reason, reason::INVALID_APPLICATION, "{release}");
    }
}

#[test]
fn when_values_differ_then_the_first_path_is_named() {
    let rows = [
        (
            json!({"a": {"b": [1, 2]}}),
            json!({"a": {"b": [1, 3]}}),
            Some("a.b[1]"),
        ),
        (
            json!({"a": [{"b": 1}]}),
            json!({"a": [{"b": 2}]}),
            Some("a[0].b"),
        ),
        (json!({"a": 1}), json!({}), Some("a")),
        (json!({}), json!({"z": 1}), Some("z")),
        (json!({"a": [1]}), json!({"a": [1, 2]}), Some("a")),
        (json!({"a": [1]}), json!({"a": [1]}), None),
    ];
    for (one, other, expected) in rows {
        assert_eq!(
            difference(&one, &other).as_deref(),
            expected,
            "{one} {other}"
        );
    }
}

#[test]
fn when_a_complaint_names_the_private_folder_then_that_is_left_out() {
    let text = b"Error: open /tmp/baetyl-chart-x/chart.tgz: gzip: invalid header\n";

    let message = said(text, Path::new("/tmp/baetyl-chart-x"));

    assert_eq!(message, "open chart.tgz: gzip: invalid header");
}

#[test]
fn when_a_chart_is_printed_then_its_values_are_not() {
    let text = format!("{:?}", chart());

    assert!(!text.contains("a: 1") && !text.contains('2'), "{text}");
}
