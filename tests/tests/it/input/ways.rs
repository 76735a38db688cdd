//! The same request by the command line, over REST and over gRPC, and what each says to it.

use anyhow::{Context as _, Result, bail, ensure};
use baetyl_pki::{KeyPair, SigningRequest, pem};
use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::application_service_client::ApplicationServiceClient;
use baetyl_proto::cloud::v1::configuration_service_client::ConfigurationServiceClient;
use baetyl_proto::cloud::v1::secret_service_client::SecretServiceClient;
use baetyl_proto::json::{Format, ReadOptions, from_json};
use baetyl_proto::resource::v1::Configuration;
use baetyl_proto::sync::v1::ActivateRequest;
use baetyl_proto::sync::v1::activation_service_client::ActivationServiceClient;
use baetyl_service_kit::fault::{self, Problem};
use baetyl_service_kit::serve::{ConnectOptions, Target, connect};
use baetyl_service_kit::tls::Roots;
use baetyl_tests::{Answer, Output};
use http::Method;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::{Case, Kind, Sent, System, Token, Value, Way, json, wait};

/// The content type of errors over REST.
pub(super) const PROBLEM: &str = "application/problem+json";

/// A token that has the form of one.
const UNKNOWN: &str = "bt_000000000000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What a way answered.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Name of the gRPC code.
    pub(super) code: String,
    pub(super) reason: String,
    /// Paths of all wrong fields; none where the answer is for people.
    pub(super) fields: Option<Vec<String>>,
    /// HTTP status.
    pub(super) status: Option<u16>,
    /// All of the answer.
    pub(super) text: String,
}

/// Sends cases to a running system.
pub(super) struct Sender<'a> {
    system: &'a System,
    expired: String,
}

impl<'a> Sender<'a> {
    /// Makes the tokens that cases show, and a context of the command line for each.
    pub(super) async fn new(system: &'a System) -> Result<Self> {
        let made = ["token", "create", "short", "--lifetime", "1s", "-o", "json"];
        let made: Value = serde_json::from_str(&system.cli(&made).await?.ok()?)?;
        let expired = made["secret"].as_str().context("a token")?.to_owned();
        let sender = Self { system, expired };
        let ca = system.folder().join("cloud-ca.pem");
        std::fs::write(&ca, system.from_context("ca")?)?;
        let (ca, cloud) = (ca.display().to_string(), system.from_context("cloud")?);
        for token in [Token::Missing, Token::Unknown, Token::Expired] {
            let file = system.folder().join(context(token));
            std::fs::write(&file, sender.token(token)?)?;
            let file = file.display().to_string();
            let set = [
                "context",
                "set",
                context(token),
                "--cloud",
                &cloud,
                "--ca",
                &ca,
            ];
            let set = [&set[..], &["--token-file", &file]].concat();
            system.cli(&set).await?.ok()?;
        }
        let mut rest = system.cloud_rest()?;
        rest.token = sender.token(Token::Expired)?;
        let look = async || Ok(rest.get("/v1/configs").await?.status);
        wait::until("the token's end", look, |status| *status == 401).await?;
        Ok(sender)
    }

    /// Sends a case; an answer that is no refusal is an error.
    pub(super) async fn send(&self, way: Way, case: &Case) -> Result<Refusal> {
        match way {
            Way::Cli => self.by_cli(case).await,
            Way::Rest => self.by_rest(case).await,
            Way::Grpc => self.by_grpc(case).await,
        }
    }

    fn token(&self, token: Token) -> Result<String> {
        Ok(match token {
            Token::Owner => self.system.from_context("token")?,
            Token::Missing => String::new(),
            Token::Unknown => UNKNOWN.to_owned(),
            Token::Expired => self.expired.clone(),
        })
    }

    async fn by_cli(&self, case: &Case) -> Result<Refusal> {
        let text = match &case.sent {
            Sent::Create(kind, document) => document_of(*kind, document).to_string(),
            Sent::Update(document) => document_of(Kind::Configuration, document).to_string(),
            Sent::Text(kind, fields) => {
                let title = json!({"apiVersion": "baetyl.io/v1", "kind": format!("{kind:?}")});
                let title = title.to_string();
                // A text that is cut stays so.
                let end = if fields.ends_with('{') { "" } else { "}" };
                format!("{}, {fields}{end}", title.trim_end_matches('}'))
            }
            Sent::Read(name) => {
                let args = ["--context", context(case.token), "get", "config", name];
                return cli_refusal(&self.system.cli(&args).await?);
            }
            Sent::Join(token) => {
                let folder = "refused";
                let refusal = cli_refusal(&join(self.system, token, folder).await?)?;
                let identity = self.system.folder().join(folder).join("identity");
                ensure!(!identity.join("node.json").exists(), "it is activated");
                return Ok(refusal);
            }
            Sent::Delete(..) => bail!("not by the command line"),
        };
        let args = ["--context", context(case.token), "apply", "-f", "-"];
        cli_refusal(&self.system.cli_with(&args, text.as_bytes()).await?)
    }

    async fn by_rest(&self, case: &Case) -> Result<Refusal> {
        let mut rest = self.system.cloud_rest()?;
        rest.token = self.token(case.token)?;
        let named = |name: &str| format!("/v1/configs/{name}");
        let answer = match &case.sent {
            Sent::Create(kind, document) => {
                rest.post(collection(*kind), document.to_string()).await?
            }
            Sent::Text(kind, fields) => {
                let end = if fields.ends_with('{') { "" } else { "}" };
                rest.post(collection(*kind), format!("{{{fields}{end}"))
                    .await?
            }
            Sent::Update(document) => {
                let mut document = document.clone();
                let etag = document.as_object_mut().and_then(|it| it.remove("etag"));
                let etag = etag.context("an etag")?;
                let guard = format!("\"{}\"", etag.as_str().context("its text")?);
                let path = named(document["name"].as_str().context("a name")?);
                let headers = [("if-match", guard.as_str())];
                rest.send(Method::PUT, &path, &headers, document.to_string())
                    .await?
            }
            Sent::Read(name) => rest.get(&named(name)).await?,
            Sent::Delete(name, etag) => {
                let guard = format!("\"{etag}\"");
                let headers = [("if-match", guard.as_str())];
                rest.send(Method::DELETE, &named(name), &headers, "")
                    .await?
            }
            Sent::Join(_) => bail!("not over REST"),
        };
        rest_refusal(&answer)
    }

    async fn by_grpc(&self, case: &Case) -> Result<Refusal> {
        let channel = self.channel().await?;
        let token = self.token(case.token)?;
        let answer = match &case.sent {
            Sent::Create(kind, document) => create(channel, &token, *kind, document).await?,
            Sent::Update(document) => {
                let request = wire::UpdateConfigurationRequest {
                    configuration: Some(configuration(document)?),
                    ..Default::default()
                };
                let mut client = ConfigurationServiceClient::new(channel);
                let answer = client.update_configuration(shown(request, &token)?).await;
                answer.map(drop)
            }
            Sent::Read(name) => {
                let request = wire::GetConfigurationRequest {
                    name: (*name).to_owned(),
                    ..Default::default()
                };
                let mut client = ConfigurationServiceClient::new(channel);
                let answer = client.get_configuration(shown(request, &token)?).await;
                answer.map(drop)
            }
            Sent::Delete(name, etag) => {
                let request = wire::DeleteConfigurationRequest {
                    name: (*name).to_owned(),
                    etag: (*etag).to_owned(),
                    ..Default::default()
                };
                let mut client = ConfigurationServiceClient::new(channel);
                let answer = client.delete_configuration(shown(request, &token)?).await;
                answer.map(drop)
            }
            Sent::Join(token) => {
                let request = ActivateRequest {
                    token: token.clone(),
                    certificate_request: SigningRequest::create(&KeyPair::generate(), "it")?.into(),
                    ..Default::default()
                };
                let mut client = ActivationServiceClient::new(channel);
                client.activate(request).await.map(drop)
            }
            Sent::Text(..) => bail!("not by a typed message"),
        };
        grpc_refusal(answer)
    }

    async fn channel(&self) -> Result<Channel> {
        let roots = pem::certs(self.system.from_context("ca")?.as_bytes())?;
        let tls = Target::tls(Roots::try_new(&roots)?, None);
        let target = Target::encrypted(&self.system.from_context("cloud")?, None, tls)?;
        Ok(connect(&target, &ConnectOptions::default()).await?)
    }
}

/// Joins a device with its data in a folder of the system.
pub(super) async fn join(system: &System, token: &str, folder: &str) -> Result<Output> {
    let data = system.folder().join(folder).display().to_string();
    let cloud = system.from_context("cloud")?;
    let args = [
        "join",
        &cloud,
        "--token",
        token,
        "--no-core",
        "--data",
        &data,
    ];
    system.cli(&args).await
}

/// The context of the command line that shows a token.
fn context(token: Token) -> &'static str {
    match token {
        Token::Owner => "local",
        Token::Missing => "missing",
        Token::Unknown => "unknown",
        Token::Expired => "expired",
    }
}

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Application => "/v1/apps",
        Kind::Configuration => "/v1/configs",
        Kind::Secret => "/v1/secrets",
    }
}

/// A resource as a document.
fn document_of(kind: Kind, resource: &Value) -> Value {
    let mut document = resource.clone();
    document["apiVersion"] = json!("baetyl.io/v1");
    document["kind"] = json!(format!("{kind:?}"));
    document
}

/// A configuration as its message.
fn configuration(resource: &Value) -> Result<Configuration> {
    let (text, options) = (resource.to_string(), ReadOptions::request());
    let name = "baetyl.resource.v1.Configuration";
    Ok(from_json(name, &text, Format::Json, options)?)
}

/// A request that shows a token, if there is one.
fn shown<M>(message: M, token: &str) -> Result<Request<M>> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let bearer = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", bearer);
    }
    Ok(request)
}

async fn create(
    channel: Channel,
    token: &str,
    kind: Kind,
    resource: &Value,
) -> Result<Result<(), Status>> {
    let (text, options) = (resource.to_string(), ReadOptions::request());
    Ok(match kind {
        Kind::Application => {
            let name = "baetyl.resource.v1.Application";
            let request = wire::CreateApplicationRequest {
                application: Some(from_json(name, &text, Format::Json, options)?),
                ..Default::default()
            };
            let mut client = ApplicationServiceClient::new(channel);
            let answer = client.create_application(shown(request, token)?).await;
            answer.map(drop)
        }
        Kind::Configuration => {
            let request = wire::CreateConfigurationRequest {
                configuration: Some(configuration(resource)?),
                ..Default::default()
            };
            let mut client = ConfigurationServiceClient::new(channel);
            let answer = client.create_configuration(shown(request, token)?).await;
            answer.map(drop)
        }
        Kind::Secret => {
            let name = "baetyl.resource.v1.Secret";
            let request = wire::CreateSecretRequest {
                secret: Some(from_json(name, &text, Format::Json, options)?),
                ..Default::default()
            };
            let mut client = SecretServiceClient::new(channel);
            client.create_secret(shown(request, token)?).await.map(drop)
        }
    })
}

/// Reads `error: … [CODE / REASON]`.
fn cli_refusal(output: &Output) -> Result<Refusal> {
    ensure!(output.code == 1, "{output:?}");
    let tag = output.stderr.split('[').skip(1).find_map(|rest| {
        let (code, rest) = rest.split_once(" / ")?;
        let (reason, _) = rest.split_once(']')?;
        Some((code.to_owned(), reason.to_owned()))
    });
    let (code, reason) = tag.with_context(|| format!("{output:?}"))?;
    Ok(Refusal {
        code,
        reason,
        fields: None,
        status: None,
        text: output.stderr.clone(),
    })
}

fn rest_refusal(answer: &Answer) -> Result<Refusal> {
    ensure!(answer.status >= 400, "it was taken: {}", answer.text());
    let kind = answer.headers.get("content-type").context("a type")?;
    ensure!(kind == PROBLEM, "{kind:?}: {}", answer.text());
    let problem = answer.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let violations = problem["violations"].as_array().cloned();
    let violations = violations.unwrap_or_default();
    Ok(Refusal {
        code: text(&problem["code"]),
        reason: text(&problem["reason"]),
        fields: Some(violations.iter().map(|it| text(&it["field"])).collect()),
        status: Some(answer.status),
        text: answer.text(),
    })
}

fn grpc_refusal(answer: Result<(), Status>) -> Result<Refusal> {
    let Err(status) = answer else {
        bail!("it was taken");
    };
    let problem = Problem::from_status(&status);
    let violations = problem.violations.iter();
    Ok(Refusal {
        code: fault::name(problem.code).to_owned(),
        reason: problem.reason.clone(),
        fields: Some(violations.map(|it| it.field.clone()).collect()),
        status: None,
        text: format!("{problem:?}"),
    })
}
