//! Raw objects and charts.

use anyhow::{Context as _, Result, ensure};
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};
use serde_json::{Value, json};

use crate::App;
use crate::behaviour::Behaviour;
use crate::node::{Input, Node};
use crate::witness::Witness;
use crate::world::{Rules, World, helm};

/// A raw deployment that behaves so.
pub(super) fn deployment(world: &dyn World, name: &str, behaviour: &Behaviour) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "main", "image": world.image(),
                        "imagePullPolicy": "IfNotPresent",
                        "command": behaviour.command(),
                        "readinessProbe": {
                            "exec": { "command": ["test", "-e", crate::behaviour::READY] },
                            "periodSeconds": 1,
                        },
                    }],
                },
            },
        },
    })
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name }, "data": { "key": value },
    })
}

/// Several documents of one text.
fn documents(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

/// Says what the objects of the raw application are.
fn say(node: &mut Node, objects: &[Value]) -> Result<()> {
    let text = documents(objects);
    node.configuration("objects", &[("all.yaml", &text)])
}

fn raw(world: &dyn World) -> App {
    App::manifest("raw", "objects").within(world.deadline())
}

pub(super) async fn when_raw_objects_are_desired_then_they_are_there_and_watched(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let text = format!(
        "# two documents, one of them by hand\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  \
         name: raw-map\ndata:\n  key: \"1\"\n---\n{}\n---\n",
        deployment(world, "raw-web", &Behaviour::Serve),
    );
    node.configuration("objects", &[("all.yaml", &text)])?;
    node.run(&[raw(world)]).await?;

    let status = node.until_healthy("raw").await?;
    let kinds: Vec<&str> = status.objects.iter().map(|one| one.kind.as_str()).collect();
    ensure!(
        kinds.contains(&"Deployment") && kinds.contains(&"ConfigMap"),
        "{kinds:?}"
    );
    ensure!(status.instances.len() == 1, "{status:?}");
    look.until_ready(world.space(), "raw", 1).await?;

    look.delete(("v1", "ConfigMap"), world.space(), "raw-map")
        .await?;
    let back = async || {
        look.object(("v1", "ConfigMap"), world.space(), "raw-map")
            .await
    };
    look.until("the map is back", back, Option::is_some).await?;
    Ok(())
}

pub(super) async fn when_a_kind_and_its_objects_come_together_then_the_kind_comes_first(
    world: &dyn World,
) -> Result<()> {
    let rules = Rules::custom("e2e.baetyl.io", "widgets");
    let mut node = Node::start(world.access(&rules).await?).await?;
    let look = world.look();
    let widget = json!({
        "apiVersion": "e2e.baetyl.io/v1", "kind": "Widget",
        "metadata": { "name": "first" }, "spec": { "size": 3 },
    });
    // The objects stand before their kind: order is not the author's business.
    say(&mut node, &[widget, definition()])?;

    node.run(&[raw(world)]).await?;

    let kind = ("e2e.baetyl.io/v1", "Widget");
    let there = look.there(kind, world.space(), "first").await?;
    ensure!(there["spec"]["size"] == 3, "{there}");
    node.run(&[]).await?;
    let definitions = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let gone = async || look.object(definitions, "", "widgets.e2e.baetyl.io").await;
    look.until("the kind is gone", gone, Option::is_none)
        .await?;
    Ok(())
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.e2e.baetyl.io" },
        "spec": {
            "group": "e2e.baetyl.io", "scope": "Namespaced",
            "names": { "kind": "Widget", "plural": "widgets", "singular": "widget" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": { "spec": {
                        "type": "object",
                        "properties": { "size": { "type": "integer" } },
                    } },
                } },
            }],
        },
    })
}

pub(super) async fn when_an_object_leaves_the_manifest_then_it_is_pruned(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    say(
        &mut node,
        &[config_map("raw-a", "1"), config_map("raw-b", "1")],
    )?;
    node.run(&[raw(world)]).await?;
    look.there(("v1", "ConfigMap"), world.space(), "raw-b")
        .await?;

    say(
        &mut node,
        &[config_map("raw-a", "2"), config_map("raw-c", "1")],
    )?;
    node.run(&[raw(world)]).await?;

    let kind = ("v1", "ConfigMap");
    let kept = look.there(kind, world.space(), "raw-a").await?;
    ensure!(kept["data"]["key"] == "2", "{kept}");
    look.there(kind, world.space(), "raw-c").await?;
    let gone = look.object(kind, world.space(), "raw-b").await?;
    ensure!(gone.is_none(), "{gone:?}");
    Ok(())
}

pub(super) async fn when_raw_objects_fail_then_the_old_ones_come_back(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let serving = deployment(world, "raw-web", &Behaviour::Serve);
    say(&mut node, &[serving.clone(), config_map("raw-a", "1")])?;
    node.run(&[raw(world)]).await?;
    let before = look.uids(world.space(), "raw").await?;
    let witness = Witness::of(world.client(), world.space(), "raw");
    witness.begin(1, world.patience()).await?;
    let crashing = deployment(world, "raw-web", &Behaviour::CrashAtOnce(3));

    say(
        &mut node,
        &[crashing, config_map("raw-a", "2"), config_map("raw-b", "2")],
    )?;
    node.desire(&[raw(world).within(2 * world.deadline())])?;

    let status = node
        .until_state("raw", ApplicationState::RolledBack)
        .await?;
    ensure!(status.reason == "CRASH_LOOP", "{status:?}");
    let kind = ("v1", "ConfigMap");
    let back = async || {
        let kept = look.there(kind, world.space(), "raw-a").await?;
        let new = look.object(kind, world.space(), "raw-b").await?;
        let pods = look.uids(world.space(), "raw").await?;
        Ok((kept["data"]["key"].clone(), new.is_some(), pods))
    };
    let is_back =
        |(key, has_new, pods): &(Value, bool, _)| key == "1" && !has_new && *pods == before;
    look.until("the old objects are back", back, is_back)
        .await?;
    ensure!(witness.least() >= 1, "nothing served at one moment");
    Ok(())
}

pub(super) async fn when_a_field_cannot_change_then_the_object_is_replaced_safely(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let mut object = deployment(world, "raw-web", &Behaviour::Serve);
    let both = json!({ "app": "raw-web", "tier": "front" });
    object["spec"]["selector"]["matchLabels"] = both.clone();
    object["spec"]["template"]["metadata"]["labels"] = both;
    say(&mut node, std::slice::from_ref(&object))?;
    node.run(&[raw(world)]).await?;
    let kind = ("apps/v1", "Deployment");
    let before = look.there(kind, world.space(), "raw-web").await?;
    let witness = Witness::of(world.client(), world.space(), "raw");
    witness.begin(1, world.patience()).await?;

    // Still finds the pods that run.
    object["spec"]["selector"]["matchLabels"] = json!({ "app": "raw-web" });
    say(&mut node, std::slice::from_ref(&object))?;
    node.desire(&[raw(world)])?;

    node.until_converged().await?;
    let after = look.there(kind, world.space(), "raw-web").await?;
    ensure!(before["metadata"]["uid"] != after["metadata"]["uid"]);
    look.until_ready(world.space(), "raw", 1).await?;
    ensure!(witness.least() >= 1, "nothing served at one moment");
    ensure!(witness.pods() == 1, "the pod was replaced");

    // Finds none of them any more: what serves would be lost.
    let other = json!({ "app": "raw-other" });
    object["spec"]["selector"]["matchLabels"] = other.clone();
    object["spec"]["template"]["metadata"]["labels"] = other;
    say(&mut node, std::slice::from_ref(&object))?;
    node.desire(&[raw(world)])?;
    let is_refused = |status: &ApplicationStatus| status.reason == "IMMUTABLE_FIELD";
    let status = node.until("raw", "is refused", is_refused).await?;
    ensure!(status.message.contains("spec.selector"), "{status:?}");
    look.until_ready(world.space(), "raw", 1).await?;
    ensure!(witness.least() >= 1, "nothing served at one moment");
    Ok(())
}

pub(super) async fn when_a_chart_is_desired_then_its_objects_are_there(
    world: &dyn World,
) -> Result<()> {
    let mut node = world.node().await?;
    let look = world.look();
    let chart = packed_chart().await?;
    node.input(Input::binary("chart", "small.tgz", chart))?;
    let app = App::helm("small", "chart", "small.tgz");

    node.run(&[app]).await?;

    let kind = ("v1", "ConfigMap");
    let map = look.there(kind, world.space(), "small-map").await?;
    ensure!(map["data"]["greeting"] == "hello", "{map}");
    node.run(&[]).await?;
    let gone = look.object(kind, world.space(), "small-map").await?;
    ensure!(gone.is_none(), "{gone:?}");
    Ok(())
}

/// A chart of one object, packed by `helm` itself.
async fn packed_chart() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join("small");
    std::fs::create_dir_all(chart.join("templates"))?;
    let about = "apiVersion: v2\nname: small\nversion: 0.1.0\n";
    std::fs::write(chart.join("Chart.yaml"), about)?;
    std::fs::write(chart.join("values.yaml"), "greeting: hello\n")?;
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-map\n\
                    data:\n  greeting: {{ .Values.greeting }}\n";
    std::fs::write(chart.join("templates/map.yaml"), template)?;
    let program = helm::program().map_err(anyhow::Error::msg)?;
    let packed = tokio::process::Command::new(program)
        .args(["package", "small"])
        .current_dir(folder.path())
        .output()
        .await?;
    ensure!(packed.status.success(), "{packed:?}");
    std::fs::read(folder.path().join("small-0.1.0.tgz")).context("helm packed nothing")
}

/// Waits until an application is refused for a reason, and returns what is said.
pub(super) async fn refused(
    node: &Node,
    application: &str,
    reason: &str,
) -> Result<ApplicationStatus> {
    let revision = node.documents().revision(application);
    let is_refused =
        |status: &ApplicationStatus| status.reason == reason && status.desired_revision == revision;
    let what = format!("is refused with {reason}");
    node.until(application, &what, is_refused).await
}
