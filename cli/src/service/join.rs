//! `baetyl join`: activates this device and brings up core.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use baetyl_init::{Activation, CoreProcess, InitError, activate, is_activated, start_core};
use baetyl_service_kit::serve::Address;
use tokio::net::TcpStream;

use crate::args::JoinArgs;
use crate::failure::Failure;
use crate::output::say;

/// How long core may take until it listens.
const CORE_PATIENCE: Duration = Duration::from_secs(20);

/// Folder of the node's identity below its data folder.
const IDENTITY: &str = "identity";

pub(super) async fn run(args: JoinArgs) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let folder = args.data.join(IDENTITY);
    if is_activated(&folder) {
        say("this device is activated already");
    } else {
        let token = args.token.clone().ok_or_else(no_token)?;
        let activation = Activation {
            address: args.address.clone(),
            token,
            folder,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            patience: args.timeout,
        };
        let identity = activate(&activation).await.map_err(|error| match error {
            // The cloud said why; its word stands.
            InitError::Refused(problem) => Failure::problem(&problem),
            error => Failure::fault(&error),
        })?;
        let (namespace, node) = (&identity.namespace, &identity.node);
        say(&format!(
            "✓ activated as node {node} of {namespace}  {}",
            seconds(started)
        ));
    }
    if args.no_core {
        let data = args.data.display();
        say(&format!("now start core:  baetyl core --data {data}"));
        return Ok(ExitCode::SUCCESS);
    }
    let core = CoreProcess {
        program: std::env::current_exe().map_err(Failure::local)?,
        args: vec![
            OsString::from("core"),
            OsString::from("--data"),
            args.data.clone().into_os_string(),
        ],
        log: args.data.join("log/core.log"),
        patience: CORE_PATIENCE,
    };
    let pid = start_core(&core, is_up)
        .await
        .map_err(|error| Failure::fault(&error))?;
    say(&format!("✓ core runs with pid {pid}  {}", seconds(started)));
    say(&format!("  its log is {}", core.log.display()));
    Ok(ExitCode::SUCCESS)
}

fn no_token() -> Failure {
    let message = "name the join token: --token, or the variable BAETYL_JOIN_TOKEN";
    Failure::usage(message.to_owned())
}

/// Whether core's own listener takes connections: everything before it has then been opened.
async fn is_up() -> bool {
    match baetyl_core::Config::default().listen {
        Address::Tcp(address) => {
            let connecting = TcpStream::connect(address);
            tokio::time::timeout(Duration::from_secs(1), connecting)
                .await
                .is_ok_and(|connected| connected.is_ok())
        }
        Address::Unix(path) => path.exists(),
    }
}

fn seconds(since: Instant) -> String {
    format!("{:.2} s", since.elapsed().as_secs_f64())
}
