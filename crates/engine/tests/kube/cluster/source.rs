//! What an application brings, from its pinned inputs.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use baetyl_engine::driver::Refusal;
use baetyl_engine::kube::material::{Input, Material};
use baetyl_engine::kube::settings::KubeSettings;
use baetyl_engine::kube::source::{Sourced, objects};
use baetyl_engine::{InputKey, reason};
use baetyl_proto::resource::v1::{Application, HelmChart, ManifestSource};
use baetyl_shadow::Digest;
use bytes::Bytes;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::rig::Rig;

/// An application with inputs: configuration, key, value.
fn material(application: Application, inputs: &[(&str, &str, &str)]) -> Material {
    let mut found: BTreeMap<InputKey, Input> = BTreeMap::new();
    for (configuration, key, value) in inputs {
        let input = found
            .entry(InputKey::configuration(*configuration))
            .or_insert_with(|| Input {
                digest: Digest::of(configuration.as_bytes()),
                files: BTreeMap::new(),
                binary: Vec::new(),
            });
        let value = Bytes::from((*value).to_owned());
        input.files.insert((*key).to_owned(), value);
    }
    Material {
        application,
        revision: 1,
        release: "0123456789ab".to_owned(),
        inputs: found,
        credentials: BTreeMap::new(),
    }
}

/// Writes a program. Another process does it: one that a test beside this starts at the same moment
/// would hold the open file for an instant, and a file that is open for writing cannot be executed.
fn write_program(path: &Path, text: &str) {
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
}

async fn read(material: &Material, settings: &KubeSettings) -> Result<Sourced, Refusal> {
    let rig = Rig::start().await;
    objects(&rig.cluster, material, settings).await
}

fn settings() -> KubeSettings {
    KubeSettings::new("owner", "edge-1")
}

#[tokio::test]
async fn when_an_application_has_manifests_then_its_configuration_is_read() {
    let application = Application {
        name: "web".to_owned(),
        manifest: Some(ManifestSource {
            configuration: "objects".to_owned(),
            keys: vec!["b".to_owned()],
        }),
        ..Application::default()
    };
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n";
    let with = material(
        application.clone(),
        &[("objects", "a", "]"), ("objects", "b", text)],
    );

    let sourced = read(&with, &settings()).await.unwrap();

    assert_eq!(sourced.objects[0].key().to_string(), "ConfigMap b");
    assert!(sourced.hooks.is_empty());
    let without = material(application, &[("objects", "a", text)]);
    let refusal = read(&without, &settings()).await.unwrap_err();
    assert_eq!(refusal.reason, reason::KEY_NOT_FOUND);
}

#[tokio::test]
async fn when_an_application_has_a_chart_then_its_own_values_count_most() {
    let folder = tempfile::tempdir().unwrap();
    let (program, log) = (folder.path().join("helm"), folder.path().join("log"));
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" > {log}\ncat chart.tgz values-*.yaml >> {log}\n\
         echo 'apiVersion: v1'; echo 'kind: ConfigMap'; echo 'metadata: {{name: a}}'\n",
        log = log.display()
    );
    write_program(&program, &script);
    let port = Value {
        kind: Some(Kind::NumberValue(80.0)),
    };
    let application = Application {
        name: "web".to_owned(),
        helm: Some(HelmChart {
            configuration: "chart".to_owned(),
            key: "web.tgz".to_owned(),
            values: Some(Struct {
                fields: [("port".to_owned(), port)].into(),
            }),
            values_configuration: "values".to_owned(),
            ..HelmChart::default()
        }),
        ..Application::default()
    };
    let inputs = [
        ("chart", "web.tgz", "packed,"),
        ("values", "1.yaml", "first,"),
        ("values", "2.yaml", "second,"),
    ];
    let settings = KubeSettings {
        helm_program: program.to_string_lossy().into_owned(),
        ..settings()
    };

    let sourced = read(&material(application, &inputs), &settings)
        .await
        .unwrap();

    assert_eq!(sourced.objects[0].key().to_string(), "ConfigMap a");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.ends_with("packed,first,second,{\"port\":80}"), "{log}");
    assert!(log.contains("--namespace=baetyl-edge "), "{log}");
    assert!(log.contains("--kube-version=v1."), "{log}");
    assert!(log.contains("--api-versions=apps/v1/Deployment "), "{log}");
    let files = "--values=values-0.yaml --values=values-1.yaml --values=values-2.yaml";
    assert!(
        log.contains(&format!("{files} -- web ./chart.tgz")),
        "{log}"
    );
}
