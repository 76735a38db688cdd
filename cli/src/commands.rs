//! The commands that ask a running system: one file each.

use std::process::ExitCode;
use std::time::Duration;

use baetyl_service_kit::telemetry::{self, TelemetryConfig};
use tracing::Instrument as _;

use crate::args::{ClientCommand, Connection, Form};
use crate::client::Client;
use crate::failure::Failure;

mod apply;
mod context;
mod delete;
mod describe;
mod get;
mod history;
mod invoke;
mod label;
mod logs;
mod node;
mod status;
mod token;
mod wait;
mod watch;

/// Runs one command to its end.
pub(crate) fn run(connection: &Connection, command: ClientCommand) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::local)?;
    runtime.block_on(async {
        // A command begins a trace only when somebody collects it.
        let endpoint = std::env::var("BAETYL_OTLP_ENDPOINT").ok();
        let config = TelemetryConfig {
            service_name: "baetyl-cli".to_owned(),
            log_level: std::env::var("BAETYL_LOG").unwrap_or_else(|_| "error".to_owned()),
            otlp_endpoint: endpoint.filter(|endpoint| !endpoint.is_empty()),
            ..TelemetryConfig::default()
        };
        let telemetry = telemetry::init(&config).map_err(Failure::local)?;
        let span = tracing::error_span!("command", command = word(&command));
        let outcome = dispatch(connection, command).instrument(span).await;
        telemetry.shutdown(Duration::from_secs(2)).await;
        outcome
    })
}

fn word(command: &ClientCommand) -> &'static str {
    match command {
        ClientCommand::Get(_) => "get",
        ClientCommand::Describe(_) => "describe",
        ClientCommand::Apply(_) => "apply",
        ClientCommand::Delete(_) => "delete",
        ClientCommand::Watch(_) => "watch",
        ClientCommand::Label(_) => "label",
        ClientCommand::History(_) => "history",
        ClientCommand::Rollback(_) => "rollback",
        ClientCommand::Logs(_) => "logs",
        ClientCommand::Invoke(_) => "invoke",
        ClientCommand::Node(_) => "node",
        ClientCommand::Token(_) => "token",
        ClientCommand::Context(_) => "context",
        ClientCommand::Status => "status",
        ClientCommand::Version => "version",
    }
}

async fn dispatch(connection: &Connection, command: ClientCommand) -> Result<ExitCode, Failure> {
    let form: Form = connection.output;
    if let ClientCommand::Context(command) = command {
        return context::run(form, command).map(|()| ExitCode::SUCCESS);
    }
    if let ClientCommand::Version = command {
        return status::version(Client::choose(connection).ok(), form).await;
    }
    let client = Client::choose(connection)?;
    let done = match command {
        ClientCommand::Get(args) => get::run(&client, form, args).await,
        ClientCommand::Describe(args) => describe::run(&client, form, args).await,
        ClientCommand::Apply(args) => apply::run(&client, form, args).await,
        ClientCommand::Delete(args) => delete::run(&client, args).await,
        ClientCommand::Watch(args) => watch::run(&client, form, args).await,
        ClientCommand::Label(args) => label::run(&client, args).await,
        ClientCommand::History(args) => history::list(&client, form, args).await,
        ClientCommand::Rollback(args) => history::rollback(&client, args).await,
        ClientCommand::Logs(args) => logs::run(&client, form, args).await,
        ClientCommand::Invoke(args) => invoke::run(&client, form, args).await,
        ClientCommand::Node(command) => node::run(&client, form, command).await,
        ClientCommand::Token(command) => token::run(&client, form, command).await,
        ClientCommand::Status => status::run(&client, form).await,
        ClientCommand::Context(_) | ClientCommand::Version => Ok(()),
    };
    done.map(|()| ExitCode::SUCCESS)
}
