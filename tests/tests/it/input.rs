//! Bad input through the command line, REST and gRPC, from one table: the same code and reason
//! everywhere, everything that is wrong at once, and nothing is stored or changed.

mod ways;

use anyhow::{Context as _, Result};
use baetyl_service_kit::fault::{Code, name};
use baetyl_tests::{System, wait};
use serde_json::{Value, json};

use ways::{Refusal, Sender};

/// A way into the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The command line.
    Cli,
    /// JSON over HTTP, through the gateway.
    Rest,
    /// Typed messages, past gateway and command line.
    Grpc,
}

/// What is sent; every way has its own form of it.
#[derive(Clone, Debug)]
enum Sent {
    /// A new resource.
    Create(Kind, Value),
    /// A text where a resource belongs.
    Text(Kind, &'static str),
    /// A configuration that is there, as it should become; with an etag it is guarded.
    Update(Value),
    /// The name of a configuration that is to be read.
    Read(&'static str),
    /// The name of a configuration that is to be deleted, and the etag that it should have.
    Delete(&'static str, &'static str),
    /// A device that has a key of its own and this join token.
    Join(String),
}

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Application,
    Configuration,
    Secret,
}

/// Who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// The token that `up` made.
    Owner,
    Missing,
    /// Well formed, and never made.
    Unknown,
    /// Made, and lapsed.
    Expired,
}

/// One row.
#[derive(Clone, Debug)]
struct Case {
    name: &'static str,
    sent: Sent,
    token: Token,
    code: Code,
    reason: &'static str,
    /// Ends of the paths of all wrong fields; for other reasons what the answer speaks of.
    about: &'static [&'static str],
    /// HTTP status where it is not the one of the code.
    status: Option<u16>,
    /// Ways that cannot send it, and why.
    not_by: &'static [(Way, &'static str)],
}

impl Case {
    fn new(name: &'static str, sent: Sent, (code, reason): (Code, &'static str)) -> Self {
        Self {
            name,
            sent,
            token: Token::Owner,
            code,
            reason,
            about: &[],
            status: None,
            not_by: &[],
        }
    }

    /// Wrong fields, all of them.
    fn fields(name: &'static str, sent: Sent, about: &'static [&'static str]) -> Self {
        let case = Self::new(name, sent, (Code::InvalidArgument, "FIELD_VIOLATION"));
        case.about(about)
    }

    fn about(mut self, about: &'static [&'static str]) -> Self {
        self.about = about;
        self
    }

    fn by(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    fn not_by(mut self, not_by: &'static [(Way, &'static str)]) -> Self {
        self.not_by = not_by;
        self
    }
}

const UPSERT: (Way, &str) = (Way::Cli, "apply replaces what is there, it does not create");
const TYPED: (Way, &str) = (Way::Grpc, "no typed message can say it");
const NO_ETAG: (Way, &str) = (Way::Cli, "delete takes names, which have no etag");
const NO_REST: (Way, &str) = (Way::Rest, "devices are activated over gRPC only");

/// Documents that are wrong in themselves.
fn documents() -> Vec<Case> {
    let service = json!({"name": "main", "program": {"entry": ["true"]}});
    let application = |fields: Value| {
        let mut document =
            json!({"name": "bad", "type": "process", "selector": "a = b", "services": [service]});
        for (key, value) in fields.as_object().cloned().unwrap_or_default() {
            document[key] = value;
        }
        Sent::Create(Kind::Application, document)
    };
    vec![
        Case::fields(
            "a selector and a handler at once",
            application(json!({
                "type": "function", "selector": "site ==! demo",
                "services": [{"name": "main", "runtime": "python3", "code": {"configuration": "code"},
                    "functions": [{"name": "w", "handler": "window"}]}],
            })),
            &["selector", "services[0].functions[0].handler"],
        ),
        Case::fields(
            "a bad name",
            application(json!({"name": "Bad_Name"})),
            &["name"],
        ),
        Case::fields(
            "a port twice",
            application(json!({"services": [
                {"name": "aa", "program": {"entry": ["true"]}, "ports": [{"name": "p", "hostPort": 5000}]},
                {"name": "bb", "program": {"entry": ["true"]}, "ports": [{"name": "p", "hostPort": 5000}]},
            ]})),
            &["services[1].ports[0].hostPort"],
        ),
        Case::fields(
            "a mount without a volume",
            application(
                json!({"services": [{"name": "aa", "program": {"entry": ["true"]},
                "volumeMounts": [{"name": "nothing", "mountPath": "/x"}]}]}),
            ),
            &["services[0].volumeMounts[0].name"],
        ),
        Case::fields(
            "a secret that is too large",
            Sent::Create(
                Kind::Secret,
                json!({"name": "large", "stringData": {"a": "x".repeat(70 * 1024)}}),
            ),
            &["data"],
        ),
        Case::fields(
            "an unknown field",
            Sent::Text(Kind::Configuration, r#""name": "aa", "dat": {}"#),
            &["dat"],
        )
        .not_by(&[TYPED]),
        Case::fields(
            "a number where text belongs",
            Sent::Text(Kind::Configuration, r#""name": "aa", "data": {"a": 1}"#),
            &["data.a"],
        )
        .not_by(&[TYPED]),
        Case::fields(
            "half a text",
            Sent::Text(Kind::Configuration, r#""name": "aa", "data": {"#),
            &[""],
        )
        .not_by(&[TYPED]),
    ]
}

/// Documents that do not fit to what is stored.
fn references() -> Vec<Case> {
    let etag_mismatch = (Code::Aborted, "ETAG_MISMATCH");
    vec![
        Case::new(
            "a reference to nothing",
            Sent::Create(
                Kind::Application,
                json!({"name": "needs", "type": "process", "selector": "a = b", "services": [
                    {"name": "aa", "program": {"configuration": "missing", "entry": ["x"]}}]}),
            ),
            (Code::FailedPrecondition, "MISSING_REFERENCE"),
        )
        .about(&["configuration/missing", "application/needs"]),
        Case::new(
            "a name that is taken",
            Sent::Create(
                Kind::Configuration,
                json!({"name": "limits", "data": {"a": "2"}}),
            ),
            (Code::AlreadyExists, "RESOURCE_EXISTS"),
        )
        .about(&["limits"])
        .not_by(&[UPSERT]),
        Case::new(
            "a change of what somebody else changed",
            Sent::Update(json!({"name": "limits", "data": {"a": "2"}, "etag": "older"})),
            etag_mismatch,
        )
        .about(&["limits"])
        .status(412),
        Case::new(
            "a delete of what somebody else changed",
            Sent::Delete("limits", "older"),
            etag_mismatch,
        )
        .about(&["limits"])
        .status(412)
        .not_by(&[NO_ETAG]),
        Case::new(
            "a name that nothing has",
            Sent::Read("nothing"),
            (Code::NotFound, "RESOURCE_NOT_FOUND"),
        )
        .about(&["nothing"]),
    ]
}

/// Tokens of people that are no good, and of devices: `used` joined another device before.
///
/// A join token that lapsed is missing here: none lives shorter than a minute. The tests of the
/// control plane have it, with a clock of their own.
fn tokens(used: &str) -> Vec<Case> {
    let create = Sent::Create(
        Kind::Configuration,
        json!({"name": "aa", "data": {"a": "1"}}),
    );
    let refused = |name, token, reason| {
        let case = Case::new(name, create.clone(), (Code::Unauthenticated, reason));
        case.by(token).about(&["token"])
    };
    // The same authority, another token.
    let (_, rest) = used.split_once('.').unwrap_or_default();
    let made_up = format!("jt_{}.{rest}", "0".repeat(24));
    vec![
        refused("nobody's", Token::Missing, "TOKEN_MISSING"),
        refused("a made up token's", Token::Unknown, "TOKEN_INVALID"),
        refused("a lapsed token's", Token::Expired, "TOKEN_EXPIRED"),
        Case::new(
            "a join token that another device used",
            Sent::Join(used.to_owned()),
            (Code::PermissionDenied, "TOKEN_REUSED"),
        )
        .about(&["join token"])
        .not_by(&[NO_REST]),
        Case::new(
            "a made up join token",
            Sent::Join(made_up),
            (Code::Unauthenticated, "TOKEN_INVALID"),
        )
        .about(&["join token"])
        .not_by(&[NO_REST]),
    ]
}

#[tokio::test]
async fn when_input_is_wrong_then_every_way_says_the_same_and_nothing_is_stored() -> Result<()> {
    let system = System::start().await?;
    let sender = Sender::new(&system).await?;
    let limits = json!({"apiVersion": "baetyl.io/v1", "kind": "Configuration",
        "name": "limits", "data": {"a": "1"}});
    let limits = limits.to_string();
    system
        .cli_with(&["apply", "-f", "-"], limits.as_bytes())
        .await?
        .ok()?;
    let used = join_one(&system).await?;
    let before = stored(&system).await?;

    let mut wrong = Vec::new();
    for case in [documents(), references(), tokens(&used)].concat() {
        for way in [Way::Cli, Way::Rest, Way::Grpc] {
            if case.not_by.iter().any(|(except, _)| *except == way) {
                continue;
            }
            let refusal = sender.send(way, &case).await;
            let refusal = refusal.with_context(|| format!("{} by {way:?}", case.name))?;
            if let Err(what) = check(&case, way, &refusal) {
                wrong.push(format!("{} by {way:?}: {what}: {refusal:#?}", case.name));
            }
            let after = stored(&system).await?;
            assert_eq!(after, before, "{} by {way:?} changed something", case.name);
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn check(case: &Case, way: Way, refusal: &Refusal) -> Result<(), String> {
    let expected = (name(case.code), case.reason);
    if (refusal.code.as_str(), refusal.reason.as_str()) != expected {
        return Err(format!("not {expected:?}"));
    }
    let status = case.status.unwrap_or_else(|| http_status(case.code));
    if way == Way::Rest && refusal.status != Some(status) {
        return Err(format!("the status is not {status}"));
    }
    let missing = case.about.iter().find(|about| {
        let is_field = |field: &String| field.ends_with(*about);
        match &refusal.fields {
            Some(fields) if case.reason == "FIELD_VIOLATION" => !fields.iter().any(is_field),
            _ => !refusal.text.contains(*about),
        }
    });
    if let Some(missing) = missing {
        return Err(format!("{missing:?} is not named"));
    }
    match &refusal.fields {
        Some(fields) if case.reason == "FIELD_VIOLATION" && fields.len() != case.about.len() => {
            Err(format!("there are other fields than {:?}", case.about))
        }
        _ => Ok(()),
    }
}

fn http_status(code: Code) -> u16 {
    baetyl_service_kit::fault::http_status(code)
}

/// Adds a node and joins a device to it; returns the token that is used up.
async fn join_one(system: &System) -> Result<String> {
    let added = system.cli(&["node", "add", "other", "-o", "json"]).await?;
    let added: Value = serde_json::from_str(&added.ok()?)?;
    let token = added["token"].as_str().context("a token")?.to_owned();
    ways::join(system, &token, "first").await?.ok()?;
    Ok(token)
}

/// Everything that the tenant has: resources whole, of nodes what is no status.
async fn stored(system: &System) -> Result<Value> {
    let rest = system.cloud_rest()?;
    let mut all = json!({});
    for path in ["apps", "configs", "secrets", "nodes"] {
        let answer = rest.get(&format!("/v1/{path}")).await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.text());
        all[path] = answer.json();
    }
    let nodes = all["nodes"]["nodes"].as_array_mut();
    for node in nodes.context("nodes")? {
        node["status"].take();
    }
    // Where a watch would start moves with every report of a node.
    for listed in all.as_object_mut().context("lists")?.values_mut() {
        listed["resumeToken"].take();
    }
    Ok(all)
}

#[tokio::test]
async fn when_a_path_is_wrong_then_rest_says_so_as_a_problem() -> Result<()> {
    let system = System::start().await?;
    let rest = system.cloud_rest()?;

    for (name, method, path, status, reason) in [
        (
            "no route",
            http::Method::GET,
            "/v1/nonsense",
            404,
            "ROUTE_NOT_FOUND",
        ),
        (
            "no method",
            http::Method::PUT,
            "/v1/configs",
            405,
            "METHOD_NOT_ALLOWED",
        ),
    ] {
        let answer = rest.send(method, path, &[], "").await?;
        let text = answer.text();
        assert_eq!(answer.status, status, "{name}: {text}");
        assert_eq!(answer.json()["reason"], reason, "{name}: {text}");
        assert_eq!(
            answer.headers["content-type"],
            ways::PROBLEM,
            "{name}: {text}"
        );
    }
    Ok(())
}
