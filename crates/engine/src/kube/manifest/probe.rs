//! Checks of containers.

use baetyl_proto::resource::v1 as pb;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::container::{container_port, literal};
use super::{At, some, text};
use crate::driver::Refusal;

/// The probes of a container.
pub(super) struct Probes {
    pub(super) liveness: Option<core::Probe>,
    pub(super) readiness: Option<core::Probe>,
    pub(super) startup: Option<core::Probe>,
}

/// Renders the probes of a service.
pub(super) fn all(service: &pb::Service, at: &At) -> Result<Probes, Refusal> {
    let read = |given: &Option<pb::Probe>, field: &str| match given {
        Some(given) => probe(given, service, at, field),
        None => Ok(None),
    };
    Ok(Probes {
        liveness: read(&service.liveness_probe, "livenessProbe")?,
        readiness: read(&service.readiness_probe, "readinessProbe")?,
        startup: read(&service.startup_probe, "startupProbe")?,
    })
}

/// One without a check checks nothing.
fn probe(
    given: &pb::Probe,
    service: &pb::Service,
    around: &At,
    field: &str,
) -> Result<Option<core::Probe>, Refusal> {
    use pb::probe::Check;
    let at = around.field(field);
    let Some(check) = &given.check else {
        return Ok(None);
    };
    // What is 0 is the cluster's own default, which is the contract's.
    let number = |given: i32| Some(given).filter(|given| *given != 0);
    let mut found = core::Probe {
        initial_delay_seconds: number(given.initial_delay_seconds),
        period_seconds: number(given.period_seconds),
        timeout_seconds: number(given.timeout_seconds),
        success_threshold: number(given.success_threshold),
        failure_threshold: number(given.failure_threshold),
        ..core::Probe::default()
    };
    match check {
        Check::Exec(exec) => {
            found.exec = Some(core::ExecAction {
                command: some(exec.command.iter().map(|text| literal(text)).collect()),
            });
        }
        Check::HttpGet(get) => {
            let path = text(&get.path).unwrap_or_else(|| "/".to_owned());
            let at = at.field("httpGet").field("port");
            found.http_get = Some(core::HTTPGetAction {
                path: Some(path),
                port: port(&get.port, service, around, &at)?,
                scheme: text(&get.scheme),
                ..core::HTTPGetAction::default()
            });
        }
        Check::TcpSocket(socket) => {
            let at = at.field("tcpSocket").field("port");
            found.tcp_socket = Some(core::TCPSocketAction {
                port: port(&socket.port, service, around, &at)?,
                ..core::TCPSocketAction::default()
            });
        }
    }
    Ok(Some(found))
}

/// The number of a port: names are unique in a service, not in a pod.
fn port(given: &str, service: &pb::Service, around: &At, at: &At) -> Result<IntOrString, Refusal> {
    if let Ok(number) = given.parse::<u16>() {
        return Ok(IntOrString::Int(i32::from(number)));
    }
    let mut ports = service.ports.iter().enumerate();
    let Some((index, found)) = ports.find(|(_, port)| port.name == given) else {
        return Err(at.wrong(format_args!("the service has no port {given:?}")));
    };
    let at = around.field("ports").index(index);
    container_port(found, &at).map(IntOrString::Int)
}
