//! Makes one probe: a command, a GET, a connection, or a look at a file.

use std::future::Future;
use std::net::Ipv4Addr;

use baetyl_process::worker::{self, WorkerSpec};
use baetyl_process::{Ending, InstanceId};
use futures::StreamExt;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ProcessDriver, start};
use crate::context::fresh_id;
use crate::driver::ProbeCall;
use crate::spec::{Check, READY_FILE};

/// How much of a failing command's output goes into the status.
const MAX_DETAIL: usize = 200;

pub(super) async fn run(driver: &ProcessDriver, call: ProbeCall) -> Result<(), String> {
    let ProbeCall {
        id,
        check,
        ports,
        timeout: bound,
    } = call;
    let outcome = match &check {
        Check::ReadyFile => {
            let path = driver.layout.work(&id).join(READY_FILE);
            let looking = driver.blocking(move |_| path.exists());
            match looking.await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err("the runtime is not attached and loaded yet".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Check::Exec(command) => timeout(bound, execute(driver, &id, command)).await,
        Check::Http { path, port } => {
            let port = port.resolve(&ports)?;
            timeout(bound, get(port, path)).await
        }
        Check::Tcp(port) => {
            let port = port.resolve(&ports)?;
            timeout(bound, connect(port))
                .await
                .map(|done| done.map(drop))
        }
    };
    outcome.unwrap_or_else(|_| Err(format!("no answer within {bound:?}")))
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    stream.map_err(|error| format!("port {port}: {error}"))
}

async fn get(port: u16, path: &str) -> Result<(), String> {
    let stream = connect(port).await?;
    let failed = |error: hyper::Error| format!("GET {path} on port {port}: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let request = Request::get(path)
        .header(HOST, format!("127.0.0.1:{port}"))
        .header(USER_AGENT, "baetyl-probe")
        .header(CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| format!("GET {path}: {error}"))?;
    let answer = alongside(sender.send_request(request), connection).await;
    let status = answer.map_err(failed)?.status().as_u16();
    if (200..400).contains(&status) {
        return Ok(());
    }
    Err(format!("GET {path} on port {port} answered {status}"))
}

/// Drives a connection for as long as the answer takes; no task is left behind.
async fn alongside<T>(answer: impl Future<Output = T>, connection: impl Future) -> T {
    tokio::pin!(answer);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answer => return answer,
        _ = &mut connection => {}
    }
    answer.await
}

/// Runs a command with the environment and in the working folder of the instance. Dropping it, as
/// the timeout does, kills the command.
async fn execute(
    driver: &ProcessDriver,
    id: &InstanceId,
    command: &[String],
) -> Result<(), String> {
    let path = driver.layout.environment(id);
    let kept = driver.blocking(move |_| start::kept_environment(&path));
    let kept = kept.await.map_err(|error| error.to_string())?;
    let mut program = kept.map_err(|error| format!("the environment is not known: {error}"))?;
    let (first, rest) = command.split_first().ok_or("no command is named")?;
    program.path = first.into();
    program.args = rest.to_vec();
    let spec = WorkerSpec {
        id: fresh_id("probe", std::time::SystemTime::now()),
        program,
    };
    let mut worker = worker::spawn(&driver.config.shim, spec, &driver.tasks)
        .await
        .map_err(|error| error.to_string())?;
    let (stdout, stderr) = (worker.take_stdout(), worker.take_stderr());
    let mut lines = futures::stream::select_all(stdout.into_iter().chain(stderr));
    let mut last = String::new();
    let ending = {
        let waiting = worker.wait();
        tokio::pin!(waiting);
        loop {
            // Waiting is pinned outside, and the next line is cancel safe.
            tokio::select! {
                ending = &mut waiting => break ending,
                Some(line) = lines.next() => if let Ok(line) = line {
                    last = line.text.chars().take(MAX_DETAIL).collect();
                },
            }
        }
    };
    let how = match ending {
        Ending::Exited { code: 0 } => return Ok(()),
        Ending::Exited { code } => format!("{first} exited with code {code}"),
        Ending::Signaled { signal } => format!("{first} was ended by signal {signal}"),
        Ending::NotStarted { message, .. } => message,
    };
    if last.is_empty() {
        return Err(how);
    }
    Err(format!("{how}: {last}"))
}
