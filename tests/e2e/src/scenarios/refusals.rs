//! Bad manifests, charts and fields: refused before anything changes, with object and field named.

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1::ApplicationStatus;
use serde_json::{Value, json};

use super::manifests::{deployment, refused};
use crate::App;
use crate::behaviour::Behaviour;
use crate::node::{Input, Node};
use crate::world::World;

/// A node with a good raw application beside a container application.
struct Stage<'a> {
    world: &'a dyn World,
    node: Node,
    good: Value,
    before: Value,
}

const DEPLOYMENT: (&str, &str) = ("apps/v1", "Deployment");

impl<'a> Stage<'a> {
    async fn set(world: &'a dyn World) -> Result<Self> {
        let mut node = world.node().await?;
        let good = deployment(world, "raw-web", &Behaviour::Serve);
        node.configuration("objects", &[("all.yaml", &good.to_string())])?;
        node.run(&[raw(), world.app("other")]).await?;
        world.look().until_ready(world.space(), "raw", 1).await?;
        let before = world
            .look()
            .there(DEPLOYMENT, world.space(), "raw-web")
            .await?;
        Ok(Self {
            world,
            node,
            good,
            before,
        })
    }

    /// Wants something else, which must be refused and change nothing.
    async fn refuses(&mut self, text: &str, reason: &str) -> Result<ApplicationStatus> {
        self.node.configuration("objects", &[("all.yaml", text)])?;
        let changed = raw().with(|message| {
            message.description = "changed".to_owned();
        });
        self.node
            .desire(&[changed, self.world.app("other").version("2")])?;
        self.node.until_healthy("other").await?;
        let status = refused(&self.node, "raw", reason).await?;
        let now = self
            .world
            .look()
            .there(DEPLOYMENT, self.world.space(), "raw-web")
            .await?;
        ensure!(
            now["metadata"]["generation"] == self.before["metadata"]["generation"],
            "it was changed: {now}"
        );
        ensure!(status.serving_revision == 1, "{status:?}");
        Ok(status)
    }
}

fn raw() -> App {
    App::manifest("raw", "objects")
}

pub(super) async fn when_a_manifest_is_no_yaml_then_nothing_changes(
    world: &dyn World,
) -> Result<()> {
    let mut stage = Stage::set(world).await?;

    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\n";
    let status = stage.refuses(text, "INVALID_OBJECT").await?;

    ensure!(status.message.contains("all.yaml"), "{}", status.message);
    Ok(())
}

pub(super) async fn when_a_field_is_unknown_then_nothing_changes(world: &dyn World) -> Result<()> {
    let mut stage = Stage::set(world).await?;
    let mut bad = stage.good.clone();
    bad["spec"]["template"]["spec"]["containers"][0]["comand"] = json!(["sh"]);
    bad["spec"]["replicas"] = json!(2);

    let status = stage.refuses(&bad.to_string(), "INVALID_OBJECT").await?;

    ensure!(status.message.contains("comand"), "{}", status.message);
    ensure!(status.message.contains("raw-web"), "{}", status.message);
    Ok(())
}

pub(super) async fn when_a_value_is_wrong_then_nothing_changes(world: &dyn World) -> Result<()> {
    let mut stage = Stage::set(world).await?;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "raw-map" },
    });
    let mut bad = stage.good.clone();
    bad["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{ "containerPort": 123_456 }]);
    let text = format!("{map}\n---\n{bad}");

    let status = stage.refuses(&text, "INVALID_OBJECT").await?;

    ensure!(
        status.message.contains("containerPort"),
        "{}",
        status.message
    );
    let map = world
        .look()
        .object(("v1", "ConfigMap"), world.space(), "raw-map")
        .await?;
    ensure!(map.is_none(), "the good half was applied");
    Ok(())
}

pub(super) async fn when_a_namespace_is_not_allowed_then_nothing_changes(
    world: &dyn World,
) -> Result<()> {
    let mut stage = Stage::set(world).await?;
    let foreign = world.spaces().foreign.clone();
    let mut bad = stage.good.clone();
    bad["metadata"]["namespace"] = foreign.as_str().into();

    let status = stage
        .refuses(&bad.to_string(), "NAMESPACE_NOT_ALLOWED")
        .await?;

    ensure!(status.message.contains(&foreign), "{}", status.message);
    let far = world.app("far").in_namespace(&foreign);
    stage.node.desire(&[far])?;
    refused(&stage.node, "far", "NAMESPACE_NOT_ALLOWED").await?;
    let there = world.look().all_of(stage.node.owner(), &foreign).await?;
    ensure!(there.is_empty(), "{there:?}");
    Ok(())
}

pub(super) async fn when_a_kind_is_unknown_then_nothing_changes(world: &dyn World) -> Result<()> {
    let mut stage = Stage::set(world).await?;
    let gadget = json!({
        "apiVersion": "nobody.example/v1", "kind": "Gadget", "metadata": { "name": "first" },
    });
    let text = format!("{}\n---\n{gadget}", stage.good);

    let status = stage.refuses(&text, "KIND_NOT_FOUND").await?;

    ensure!(status.message.contains("Gadget"), "{}", status.message);
    Ok(())
}

pub(super) async fn when_the_role_does_not_list_it_then_the_permission_is_named(
    world: &dyn World,
) -> Result<()> {
    let mut stage = Stage::set(world).await?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "raw-role" },
        "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }],
    });
    let text = format!("{}\n---\n{role}", stage.good);

    let status = stage.refuses(&text, "FORBIDDEN").await?;

    ensure!(status.message.contains("roles"), "{}", status.message);
    Ok(())
}

pub(super) async fn when_a_chart_is_none_then_nothing_changes(world: &dyn World) -> Result<()> {
    let mut node = world.node().await?;
    node.input(Input::binary("chart", "small.tgz", b"no archive".to_vec()))?;

    node.desire(&[App::helm("small", "chart", "small.tgz"), world.app("other")])?;

    node.until_healthy("other").await?;
    let is_refused = |status: &ApplicationStatus| {
        ["HELM_FAILED", "HELM_NOT_FOUND"].contains(&status.reason.as_str())
    };
    let status = node.until("small", "is refused", is_refused).await?;
    ensure!(!status.message.is_empty(), "{status:?}");
    Ok(())
}
