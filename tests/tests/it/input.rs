//! Bad input through the command line, REST and gRPC: every violation at once, nothing stored.

use anyhow::Result;
use baetyl_pki::pem;
use baetyl_proto::cloud::v1::CreateApplicationRequest;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::json::{Format, ReadOptions, from_json};
use baetyl_service_kit::fault::{Code, Problem};
use baetyl_service_kit::serve::{ConnectOptions, Target, connect};
use baetyl_service_kit::tls::Roots;
use baetyl_tests::System;
use http::Method;
use serde_json::{Value, json};

/// What is sent, and the violations that must come back: path and reason of each.
struct Case {
    name: &'static str,
    document: Value,
    violations: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    let service = json!({"name": "main", "program": {"entry": ["true"]}});
    let application = |fields: Value| {
        let mut document =
            json!({"name": "bad", "type": "process", "selector": "a = b", "services": [service]});
        for (key, value) in fields.as_object().cloned().unwrap_or_default() {
            document[key] = value;
        }
        document
    };
    vec![
        Case {
            name: "a selector and a handler at once",
            document: json!({
                "name": "bad", "type": "function", "selector": "site ==! demo",
                "services": [{"name": "main", "runtime": "python3", "code": {"configuration": "code"},
                    "functions": [{"name": "w", "handler": "window"}]}],
            }),
            violations: &["selector", "services[0].functions[0].handler"],
        },
        Case {
            name: "a bad name",
            document: application(json!({"name": "Bad_Name"})),
            violations: &["name"],
        },
        Case {
            name: "a port twice",
            document: application(json!({"services": [
                {"name": "aa", "program": {"entry": ["true"]}, "ports": [{"name": "p", "hostPort": 5000}]},
                {"name": "bb", "program": {"entry": ["true"]}, "ports": [{"name": "p", "hostPort": 5000}]},
            ]})),
            violations: &["services[1].ports[0].hostPort"],
        },
        Case {
            name: "a mount without a volume",
            document: application(
                json!({"services": [{"name": "aa", "program": {"entry": ["true"]},
                "volumeMounts": [{"name": "nothing", "mountPath": "/x"}]}]}),
            ),
            violations: &["services[0].volumeMounts[0].name"],
        },
    ]
}

#[tokio::test]
async fn when_documents_are_wrong_then_all_violations_come_back_and_nothing_is_stored() -> Result<()>
{
    let system = System::start().await?;
    let rest = system.cloud_rest()?;

    for case in cases() {
        let created = rest
            .send(Method::POST, "/v1/apps", &[], case.document.to_string())
            .await?;

        let (name, text) = (case.name, created.text());
        assert_eq!(created.status, 400, "{name}: {text}");
        let fields: Vec<_> = created.json()["violations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|violation| violation["field"].as_str().unwrap_or_default().to_owned())
            .collect();
        for field in case.violations {
            let found = fields.iter().any(|found| found.ends_with(field));
            assert!(found, "{name}: {field} is not in {text}");
        }
        assert_eq!(fields.len(), case.violations.len(), "{name}: {text}");
        let by_grpc = create_by_grpc(&system, &case.document).await?;
        assert_eq!(by_grpc.code, Code::InvalidArgument, "{name}: {by_grpc:?}");
        assert_eq!(
            by_grpc.violations.len(),
            case.violations.len(),
            "{name}: {by_grpc:?}"
        );
        for field in case.violations {
            let mut found = by_grpc.violations.iter();
            assert!(
                found.any(|it| it.field.ends_with(field)),
                "{name}: {by_grpc:?}"
            );
        }
        let mut document = case.document.clone();
        document["apiVersion"] = json!("baetyl.io/v1");
        document["kind"] = json!("Application");
        let applied = system
            .cli_with(&["apply", "-f", "-"], document.to_string().as_bytes())
            .await?;
        assert_eq!(applied.code, 1, "{name}: {applied:?}");
        for field in case.violations {
            assert!(applied.stderr.contains(field), "{name}: {}", applied.stderr);
        }
    }
    let listed = rest.get("/v1/apps").await?;
    assert_eq!(
        listed.json()["applications"].as_array().map_or(0, Vec::len),
        0,
        "{}",
        listed.text()
    );
    Ok(())
}

/// Sends the same document as a typed message, past the gateway and the command line.
async fn create_by_grpc(system: &System, document: &Value) -> Result<Problem> {
    let application = from_json(
        "baetyl.resource.v1.Application",
        &document.to_string(),
        Format::Json,
        ReadOptions::request(),
    )?;
    let roots = Roots::try_new(&pem::certs(system.from_context("ca")?.as_bytes())?)?;
    let address = system.from_context("cloud")?;
    let target = Target::encrypted(&address, None, Target::tls(roots, None))?;
    let channel = connect(&target, &ConnectOptions::default()).await?;
    let mut request = tonic::Request::new(CreateApplicationRequest {
        application: Some(application),
        ..Default::default()
    });
    let bearer = format!("Bearer {}", system.from_context("token")?).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut service = ApplicationServiceClient::new(channel);
    match service.create_application(request).await {
        Ok(_) => anyhow::bail!("it was stored"),
        Err(status) => Ok(Problem::from_status(&status)),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, one row a request")]
async fn when_requests_are_wrong_then_status_and_reason_say_so() -> Result<()> {
    let system = System::start().await?;
    let rest = system.cloud_rest()?;
    let config = json!({"name": "limits", "data": {"a": "1"}}).to_string();
    let made = rest
        .send(Method::POST, "/v1/configs", &[], config.clone())
        .await?;
    assert_eq!(made.status, 200, "{}", made.text());
    let large = json!({"name": "large", "stringData": {"a": "x".repeat(70 * 1024)}}).to_string();
    let reference = json!({"name": "needs", "type": "process", "selector": "a = b", "services": [
        {"name": "aa", "program": {"configuration": "missing", "entry": ["x"]}}]})
    .to_string();
    let etag = [("if-match", "\"nonsense\"")];

    for (name, method, path, headers, body, status, reason) in [
        (
            "unknown field",
            Method::POST,
            "/v1/configs",
            &[][..],
            r#"{"name": "aa", "dat": {}}"#.to_owned(),
            400,
            None,
        ),
        (
            "wrong type",
            Method::POST,
            "/v1/configs",
            &[],
            r#"{"name": "aa", "data": {"a": 1}}"#.to_owned(),
            400,
            None,
        ),
        (
            "not json",
            Method::POST,
            "/v1/configs",
            &[],
            "{".to_owned(),
            400,
            None,
        ),
        (
            "too large",
            Method::POST,
            "/v1/secrets",
            &[],
            large,
            400,
            None,
        ),
        (
            "exists",
            Method::POST,
            "/v1/configs",
            &[],
            config.clone(),
            409,
            Some("RESOURCE_EXISTS"),
        ),
        (
            "missing reference",
            Method::POST,
            "/v1/apps",
            &[],
            reference,
            400,
            Some("MISSING_REFERENCE"),
        ),
        (
            "etag",
            Method::PUT,
            "/v1/configs/limits",
            &etag,
            config,
            412,
            Some("ETAG_MISMATCH"),
        ),
        (
            "not there",
            Method::GET,
            "/v1/configs/nothing",
            &[],
            String::new(),
            404,
            Some("RESOURCE_NOT_FOUND"),
        ),
        (
            "no route",
            Method::GET,
            "/v1/nonsense",
            &[],
            String::new(),
            404,
            None,
        ),
        (
            "no method",
            Method::PUT,
            "/v1/configs",
            &[],
            String::new(),
            405,
            None,
        ),
    ] {
        let answer = rest.send(method, path, headers, body).await?;
        let text = answer.text();
        assert_eq!(answer.status, status, "{name}: {text}");
        if let Some(reason) = reason {
            assert_eq!(answer.json()["reason"], reason, "{name}: {text}");
        }
        let kind = answer
            .headers
            .get("content-type")
            .map(|kind| kind.to_str().unwrap_or_default().to_owned());
        assert_eq!(
            kind.as_deref(),
            Some("application/problem+json"),
            "{name}: {text}"
        );
    }
    let mut nobody = rest.clone();
    nobody.token = String::new();
    assert_eq!(nobody.get("/v1/nodes").await?.status, 401);
    nobody.token = "bt_nonsense".to_owned();
    assert_eq!(nobody.get("/v1/nodes").await?.status, 401);
    Ok(())
}
