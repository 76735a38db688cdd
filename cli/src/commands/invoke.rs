//! `baetyl invoke`.

use std::io::{Read as _, Write as _};

use baetyl_proto::function::v1 as wire;
use baetyl_proto::function::v1::function_service_client::FunctionServiceClient;
use baetyl_service_kit::fault::Problem;
use prost::bytes::Bytes;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::args::{Form, InvokeArgs};
use crate::client::{Client, Wire};
use crate::failure::Failure;
use crate::output;

/// The largest payload and answer, with room for the rest of the message.
const MAX_MESSAGE_BYTES: usize = 5 * 1024 * 1024;

/// Folders whose code is not the caller's.
const LIBRARIES: [&str; 2] = ["/lib/python3", "/site-packages/"];

/// How many characters of an invocation's identity are enough to find its log.
const SHORT_ID: usize = 8;

pub(super) async fn run(client: &Client, form: Form, args: InvokeArgs) -> Result<(), Failure> {
    let (service, function) = match args.function.split_once('/') {
        Some((service, function)) => (service.to_owned(), function.to_owned()),
        None => (args.function.clone(), String::new()),
    };
    let payload = Bytes::from(payload(&args.data)?);
    // Made here, so that it can be told whatever happens.
    let invocation_id = Uuid::now_v7().to_string();
    let metadata = args.metadata.into_iter().collect();
    let idempotency_key = args.idempotency_key.unwrap_or_default();
    let mut proxy = FunctionServiceClient::new(client.function().await?)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let named = |status: Status| explain(&status, &service, &invocation_id);
    if args.stream {
        let mut request = Request::new(wire::InvokeStreamRequest {
            service: service.clone(),
            function,
            payload,
            metadata,
            idempotency_key,
            invocation_id: invocation_id.clone(),
        });
        args.timeout
            .inspect(|&timeout| request.set_timeout(timeout));
        return stream(&mut proxy, request).await.map_err(named);
    }
    let mut request = Request::new(wire::InvokeRequest {
        service: service.clone(),
        function,
        payload,
        metadata,
        idempotency_key,
        invocation_id: invocation_id.clone(),
    });
    args.timeout
        .inspect(|&timeout| request.set_timeout(timeout));
    let answer = proxy.invoke(request).await.map_err(named)?.into_inner();
    match form {
        Form::Json | Form::Yaml => {
            output::message(form, "baetyl.function.v1.InvokeResponse", &answer)
        }
        Form::Table | Form::Name => {
            raw(&answer.payload);
            Ok(())
        }
    }
}

async fn stream(
    proxy: &mut FunctionServiceClient<Wire>,
    request: Request<wire::InvokeStreamRequest>,
) -> Result<(), Status> {
    let mut pieces = proxy.invoke_stream(request).await?.into_inner();
    while let Some(piece) = pieces.message().await? {
        raw(&piece.payload);
    }
    Ok(())
}

/// Prints bytes as they are; a line end is added for people when there is none.
fn raw(payload: &[u8]) {
    let mut out = std::io::stdout().lock();
    let end: &[u8] = if payload.is_empty() || payload.ends_with(b"\n") {
        b""
    } else {
        b"\n"
    };
    // A closed pipe is the reader's wish.
    let written = out.write_all(payload).and_then(|()| out.write_all(end));
    written.and_then(|()| out.flush()).ok();
}

fn payload(data: &str) -> Result<Vec<u8>, Failure> {
    if data == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(Failure::local)?;
        return Ok(bytes);
    }
    match data.strip_prefix('@') {
        Some(path) => std::fs::read(path)
            .map_err(|error| Failure::usage(format!("{path} cannot be read: {error}"))),
        None => Ok(data.as_bytes().to_vec()),
    }
}

/// What the function raised, where, and how to find what it printed.
fn explain(status: &Status, service: &str, invocation_id: &str) -> Failure {
    let problem = Problem::from_status(status);
    if problem.reason != "FUNCTION_RAISED" {
        return Failure::status(status, "");
    }
    let kind = problem.metadata.get("error_type");
    let said = problem.message.as_str();
    let what = match kind {
        Some(kind) if !said.contains(kind.as_str()) => {
            format!("the function raised {kind}: {said}")
        }
        _ => said.to_owned(),
    };
    let at = problem.metadata.get("stack").and_then(|stack| place(stack));
    let at = at
        .map(|place| format!("at {place}     "))
        .unwrap_or_default();
    let short = &invocation_id[..SHORT_ID.min(invocation_id.len())];
    Failure::failed(format!(
        "{what}  [UNKNOWN / FUNCTION_RAISED]\n  {at}invocation {short}-…  \
         (baetyl logs {service} --invocation {short})"
    ))
}

/// `window.py:12 in handler` from a stack of python3 or node: the innermost frame of the caller's
/// own code, not of a library.
fn place(stack: &str) -> Option<String> {
    let python = stack.lines().rev().find_map(|line| {
        let rest = line.trim().strip_prefix("File \"")?;
        if LIBRARIES.iter().any(|folder| rest.contains(folder)) || rest.starts_with('<') {
            return None;
        }
        let (path, rest) = rest.split_once("\", line ")?;
        let (number, name) = rest.split_once(", in ").unwrap_or((rest, ""));
        let file = path.rsplit('/').next().unwrap_or(path);
        Some(format!("{file}:{number} in {name}"))
    });
    python.or_else(|| {
        let line = stack
            .lines()
            .find_map(|line| line.trim().strip_prefix("at "))?;
        Some(line.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_python_raised_then_the_last_frame_is_the_place() {
        let stack = "Traceback (most recent call last):\n  File \"/x/a.py\", line 3, in outer\n    \
            inner()\n  File \"/x/window.py\", line 12, in handler\n    json.loads(e)\n  \
            File \"/usr/lib/python3.11/json/decoder.py\", line 3, in decode\nValueError: x";

        assert_eq!(place(stack).as_deref(), Some("window.py:12 in handler"));
    }

    #[test]
    fn when_node_raised_then_the_first_frame_is_the_place() {
        let stack = "Error: x\n    at handler (/x/a.js:3:9)\n    at run (/x/worker.js:1:1)";

        assert_eq!(place(stack).as_deref(), Some("handler (/x/a.js:3:9)"));
    }
}
