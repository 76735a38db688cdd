//! Files of documents, read and printed.

use serde_json::json;

use super::*;
use crate::cloud::v1::document::Resource;
use crate::json::reason;
use crate::resource::v1::{Configuration, Secret};

const FILE: &str = r#"# What the contract shows.
apiVersion: baetyl.io/v1
kind: Configuration
name: thresholds
labels: {site: demo}
data:
  limits.json: '{"temperature": 31.5}'
  ca.pem: |
    -----BEGIN CERTIFICATE-----
    ---
    MIIB
    -----END CERTIFICATE-----
---
# nothing but a remark
---
apiVersion: baetyl.io/v1
kind: Application
name: sensors
type: function
selector: site = demo
services:
  - name: sensors
    runtime: python3
    functions: [{name: window, handler: window.handler}]
    code: {configuration: sensors-code}
    timeout: 5s
...
"#;

#[test]
fn when_a_file_has_many_documents_then_each_is_read() {
    let documents = parse_documents("a.yaml", FILE).unwrap();

    let summary: Vec<_> = documents
        .iter()
        .map(|document| {
            (
                document.number,
                document.kind.as_str(),
                document.name.as_str(),
                document.line,
            )
        })
        .collect();
    assert_eq!(
        summary,
        [
            (1, "Configuration", "thresholds", 2),
            (2, "Application", "sensors", 16)
        ]
    );
    let Some(Resource::Configuration(configuration)) = &documents[0].document.resource else {
        panic!("{documents:?}");
    };
    let pem = "-----BEGIN CERTIFICATE-----\n---\nMIIB\n-----END CERTIFICATE-----\n";
    assert_eq!(configuration.data["ca.pem"], pem);
}

#[test]
fn when_documents_are_wrong_then_all_of_them_are_told_at_once() {
    let text = "apiVersion: baetyl.io/v1\nkind: Configuration\nname: c\ndata: {a: 1}\n---\n\
                apiVersion: v1\nkind: Aplication\nname: x\n---\n\
                kind: Node\nname: n\nnodeMode: native\nsyncmode: cloud\n---\n\
                a: [\n---\n- 1\n---\njust text\n";

    let errors = parse_documents("broken.yaml", text).unwrap_err();

    let shown = errors.to_string();
    let expected = "9 fields are wrong in broken.yaml
  document 1, Configuration c
    line 4: data.a: must be text, got 1; put it in quotes
  document 2, Aplication x
    line 6: apiVersion: must be baetyl.io/v1, got \"v1\"
    line 7: kind: must be one of Namespace, Node, Application, Configuration, Secret, Certificate, Registry, got \"Aplication\"; did you mean Application?
  document 3, Node n
    line 10: apiVersion: must be baetyl.io/v1
    line 12: nodeMode: must be one of kube, process, got \"native\"
    line 13: syncmode: unknown field; did you mean syncMode?
  document 4
    line ";
    assert!(shown.starts_with(expected), "{shown}");
    let rest = "  document 5
    line 17: must be a mapping with apiVersion and kind
  document 6
    line 19: must be a mapping with apiVersion and kind";
    assert!(shown.ends_with(rest), "{shown}");
}

#[test]
fn when_json_holds_several_documents_then_each_is_read() {
    let one = r#"{"apiVersion": "baetyl.io/v1", "kind": "Namespace", "name": "n1"}"#;
    let two = r#"{"apiVersion": "baetyl.io/v1", "kind": "Namespace", "name": "n2"}"#;
    let rows = [
        ("a.json", format!("{one}\n{two}")),
        ("a.json", format!("[{one}, {two}]")),
        ("-", format!("{one}\n{two}")),
        ("-", format!("{one}\n---\n{two}")),
        ("a.yaml", format!("- {one}\n- {two}\n")),
    ];
    for (name, text) in rows {
        let documents = parse_documents(name, &text).unwrap();
        let names: Vec<_> = documents
            .iter()
            .map(|document| document.name.as_str())
            .collect();
        assert_eq!(names, ["n1", "n2"], "{name}: {text}");
    }
}

#[test]
fn when_there_is_nothing_then_there_are_no_documents() {
    for text in ["", "\n\n", "# remark\n", "---\n---\n", "---\n...\n"] {
        assert_eq!(parse_documents("-", text), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn when_the_header_stands_twice_then_it_is_wrong() {
    let text = "apiVersion: baetyl.io/v1\nkind: Namespace\nkind: Node\nname: n\n";

    let errors = parse_documents("-", text).unwrap_err();

    assert_eq!(errors.documents[0].violations[0].path, "kind");
    assert_eq!(
        errors.documents[0].violations[0].reason,
        reason::DUPLICATE_FIELD
    );
}

#[test]
fn when_there_are_too_many_documents_then_they_are_refused() {
    let text =
        "---\napiVersion: baetyl.io/v1\nkind: Namespace\nname: n\n".repeat(MAX_DOCUMENTS + 1);

    let errors = parse_documents("-", &text).unwrap_err();

    assert_eq!(errors.documents[0].violations[0].reason, reason::TOO_LARGE);
}

#[test]
fn when_a_document_was_printed_then_it_can_be_applied_again() {
    let stored = Secret {
        name: "db".to_owned(),
        uid: "0198".to_owned(),
        keys: vec!["password".to_owned()],
        revision: 3,
        digest: "sha256:00".to_owned(),
        etag: "0198-3".to_owned(),
        ..Secret::default()
    };
    let configuration = Configuration {
        name: "c".to_owned(),
        data: [("k".to_owned(), "no\n---\n-----BEGIN X-----\n".to_owned())].into(),
        revision: 9,
        ..Configuration::default()
    };
    let documents = [
        Resource::Secret(stored),
        Resource::Configuration(configuration),
    ]
    .map(|resource| Document {
        resource: Some(resource),
    });

    let printed = to_yaml(&documents, WriteOptions::default());
    let again = parse_documents("-", &printed).unwrap();

    assert!(printed.contains("revision: "), "{printed}");
    let Some(Resource::Secret(secret)) = &again[0].document.resource else {
        panic!("{again:?}");
    };
    assert_eq!((secret.etag.as_str(), secret.revision), ("0198-3", 0));
    assert_eq!((secret.uid.as_str(), secret.keys.len()), ("", 0));
    let Some(Resource::Configuration(configuration)) = &again[1].document.resource else {
        panic!("{again:?}");
    };
    assert_eq!(configuration.data["k"], "no\n---\n-----BEGIN X-----\n");
}

#[test]
fn when_output_only_fields_are_stripped_then_what_was_written_is_left() {
    let node = crate::resource::v1::Node {
        name: "n".to_owned(),
        uid: "0198".to_owned(),
        revision: 3,
        status: Some(crate::resource::v1::NodeStatus::default()),
        ..crate::resource::v1::Node::default()
    };
    let document = Document {
        resource: Some(Resource::Node(node)),
    };
    let options = WriteOptions {
        output_only: false,
        ..WriteOptions::default()
    };

    let expected = json!({"apiVersion": "baetyl.io/v1", "kind": "Node", "name": "n"});
    assert_eq!(to_json(&document, options), expected);
    assert!(
        to_yaml(&[document], options).starts_with("apiVersion: baetyl.io/v1\nkind: Node\nname: ")
    );
    assert_eq!(
        to_json(&Document::default(), options),
        serde_json::Value::Null
    );
}

#[test]
fn when_a_server_names_a_field_then_its_line_is_found() {
    let rows = [
        (2, "services[0].functions[0].handler", (24, 32)),
        (2, "services[0].restartPolicy", (22, 5)),
        (2, "selector", (20, 1)),
        (2, "application.selector", (20, 1)),
        (1, "data.limits.json", (7, 3)),
        (1, "data[\"limits.json\"]", (7, 3)),
        (1, "binary_data", (2, 1)),
        (1, "", (2, 1)),
    ];
    for (number, path, (line, column)) in rows {
        let found = locate("a.yaml", FILE, number, path);
        assert_eq!(found, Some(Position { line, column }), "{path}");
    }
    assert_eq!(locate("a.yaml", FILE, 3, "name"), None);
}

const FROM_FILES: &str = "apiVersion: baetyl.io/v1
kind: Certificate
name: tls
dataFromFiles:
  certificatePem: tls.crt
  privateKeyPem: tls.key
---
apiVersion: baetyl.io/v1
kind: Registry
name: private
address: registry.example.com
username: robot
dataFromFiles:
  password: password.txt
";

fn file(name: &str) -> Result<Vec<u8>, String> {
    match name {
        "tls.crt" => Ok(b"-----BEGIN CERTIFICATE-----\nAAAA\n".to_vec()),
        "tls.key" => Ok(b"-----BEGIN PRIVATE KEY-----\nAAAA\n".to_vec()),
        "password.txt" => Ok(b"p4ss word\r\n".to_vec()),
        "binary" => Ok(vec![0xff]),
        _ => Err(format!("{name}: not found")),
    }
}

#[test]
fn when_fields_are_taken_from_files_then_lines_of_text_lose_their_end() {
    let documents = parse_documents_with("a.yaml", FROM_FILES, &file).unwrap();

    let Some(Resource::Certificate(certificate)) = &documents[0].document.resource else {
        panic!("{documents:?}");
    };
    let Some(Resource::Registry(registry)) = &documents[1].document.resource else {
        panic!("{documents:?}");
    };
    let expected = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert_eq!(certificate.certificate_pem, expected);
    assert!(certificate.private_key_pem.ends_with("AAAA\n"));
    assert_eq!(registry.password, "p4ss word");
    let line = |number, path| locate("a.yaml", FROM_FILES, number, path).map(|at| at.line);
    assert_eq!(line(1, "privateKeyPem"), Some(6));
    assert_eq!(line(2, "password"), Some(14));
    assert_eq!(line(2, "address"), Some(11));
}

#[test]
fn when_fields_cannot_be_taken_from_files_then_all_of_them_are_told() {
    let text = "apiVersion: baetyl.io/v1\nkind: Registry\nname: private\npassword: x\n\
                dataFromFiles:\n  password: password.txt\n  uid: tls.crt\n  labels: tls.crt\n  \
                username: binary\n  address: nowhere\n";

    let errors = parse_documents_with("a.yaml", text, &file).unwrap_err();

    let found = errors.documents[0].violations.iter();
    let found: Vec<_> = found.map(|one| (one.path.as_str(), one.reason)).collect();
    assert_eq!(
        found,
        [
            ("dataFromFiles.password", reason::DUPLICATE_FIELD),
            ("dataFromFiles.uid", reason::UNKNOWN_FIELD),
            ("dataFromFiles.labels", reason::UNKNOWN_FIELD),
            ("dataFromFiles.username", reason::INVALID_FORMAT),
            ("dataFromFiles.address", reason::INVALID_FORMAT),
        ]
    );
}
