//! What only real processes show: files, modes, environment, probes over the network, and the
//! shim's death.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use baetyl_engine::{Routes, StopMode, reason};
use baetyl_model::runtime_config::RuntimeConfig;
use baetyl_proto::resource::v1 as pb;
use pb::ApplicationState;

use crate::application::{app, command, ready};
use crate::bench::{BOUND, Bench};
use crate::rig::{Behaviour, Processes, Rig, shell};

fn processes(bench: &Bench) -> &Processes {
    match &bench.rig {
        Rig::Processes(processes) => processes,
        Rig::Memory(_) => panic!("it is made of processes"),
    }
}

#[tokio::test]
async fn when_a_program_lies_in_a_configuration_then_it_finds_all_that_is_promised() {
    let mut bench = Bench::on_processes().await;
    let script = "#!/bin/sh\nenv > env.txt\npwd > pwd.txt\ntouch ready\nexec sleep 1000\n";
    bench.configure("code", "run.sh", script);
    bench.configure("limits", "limit", "31.5");
    bench.keep_secret("token", "value", "canary");
    let watcher = app("watcher")
        .running_from("code", &["./run.sh"])
        .with_files("limits", "/etc/watcher")
        .with_secret("token", "/run/secrets")
        .with_data("/var/lib/watcher")
        .with_port(0)
        .ready_by(ready());
    bench.desire([watcher]);
    let instance = bench.healthy("watcher", 1).await;

    let work = processes(&bench).work(&instance);
    let root = processes(&bench).instance(&instance).join("root");
    let env = fs::read_to_string(work.join("env.txt")).unwrap();
    let value = |name: &str| {
        let prefix = format!("{name}=");
        let line = env
            .lines()
            .find_map(|line| line.strip_prefix(prefix.as_str()));
        line.unwrap_or_else(|| panic!("{name} is missing"))
            .to_owned()
    };
    assert_eq!(value("BAETYL_NAMESPACE"), "default");
    assert_eq!(value("BAETYL_NODE_NAME"), "demo");
    assert_eq!(value("BAETYL_APP_NAME"), "watcher");
    assert_eq!(value("BAETYL_APP_REVISION"), "1");
    assert_eq!(value("BAETYL_SERVICE_NAME"), "web");
    assert_eq!(value("BAETYL_INSTANCE_ID"), instance.id);
    assert_eq!(value("BAETYL_RUN_MODE"), "process");
    assert_eq!(value("BAETYL_ROOT"), root.to_string_lossy());
    assert_eq!(
        value("BAETYL_PORT_HTTP"),
        instance.ports["http"].to_string()
    );
    assert_eq!(
        fs::read_to_string(work.join("pwd.txt")).unwrap().trim(),
        work.to_string_lossy()
    );

    let secret = root.join("run/secrets/value");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "canary");
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o777, 0o600);
    fs::write(root.join("var/lib/watcher/kept"), "x").unwrap();
    let certificates = std::path::PathBuf::from(value("BAETYL_CERT_DIR"));
    let key = fs::read_to_string(certificates.join("tls.key")).unwrap();
    assert_eq!(key, "key 0 of watcher/web\n");
    assert_eq!(
        fs::metadata(certificates.join("tls.key")).unwrap().mode() & 0o777,
        0o600
    );
    let other: Vec<&str> = env
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("BAETYL_"))
        .filter(|name| {
            !["PATH", "HOME", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)
        })
        .collect();
    assert!(other.is_empty(), "nothing else is inherited: {other:?}");
}

#[tokio::test]
async fn when_a_script_is_an_argument_then_it_is_found_in_the_program_folder() {
    let mut bench = Bench::on_processes().await;
    bench.configure("code", "run.sh", "touch ready; exec sleep 1000");
    bench.desire([app("watcher")
        .running_from("code", &["sh", "run.sh"])
        .ready_by(ready())]);

    bench.healthy("watcher", 1).await;
}

#[tokio::test]
async fn when_a_key_is_missing_then_the_application_says_which() {
    let mut bench = Bench::on_processes().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.configure("limits", "limit", "31.5");
    bench.desire([app("watcher")
        .running(serve)
        .env_from("LIMIT", "limits", "other")]);

    let status = bench.state("watcher", ApplicationState::Failed).await;

    assert_eq!(status.reason, reason::KEY_NOT_FOUND);
    assert!(status.message.contains("other"), "{}", status.message);
}

#[tokio::test]
async fn when_it_answers_over_http_then_it_is_ready() {
    let mut bench = Bench::on_processes().await;
    let server = "exec python3 -m http.server --bind 127.0.0.1 \"$BAETYL_PORT_HTTP\"";
    let get = |path: &str| {
        pb::probe::Check::HttpGet(pb::HttpGetAction {
            path: path.into(),
            port: "http".into(),
            ..Default::default()
        })
    };
    let served = app("served").running(shell(server)).with_port(0);
    bench.desire([
        served.clone().ready_by(get("/")),
        app("absent")
            .running(shell(server))
            .with_port(0)
            .ready_by(get("/nowhere")),
    ]);

    bench.healthy("served", 1).await;
    bench
        .app("absent", "it says what it waits for", |app| {
            app.reason == reason::WAITING_FOR_READY && app.message.contains("answered 404")
        })
        .await;
}

#[tokio::test]
async fn when_it_accepts_connections_then_it_is_ready() {
    let mut bench = Bench::on_processes().await;
    let server = "exec python3 -m http.server --bind 127.0.0.1 \"$BAETYL_PORT_HTTP\"";
    let connect = pb::probe::Check::TcpSocket(pb::TcpSocketAction {
        port: "http".into(),
    });
    bench.desire([app("served")
        .running(shell(server))
        .with_port(0)
        .ready_by(connect)]);

    bench.healthy("served", 1).await;
}

#[tokio::test]
async fn when_a_command_probes_then_its_last_words_are_reported() {
    let mut bench = Bench::on_processes().await;
    let idle = bench.rig.entry(Behaviour::Idle);
    let words = shell("echo the database is away; exit 4");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    bench.desire([app("watcher")
        .running(idle)
        .ready_by(command(&words))
        .within(8)]);

    let status = bench.state("watcher", ApplicationState::Failed).await;

    assert!(
        status.message.contains("the database is away"),
        "{}",
        status.message
    );
}

#[tokio::test]
async fn when_the_shim_is_killed_then_its_orphan_goes_and_another_instance_starts() {
    let mut bench = Bench::on_processes().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.desire([app("watcher").running(serve).ready_by(ready())]);
    let before = bench.healthy("watcher", 1).await;
    let stat = fs::read_to_string(format!("/proc/{}/stat", before.pid)).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let shim: u32 = after_name
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();

    let shim = rustix::process::Pid::from_raw(shim.try_into().unwrap()).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();

    bench
        .app("watcher", "another instance is ready", |app| {
            app.state() == ApplicationState::Healthy && app.instances[0].id != before.id
        })
        .await;
    assert!(!bench.rig.is_running(&before));
    assert_eq!(bench.rig.running(), 1);
}

#[tokio::test]
async fn when_a_function_starts_then_its_runtime_finds_its_file() {
    let mut bench = Bench::on_processes().await;
    bench.configure("sensors-code", "window.py", "x = 1");
    bench.desire([app("sensors").serving_function("sensors-code").version("1")]);
    let instance = bench.healthy("sensors", 1).await;

    let work = processes(&bench).work(&instance);
    let config = RuntimeConfig::from_json(&fs::read(work.join("seen.json")).unwrap()).unwrap();

    assert_eq!(config.application, "sensors");
    assert_eq!(config.instance, instance.id);
    let routes = bench.engine().routes().borrow().clone().unwrap();
    assert_eq!(config.release, routes[0].active_release);
    assert!(!config.release.is_empty());
    assert_eq!(config.functions[0].handler, "window.handler");
    assert_eq!(config.attach, "unix:/attach.sock");
    assert_eq!(config.ready_file, work.join("ready"));
    assert_eq!(config.worker_environment, ["VERSION"]);
    assert_eq!(
        fs::read_to_string(config.code_folder.join("window.py")).unwrap(),
        "x = 1"
    );
    assert!(config.certificate_folder.join("tls.crt").exists());
}

#[tokio::test]
async fn when_only_the_code_changes_then_it_waits_beside_what_serves_under_the_same_revision() {
    let mut bench = Bench::on_processes().await;
    let sensors = || app("sensors").serving_function("sensors-code").version("1");
    bench.configure("sensors-code", "window.py", "x = 1");
    bench.desire([sensors()]);
    let before = bench.healthy("sensors", 1).await;
    let mut routes = bench.engine().routes();
    let old = releases(&routes.borrow());

    bench.configure("sensors-code", "window.py", "never = ready");
    bench.desire([sensors()]);
    let waiting = routes.wait_for(|table| releases(table)[1].0 == 1);
    let waiting = tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap();
    let [active, standby] = releases(&waiting);
    drop(waiting);
    assert_eq!(active, old[0]);
    assert_ne!(standby.1, active.1);

    bench.configure("sensors-code", "window.py", "x = 1");
    let fence = bench.desire([sensors()]);
    bench.converged(fence).await;
    assert_eq!(releases(&routes.borrow()), old);
    assert_eq!(bench.healthy("sensors", 1).await.id, before.id);
}

/// Revision and release of the only route that gets calls, and that waits.
fn releases(routes: &Option<Arc<Routes>>) -> [(u64, String); 2] {
    let routes = routes.as_ref().unwrap();
    let [route] = &routes[..] else {
        panic!("one route, not {routes:?}");
    };
    [
        (route.active_revision, route.active_release.clone()),
        (route.standby_revision, route.standby_release.clone()),
    ]
}

#[tokio::test]
async fn when_revisions_come_and_go_then_old_files_and_instances_go_too() {
    let mut bench = Bench::on_processes().await;
    let count = |bench: &Bench, folder: &str| {
        let path = processes(bench).data().join(folder);
        fs::read_dir(path).map_or(0, |entries| entries.count())
    };
    for round in 0..12 {
        bench.configure(
            "code",
            "run.sh",
            &format!("touch ready; exec sleep 1000 # {round}"),
        );
        let watcher = app("watcher")
            .running_from("code", &["sh", "run.sh"])
            .ready_by(ready());
        let fence = bench.desire([watcher]);
        bench.converged(fence).await;
    }

    bench
        .outside("one content is left", || {
            count(&bench, "apps/watcher/content") == 1
        })
        .await;
    bench
        .outside("few instances are kept for their logs", || {
            count(&bench, "run") <= 9
        })
        .await;

    let fence = bench.desire([]);
    bench.converged(fence).await;
    assert_eq!(count(&bench, "run"), 0);
    assert_eq!(count(&bench, "instances"), 0);
    assert_eq!(count(&bench, "apps"), 0);
}

#[tokio::test]
async fn when_the_secret_folder_was_lost_then_a_start_makes_it_again() {
    let mut bench = Bench::on_processes().await;
    let serve = bench.rig.entry(Behaviour::Serve);
    bench.keep_secret("token", "value", "canary");
    let watcher = app("watcher")
        .running(serve)
        .with_secret("token", "/run/secrets");
    bench.desire([watcher.clone()]);
    bench.healthy("watcher", 1).await;

    // As a restart of the machine does to a file system in memory.
    bench.stop(StopMode::StopAll).await;
    fs::remove_dir_all(processes(&bench).root.path().join("secret")).unwrap();
    bench.start().await;
    let fence = bench.desire([watcher]);
    bench.converged(fence).await;

    let instance = bench.only("watcher");
    let secret = processes(&bench)
        .instance(&instance)
        .join("root/run/secrets/value");
    assert_eq!(fs::read_to_string(secret).unwrap(), "canary");
}
