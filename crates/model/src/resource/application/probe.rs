//! Probes of a service.

use baetyl_proto::resource::v1 as pb;
use pb::probe::Check as Action;

use super::service::{Scene, check_command, check_passed_text};
use crate::violation::{Check, Path, reason};

/// The ports that a probe may ask by name.
type Ports<'a> = &'a [pb::Port];

/// What a number of a probe may be, and what 0 means.
struct Bounds {
    least: i64,
    most: i64,
    default: i32,
}

const INITIAL_DELAY: Bounds = Bounds {
    least: 0,
    most: 3600,
    default: 0,
};
const PERIOD: Bounds = Bounds {
    least: 1,
    most: 3600,
    default: 10,
};
const TIMEOUT: Bounds = Bounds {
    least: 1,
    most: 600,
    default: 1,
};
const SUCCESSES: Bounds = Bounds {
    least: 1,
    most: 100,
    default: 1,
};
const FAILURES: Bounds = Bounds {
    least: 1,
    most: 100,
    default: 3,
};

/// The schemes of a check over HTTP.
const SCHEMES: [&str; 2] = ["HTTP", "HTTPS"];

pub(super) fn normalise_all(
    service: &mut pb::Service,
    scene: &Scene,
    path: &Path,
    check: &mut Check,
) {
    let ports = service.ports.as_slice();
    let probes = [
        ("livenessProbe", &mut service.liveness_probe, true),
        ("readinessProbe", &mut service.readiness_probe, false),
        ("startupProbe", &mut service.startup_probe, true),
    ];
    for (field, probe, is_single) in probes {
        let Some(probe) = probe else {
            continue;
        };
        let path = path.field(field);
        normalise(probe, ports, &path, check);
        if let Some(Action::HttpGet(get)) = &mut probe.check {
            let path = path.field("httpGet").field("scheme");
            normalise_scheme(&mut get.scheme, scene, &path, check);
        }
        if is_single {
            check_single_success(probe, &path, check);
        }
    }
}

fn normalise_scheme(scheme: &mut String, scene: &Scene, path: &Path, check: &mut Check) {
    scene.only_in_container(path, !scheme.is_empty(), check);
    if !scene.is_container() {
        return;
    }
    if scheme.is_empty() {
        "HTTP".clone_into(scheme);
    }
    if !SCHEMES.contains(&scheme.as_str()) {
        check.add(path, reason::UNKNOWN_VALUE, "must be HTTP or HTTPS");
    }
}

fn normalise(probe: &mut pb::Probe, ports: Ports<'_>, path: &Path, check: &mut Check) {
    match &mut probe.check {
        None => {
            let description = "must have exec, httpGet or tcpSocket";
            check.add(path, reason::REQUIRED, description);
        }
        Some(Action::Exec(exec)) => {
            check_command(&exec.command, &path.field("exec").field("command"), check);
        }
        Some(Action::HttpGet(get)) => {
            let path = path.field("httpGet");
            normalise_http_path(&mut get.path, &path.field("path"), check);
            check_port(&get.port, ports, &path.field("port"), check);
        }
        Some(Action::TcpSocket(socket)) => {
            let path = path.field("tcpSocket").field("port");
            check_port(&socket.port, ports, &path, check);
        }
    }
    let numbers = [
        (
            "initialDelaySeconds",
            &mut probe.initial_delay_seconds,
            INITIAL_DELAY,
        ),
        ("periodSeconds", &mut probe.period_seconds, PERIOD),
        ("timeoutSeconds", &mut probe.timeout_seconds, TIMEOUT),
        ("successThreshold", &mut probe.success_threshold, SUCCESSES),
        ("failureThreshold", &mut probe.failure_threshold, FAILURES),
    ];
    for (field, number, bounds) in numbers {
        if *number == 0 {
            *number = bounds.default;
        }
        check.range(
            &path.field(field),
            i64::from(*number),
            bounds.least,
            bounds.most,
        );
    }
}

/// As in Kubernetes: what says "alive" or "started" says so at once.
fn check_single_success(probe: &pb::Probe, path: &Path, check: &mut Check) {
    if SUCCESSES.least < i64::from(probe.success_threshold) {
        let description = "must be 1 in a liveness or startup probe";
        check.add(
            &path.field("successThreshold"),
            reason::OUT_OF_BOUNDS,
            description,
        );
    }
}

fn normalise_http_path(http_path: &mut String, path: &Path, check: &mut Check) {
    if http_path.is_empty() {
        http_path.push('/');
    }
    check_passed_text(http_path, path, check);
    let is_plain = |letter: char| letter.is_ascii_graphic();
    if !http_path.starts_with('/') || !http_path.chars().all(is_plain) {
        let description = "must start with `/` and have no spaces";
        check.add(path, reason::INVALID_FORMAT, description);
    }
}

/// A port is a number, or the name of one of the service's ports.
fn check_port(port: &str, ports: Ports<'_>, path: &Path, check: &mut Check) {
    if port.is_empty() {
        check.add(
            path,
            reason::REQUIRED,
            "must be the name of a port or a number",
        );
        return;
    }
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        if !port.parse::<u16>().is_ok_and(|number| number > 0) {
            check.add(path, reason::OUT_OF_BOUNDS, "must be 1 to 65535");
        }
        return;
    }
    if !ports.iter().any(|known| known.name == port) {
        check.add(
            path,
            reason::UNKNOWN_NAME,
            "no port of the service has that name",
        );
    }
}
