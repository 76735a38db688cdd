//! One request: who asks, and what goes wrong.

use std::sync::Arc;
use std::time::SystemTime;

use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use tokio_util::sync::CancellationToken;

use super::accept::form;
use super::call::Call;
use super::query::Query;
use super::route::{Route, route};
use super::{Answer, connection, respond};
use crate::faults::{Facts, Fault, Outage};
use crate::log::Request as LogEntry;
use crate::rbac::User;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// What the server takes, in bytes.
const MOST_BODY: usize = 3 * 1024 * 1024;

/// What is known of a request before its body is read.
struct Head {
    route: Route,
    query: Query,
    verb: &'static str,
    user: Option<User>,
    facts: Facts,
    accept: String,
    agent: String,
    media_type: String,
    entry: LogEntry,
}

/// Answers a request.
pub(super) async fn handle(
    shared: Arc<Shared>,
    cut: CancellationToken,
    request: Request<Incoming>,
) -> Answer {
    stay_silent(&shared, &cut).await;
    let (parts, body) = request.into_parts();
    let head = read_head(&shared, &parts);
    let mut entry = head.entry.clone();
    let log = Arc::clone(&shared.log);
    let plan = shared.faults.plan(&head.facts);
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    let answer = match plan.before {
        Some(Fault::Answer(code)) => Err(Refusal::of_code(code)),
        Some(Fault::Cut) => {
            log.add(entry);
            return connection::cut(&cut).await;
        }
        Some(_) => {
            log.add(entry);
            return std::future::pending().await;
        }
        None => answer(shared, head, body, plan.repeats).await,
    };
    let answer = match plan.after {
        Some(Fault::StoredThenAnswer(code)) => Err(Refusal::of_code(code)),
        Some(_) => {
            log.add(entry);
            return connection::cut(&cut).await;
        }
        None => answer,
    };
    let answer = answer.unwrap_or_else(|refusal| respond::refusal(&refusal));
    entry.status = answer.status().as_u16();
    log.add(entry);
    answer
}

fn read_head(shared: &Shared, parts: &http::request::Parts) -> Head {
    let path = parts.uri.path();
    let raw_query = parts.uri.query().unwrap_or_default();
    let query = Query::parse(raw_query);
    let route = route(path);
    let verb = verb(&parts.method, &route, &query);
    let header = |name: http::HeaderName| {
        let value = parts.headers.get(name);
        let value = value.and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let authorization = header(http::header::AUTHORIZATION);
    let token = authorization.strip_prefix("Bearer ");
    let user = token.and_then(|token| shared.users.of_token(token.trim()));
    let facts = facts(&route, verb, user.as_ref());
    let entry = LogEntry {
        number: 0,
        at: SystemTime::now(),
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: raw_query.to_owned(),
        verb: verb.to_owned(),
        resource: facts.resource.clone(),
        namespace: facts.namespace.clone(),
        name: facts.name.clone(),
        user: facts.user.clone(),
        status: 0,
        is_dry_run: query.is_dry_run(),
    };
    Head {
        accept: header(http::header::ACCEPT),
        agent: header(http::header::USER_AGENT),
        media_type: header(http::header::CONTENT_TYPE),
        route,
        query,
        verb,
        user,
        facts,
        entry,
    }
}

async fn answer(
    shared: Arc<Shared>,
    head: Head,
    body: Incoming,
    repeats: usize,
) -> Result<Answer, Refusal> {
    let user = head.user.ok_or_else(|| Refusal::of_code(401))?;
    let call = Call {
        shared,
        user,
        verb: head.verb,
        query: head.query,
        form: form(&head.accept)?,
        agent: head.agent,
        media_type: head.media_type,
        body: read_body(body).await?,
        facts: head.facts,
        repeats,
    };
    call.answer(&head.route, &head.entry.path)
}

/// A server that is away but keeps its connections answers nothing.
async fn stay_silent(shared: &Shared, cut: &CancellationToken) {
    let mut outages = shared.faults.outages();
    let is_silent = *outages.borrow() == Some(Outage::Silent);
    if is_silent {
        let _ = outages
            .wait_for(|outage| *outage != Some(Outage::Silent))
            .await;
        cut.cancel();
        std::future::pending::<()>().await;
    }
}

async fn read_body(body: Incoming) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, MOST_BODY).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| {
        Refusal::new(
            413,
            "RequestEntityTooLarge",
            format!("limit is {MOST_BODY}"),
        )
    })
}

fn verb(method: &Method, route: &Route, query: &Query) -> &'static str {
    let Route::Object(path) = route else {
        return match *method {
            Method::GET => "get",
            _ => "post",
        };
    };
    let is_collection = path.name.is_empty();
    match *method {
        Method::GET if is_collection && query.is_true("watch") => "watch",
        Method::GET if is_collection => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn facts(route: &Route, verb: &str, user: Option<&User>) -> Facts {
    let mut facts = Facts {
        user: user.map(|user| user.name.clone()).unwrap_or_default(),
        verb: verb.to_owned(),
        ..Facts::default()
    };
    if let Route::Object(path) = route {
        facts.resource = path.resource();
        facts.namespace.clone_from(&path.namespace);
        facts.name.clone_from(&path.name);
    }
    facts
}
