//! One way to call one method over HTTP: a `google.api.http` rule, compiled.

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, Value,
};

pub(crate) mod template;
#[cfg(test)]
mod tests;

use template::{Template, TemplateError};

/// Methods whose bodies may be larger than others': they carry whole sets of documents.
const LARGE: [&str; 1] = ["baetyl.cloud.v1.ApplyService.Apply"];

/// Why a rule of the contract cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The path is malformed.
    #[error("{rpc}: the path is wrong")]
    Path {
        /// Full name of the method.
        rpc: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// A field is named that the message does not have.
    #[error("{rpc}: there is no field {field:?}")]
    Field {
        /// Full name of the method.
        rpc: String,
        /// The field.
        field: String,
    },
    /// The rule names no HTTP method, or one that cannot be used.
    #[error("{rpc}: the rule names no HTTP method")]
    Method {
        /// Full name of the method.
        rpc: String,
    },
    /// Clients that stream cannot be served over REST.
    #[error("{rpc}: the client streams")]
    ClientStreams {
        /// Full name of the method.
        rpc: String,
    },
}

/// Which part of the request message the body is.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// There is none; query parameters set the fields.
    None,
    /// All of it.
    Whole,
    /// One field, in JSON.
    Field(FieldDescriptor),
    /// One field of bytes, as it is.
    Raw(FieldDescriptor),
}

/// Where a field with a meaning for HTTP is.
#[derive(Debug, Clone)]
pub(crate) enum EtagPlace {
    /// In the request message: a delete.
    Request,
    /// In the resource that is the body: an update.
    Resource(FieldDescriptor),
}

/// A rule that can be served.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) method: Method,
    pub(crate) template: Template,
    pub(crate) rpc: MethodDescriptor,
    /// Package of the method, which says who serves it.
    pub(crate) package: String,
    /// Where the backend serves it.
    pub(crate) path: PathAndQuery,
    pub(crate) body: Body,
    /// The part of the response message that is shown; all of it without one.
    pub(crate) response: Option<FieldDescriptor>,
    pub(crate) etag: Option<EtagPlace>,
    pub(crate) is_large: bool,
    /// Which of its method's rules it is.
    pub(crate) index: usize,
}

impl Rule {
    /// The rules of a method, none when it is not for REST.
    pub(crate) fn compile(
        rpc: &MethodDescriptor,
        http: &ExtensionDescriptor,
    ) -> Result<Vec<Self>, RuleError> {
        let options = rpc.options();
        if !options.has_extension(http) {
            return Ok(Vec::new());
        }
        if rpc.is_client_streaming() {
            let rpc = rpc.full_name().to_owned();
            return Err(RuleError::ClientStreams { rpc });
        }
        let value = options.get_extension(http);
        let mut rules = Vec::new();
        if let Value::Message(first) = value.as_ref() {
            rules.push(Self::compile_one(rpc, first, 0)?);
            let more = first.get_field_by_name("additional_bindings");
            let more = more.as_ref().and_then(|more| more.as_list());
            for binding in more
                .unwrap_or_default()
                .iter()
                .filter_map(Value::as_message)
            {
                rules.push(Self::compile_one(rpc, binding, rules.len())?);
            }
        }
        Ok(rules)
    }

    fn compile_one(
        rpc: &MethodDescriptor,
        rule: &DynamicMessage,
        index: usize,
    ) -> Result<Self, RuleError> {
        let full_name = rpc.full_name();
        let (method, path) = pattern(rule).ok_or_else(|| RuleError::Method {
            rpc: full_name.to_owned(),
        })?;
        let template = Template::parse(&path).map_err(|source| RuleError::Path {
            rpc: full_name.to_owned(),
            source,
        })?;
        let missing = |field: &str| RuleError::Field {
            rpc: full_name.to_owned(),
            field: field.to_owned(),
        };
        for variable in template.variables() {
            field_at(&rpc.input(), &variable.field).ok_or_else(|| missing(&variable.field))?;
        }
        let text = |name: &str| {
            let value = rule.get_field_by_name(name);
            value
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let body_name = text("body");
        let body = body(&rpc.input(), &body_name).ok_or_else(|| missing(&body_name))?;
        let response_name = text("response_body");
        let response = match response_name.as_str() {
            "" => None,
            name => Some(
                rpc.output()
                    .get_field_by_name(name)
                    .ok_or_else(|| missing(name))?,
            ),
        };
        let service = rpc.parent_service();
        Ok(Self {
            template,
            package: service.package_name().to_owned(),
            path: PathAndQuery::try_from(format!("/{}/{}", service.full_name(), rpc.name()))
                .expect("names of the contract are letters, digits and dots"),
            etag: etag(&method, &rpc.input(), &body),
            method,
            body,
            response,
            is_large: LARGE.contains(&full_name),
            rpc: rpc.clone(),
            index,
        })
    }

    /// A text field of the request message itself.
    pub(crate) fn request_field(&self, name: &str) -> Option<FieldDescriptor> {
        self.rpc.input().get_field_by_name(name)
    }

    /// Whether the answer is bytes as they are.
    pub(crate) fn is_raw_response(&self) -> bool {
        self.response.as_ref().is_some_and(is_bytes)
    }
}

/// The HTTP method and the path of a rule.
fn pattern(rule: &DynamicMessage) -> Option<(Method, String)> {
    let methods = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    for (name, method) in methods {
        if rule.has_field_by_name(name) {
            let path = rule.get_field_by_name(name)?;
            return Some((method, path.as_str()?.to_owned()));
        }
    }
    let custom = rule.get_field_by_name("custom")?;
    let custom = custom.as_message()?;
    let (kind, path) = (
        custom.get_field_by_name("kind")?,
        custom.get_field_by_name("path")?,
    );
    let method = Method::from_bytes(kind.as_str()?.as_bytes()).ok()?;
    Some((method, path.as_str()?.to_owned()))
}

fn body(input: &MessageDescriptor, name: &str) -> Option<Body> {
    match name {
        "" => Some(Body::None),
        "*" => Some(Body::Whole),
        _ => {
            let field = input.get_field_by_name(name)?;
            let is_raw = is_bytes(&field);
            Some(if is_raw {
                Body::Raw(field)
            } else {
                Body::Field(field)
            })
        }
    }
}

fn is_bytes(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Bytes) && !field.is_list()
}

/// What is created has no etag yet.
fn etag(method: &Method, input: &MessageDescriptor, body: &Body) -> Option<EtagPlace> {
    if method == Method::POST {
        return None;
    }
    if let Body::Field(field) = body {
        let kind = field.kind();
        let resource = kind.as_message()?;
        let is_etag = resource.get_field_by_name("etag").is_some();
        return is_etag.then(|| EtagPlace::Resource(field.clone()));
    }
    input.get_field_by_name("etag").map(|_| EtagPlace::Request)
}

/// The field at a dotted path.
pub(crate) fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        None => message.get_field_by_name(path),
        Some((name, rest)) => {
            let field = message.get_field_by_name(name)?;
            field_at(field.kind().as_message()?, rest)
        }
    }
}
