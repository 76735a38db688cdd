//! Fields of a document, as far as somebody can see them in the cluster.

use anyhow::{Context as _, Result, ensure};
use baetyl_proto::resource::v1 as pb;
use serde_json::{Value, json};

use crate::application::{named, probe, seconds};
use crate::behaviour::Behaviour;
use crate::look::Look;
use crate::node::{Input, Node};
use crate::world::World;

/// The first pod of an application as the cluster has it.
async fn pod(look: &Look, space: &str, application: &str) -> Result<Value> {
    let pods = look.until_ready(space, application, 1).await?;
    Ok(serde_json::to_value(&pods[0])?)
}

fn expect(object: &Value, pointer: &str, value: Value) -> Result<()> {
    let found = object.pointer(pointer).unwrap_or(&Value::Null);
    ensure!(
        *found == value,
        "{pointer} is {found}, not {value}, in {object}"
    );
    Ok(())
}

pub(super) async fn when_a_container_says_everything_then_the_pod_has_it(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world
        .app("web")
        .behaves(Behaviour::Script(
            "trap 'exit 0' TERM; id -u; pwd; sleep 86400 & wait".to_owned(),
        ))
        .limit("cpu", "100m")
        .limit("memory", "64Mi")
        .limit("ephemeral-storage", "64Mi")
        .with(|message| {
            message.security = Some(pb::PodSecurity {
                fs_group: Some(2000),
                run_as_non_root: Some(true),
                ..pb::PodSecurity::default()
            });
            message.dns_policy = "Default".to_owned();
        })
        .service(|service| {
            service.working_dir = "/var".to_owned();
            service.stop_grace_period = Some(seconds(7));
            service.set_image_pull_policy(pb::ImagePullPolicy::IfNotPresent);
            service.security = Some(pb::ContainerSecurity {
                run_as_user: Some(1000),
                run_as_group: Some(1000),
                read_only_root_filesystem: Some(true),
                drop_capabilities: vec!["ALL".to_owned()],
                ..pb::ContainerSecurity::default()
            });
        });

    node.run(&[app]).await?;

    let pod = pod(&world.look(), world.space(), "web").await?;
    let container = "/spec/containers/0";
    let at = |field: &str| format!("{container}/{field}");
    expect(&pod, &at("name"), json!("main"))?;
    expect(&pod, &at("image"), json!(world.image()))?;
    expect(&pod, &at("imagePullPolicy"), json!("IfNotPresent"))?;
    expect(&pod, &at("workingDir"), json!("/var"))?;
    expect(&pod, &at("resources/limits/memory"), json!("64Mi"))?;
    expect(&pod, &at("resources/limits/cpu"), json!("100m"))?;
    expect(
        &pod,
        &at("resources/limits/ephemeral-storage"),
        json!("64Mi"),
    )?;
    expect(&pod, &at("securityContext/runAsUser"), json!(1000))?;
    expect(
        &pod,
        &at("securityContext/readOnlyRootFilesystem"),
        json!(true),
    )?;
    expect(
        &pod,
        &at("securityContext/allowPrivilegeEscalation"),
        json!(false),
    )?;
    expect(
        &pod,
        &at("securityContext/capabilities/drop"),
        json!(["ALL"]),
    )?;
    expect(&pod, "/spec/securityContext/fsGroup", json!(2000))?;
    expect(&pod, "/spec/securityContext/runAsNonRoot", json!(true))?;
    expect(&pod, "/spec/terminationGracePeriodSeconds", json!(7))?;
    expect(&pod, "/spec/dnsPolicy", json!("Default"))?;
    expect(&pod, "/spec/automountServiceAccountToken", json!(false))?;
    expect(
        &pod,
        "/metadata/labels/baetyl.io~1application",
        json!("web"),
    )?;
    node.until_logged("web", "1000").await?;
    node.until_logged("web", "/var").await
}

pub(super) async fn when_variables_come_from_everywhere_then_the_container_sees_them(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    node.configuration("limits", &[("limit", "7")])?;
    node.input(Input::secret("login", &[("password", "of nobody")]))?;
    let names = &[
        "PLAIN",
        "LIMIT",
        "PASSWORD",
        "BAETYL_APP_NAME",
        "BAETYL_SERVICE_NAME",
        "BAETYL_NODE_NAME",
        "BAETYL_PORT_WEB",
    ];
    let app = world
        .app("web")
        .behaves(Behaviour::PrintVariables(names))
        .variable("PLAIN", "text with $(LIMIT) and spaces")
        .variable_of("LIMIT", "limits", "limit")
        .variable_of_secret("PASSWORD", "login", "password")
        .port("web", 8080);

    node.run(&[app]).await?;

    let name = node.settings().node.clone();
    for line in [
        "PLAIN=text with $(LIMIT) and spaces",
        "LIMIT=7",
        "PASSWORD=of nobody",
        "BAETYL_APP_NAME=web",
        "BAETYL_SERVICE_NAME=main",
        &format!("BAETYL_NODE_NAME={name}"),
        "BAETYL_PORT_WEB=8080",
    ] {
        node.until_logged("web", line).await?;
    }
    Ok(())
}

pub(super) async fn when_there_are_init_services_then_they_run_first_and_in_order(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let init = |name: &str, script: &str| pb::Service {
        name: name.to_owned(),
        image: world.image().to_owned(),
        command: Behaviour::Script(script.to_owned()).command(),
        volume_mounts: vec![mount("scratch", "/scratch")],
        ..pb::Service::default()
    };
    let app = world
        .app("web")
        .scratch("/scratch", "8Mi")
        .behaves(Behaviour::PrintFile("/scratch/order"))
        .with(|message| {
            message.init_services = vec![
                init("first", "echo first > /scratch/order"),
                init(
                    "second",
                    "grep -q first /scratch/order && echo second > /scratch/order",
                ),
            ];
        });

    node.run(&[app]).await?;

    world
        .look()
        .until_all_see(world.space(), "web", "second")
        .await?;
    let status = node.until_healthy("web").await?;
    let containers = &status.instances[0].containers;
    let told: Vec<_> = containers
        .iter()
        .map(|one| (one.service.as_str(), one.is_init))
        .collect();
    let wanted = [("first", true), ("second", true), ("main", false)];
    ensure!(told == wanted, "the containers are {told:?}");
    Ok(())
}

fn mount(name: &str, path: &str) -> pb::VolumeMount {
    pb::VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..pb::VolumeMount::default()
    }
}

pub(super) async fn when_one_file_is_mounted_then_the_rest_of_the_folder_stays(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    node.configuration("limits", &[("limit", "31.5"), ("other", "x")])?;
    let look_around = "trap 'exit 0' TERM; cat /etc/one/limit.txt; echo; \
                       test -e /etc/one/other || echo alone; touch /tmp/ready; sleep 86400 & wait";
    let app = world
        .app("web")
        .files("limits", "/etc/one/limit.txt")
        .restarting()
        .service(|service| "limit".clone_into(&mut service.volume_mounts[0].sub_path))
        .behaves(Behaviour::Script(look_around.to_owned()))
        .ready_by_file();

    node.run(std::slice::from_ref(&app)).await?;

    node.until_logged("web", "31.5").await?;
    node.until_logged("web", "alone").await?;
    node.configuration("limits", &[("limit", "32.0"), ("other", "x")])?;
    node.run(&[app]).await?;
    node.until_logged("web", "32.0").await
}

pub(super) async fn when_ports_are_named_then_services_lead_to_the_pods(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let node_port = u32::from(world.node_port());
    let app = world.app("web").service(|service| {
        service.ports = vec![
            pb::Port {
                name: "http".to_owned(),
                container_port: 8080,
                service_port: 80,
                node_port,
                ..pb::Port::default()
            },
            pb::Port {
                name: "stats".to_owned(),
                container_port: 9090,
                protocol: "udp".to_owned(),
                ..pb::Port::default()
            },
        ];
    });

    node.run(&[app]).await?;

    let look = world.look();
    let service = look.there(("v1", "Service"), world.space(), "web").await?;
    let ports = service["spec"]["ports"].as_array().context("no ports")?;
    ensure!(ports.len() == 2, "{service}");
    let http = ports.iter().find(|port| port["port"] == 80);
    let http = http.context("no port 80")?;
    expect(http, "/targetPort", json!(8080))?;
    let selector = &service["spec"]["selector"];
    ensure!(selector["baetyl.io/application"] == "web", "{service}");
    let outside = look
        .there(("v1", "Service"), world.space(), "web-nodeport")
        .await?;
    expect(&outside, "/spec/type", json!("NodePort"))?;
    expect(&outside, "/spec/ports/0/nodePort", json!(node_port))
}

pub(super) async fn when_a_probe_asks_by_http_then_the_answer_counts(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let asks = |path: &str| pb::Probe {
        check: Some(pb::probe::Check::HttpGet(pb::HttpGetAction {
            path: path.to_owned(),
            port: "web".to_owned(),
            scheme: String::new(),
        })),
        ..probe(&[])
    };
    let app = world
        .app("web")
        .behaves(Behaviour::ServeHttp(8080))
        .port("web", 8080)
        .within(world.deadline());
    let good = app
        .clone()
        .service(|service| service.readiness_probe = Some(asks("/")));
    node.run(&[good]).await?;

    node.desire(&[app.service(|service| service.readiness_probe = Some(asks("/none")))])?;

    let status = node
        .until_state("web", pb::ApplicationState::RolledBack)
        .await?;
    ensure!(status.reason == "PROBE_FAILED", "{status:?}");
    ensure!(status.message.contains("404"), "{status:?}");
    Ok(())
}

pub(super) async fn when_it_scales_itself_then_nobody_else_sets_the_number(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world
        .app("web")
        .copies(2)
        .limit("cpu", "100m")
        .with(|message| {
            message.autoscaling = Some(pb::Autoscaling {
                min_replicas: 2,
                max_replicas: 4,
                metrics: vec![pb::ScalingMetric {
                    resource: "cpu".to_owned(),
                    average_utilization: 80,
                    ..pb::ScalingMetric::default()
                }],
            });
        });
    node.run(std::slice::from_ref(&app)).await?;
    let scaler = look
        .there(
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            world.space(),
            "web",
        )
        .await?;
    expect(&scaler, "/spec/minReplicas", json!(2))?;
    expect(&scaler, "/spec/maxReplicas", json!(4))?;
    expect(&scaler, "/spec/scaleTargetRef/name", json!("web"))?;

    let scaled = json!({ "spec": { "replicas": 3 } });
    look.edit(("apps/v1", "Deployment"), world.space(), "web", &scaled)
        .await?;
    node.run(&[app.variable("VERSION", "2")]).await?;

    look.until_ready(world.space(), "web", 3).await?;
    Ok(())
}

pub(super) async fn when_there_is_a_disruption_budget_then_the_cluster_knows_it(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world.app("web").copies(2).with(|message| {
        message.disruption_budget = Some(pb::DisruptionBudget {
            min_available: "1".to_owned(),
            max_unavailable: String::new(),
        });
    });

    node.run(&[app]).await?;

    let kind = ("policy/v1", "PodDisruptionBudget");
    let budget = world.look().there(kind, world.space(), "web").await?;
    expect(&budget, "/spec/minAvailable", json!(1))
}

pub(super) async fn when_registries_are_named_then_pods_pull_with_their_credentials(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    node.input(Input::registry(
        "hub",
        "registry.invalid",
        "somebody",
        "first",
    ))?;
    let app = world.app("web");
    let app = app.with(|message| message.registries = vec!["hub".to_owned()]);
    node.run(&[app]).await?;
    let before = look.uids(world.space(), "web").await?;
    let pod = pod(&look, world.space(), "web").await?;
    let name = pod.pointer("/spec/imagePullSecrets/0/name");
    let name = name.and_then(Value::as_str).context("no pull secret")?;
    let secret = look.there(("v1", "Secret"), world.space(), name).await?;
    expect(&secret, "/type", json!("kubernetes.io/dockerconfigjson"))?;

    node.input(Input::registry(
        "hub",
        "registry.invalid",
        "somebody",
        "second",
    ))?;
    node.desire_again()?;

    node.until_converged().await?;
    let changed = look.there(("v1", "Secret"), world.space(), name).await?;
    ensure!(
        changed["data"] != secret["data"],
        "the secret is the old one"
    );
    let after = look.uids(world.space(), "web").await?;
    ensure!(before == after, "pods were replaced for nothing");
    Ok(())
}

pub(super) async fn when_certificates_are_mounted_then_the_files_are_there(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let app = world
        .app("web")
        .mounts(
            "tls",
            "/tls",
            pb::volume::Source::Certificate(named("server")),
        )
        .behaves(Behaviour::Script(
            "trap 'exit 0' TERM; test -e /tls/tls.crt && test -e /tls/tls.key && echo both; \
             sleep 86400 & wait"
                .to_owned(),
        ));
    with_certificate(&mut node)?;

    node.run(&[app]).await?;

    node.until_logged("web", "both").await
}

/// A certificate that nobody trusts.
fn with_certificate(node: &mut Node) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["server.example".to_owned()])?;
    node.input(Input::certificate(pb::Certificate {
        name: "server".to_owned(),
        certificate_pem: made.cert.pem(),
        private_key_pem: made.signing_key.serialize_pem(),
        ..pb::Certificate::default()
    }))
}

pub(super) async fn when_data_is_kept_then_the_next_pod_finds_it(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let app = world
        .app("store")
        .behaves(Behaviour::Keep("/data"))
        .ready_by_file()
        .data("/data", "");
    node.run(std::slice::from_ref(&app)).await?;
    node.until_logged("store", "fresh").await?;

    node.run(&[app.version("2")]).await?;

    look.until_all_see(world.space(), "store", "kept").await
}
