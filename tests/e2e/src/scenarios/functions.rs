//! Functions: the real runtime host in pods, and the function service that they attach to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};

use crate::App;
use crate::functions::{Called, Caller, Functions};
use crate::node::Node;
use crate::world::World;

/// Name of the application and of its service.
const NAME: &str = "answers";

/// Name of the configuration with the code.
const CODE: &str = "answers-code";

/// Code that says of which version it is.
fn code(version: u32) -> String {
    format!("def handler(event, context):\n    return {{\"version\": {version}}}\n")
}

fn say(node: &mut Node, code: &str) -> Result<()> {
    node.configuration(CODE, &[("answer.py", code)])
}

/// What a program of a language needs to start is never known in advance.
fn app(world: &dyn World) -> App {
    App::function(NAME, CODE).within(world.patience())
}

/// Code that loads and is ready, and wears out soon afterwards for good: what it has written in its
/// working folder is there for the next worker too.
const WEARS_OUT: &str = r#"
import os, threading, time

if os.path.exists("worn-out"):
    raise RuntimeError("worn out")

def wear_out():
    while not os.path.exists("ready"):
        time.sleep(0.05)
    print("ready for calls", flush=True)
    time.sleep(1)
    open("worn-out", "w").close()
    os._exit(1)

threading.Thread(target=wear_out, daemon=True).start()

def handler(event, context):
    return {"version": 2}
"#;

fn is_of(answer: &str, version: u32) -> bool {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    answer["version"] == version
}

/// A node on which version 1 of the code serves, and somebody who calls it all the time.
async fn called_steadily(world: &dyn World, app: App) -> Result<(Arc<Functions>, Node, Caller)> {
    let functions = world.functions().await?;
    let mut node = world.function_node(&functions, functions.issuer()).await?;
    say(&mut node, &code(1))?;
    node.run(&[app]).await?;
    let caller = functions.call_steadily(NAME);
    Ok((functions, node, caller))
}

/// Nobody has met another version than the first, nor a failure.
fn ensure_only_first(called: &Called) -> Result<()> {
    ensure!(called.failures.is_empty(), "{:?}", called.failures);
    let strange = called.answers.iter().find(|answer| !is_of(answer, 1));
    ensure!(strange.is_none(), "another answer: {strange:?}");
    Ok(())
}

pub(super) async fn when_a_function_is_desired_then_calls_are_answered(
    world: &dyn World,
) -> Result<()> {
    let functions = world.functions().await?;
    let mut node = world.function_node(&functions, functions.issuer()).await?;
    say(&mut node, &code(1))?;

    node.run(&[app(world)]).await?;

    let answer = functions.call(NAME, "{}").await;
    ensure!(matches!(&answer, Ok(text) if is_of(text, 1)), "{answer:?}");

    node.run(&[]).await?;
    let answer = functions.call(NAME, "{}").await;
    let reason = answer.map_err(|problem| problem.reason);
    ensure!(
        reason == Err("FUNCTION_NOT_FOUND".to_owned()),
        "a removed function: {reason:?}"
    );
    Ok(())
}

pub(super) async fn when_the_code_is_broken_then_the_old_code_answers(
    world: &dyn World,
) -> Result<()> {
    let (functions, mut node, caller) = called_steadily(world, app(world)).await?;

    say(&mut node, "def handler(event, context:\n    return 2\n")?;
    node.desire_again()?;
    let status = node.until_state(NAME, ApplicationState::RolledBack).await?;

    ensure!(status.reason == "CRASH_LOOP", "{status:?}");
    ensure!(status.message.contains("SyntaxError"), "{status:?}");
    ensure_only_first(&caller.end().await)?;

    say(&mut node, &code(3))?;
    node.desire_again()?;
    node.until_healthy(NAME).await?;
    node.until_converged().await?;
    let answer = functions.call(NAME, "{}").await;
    ensure!(matches!(&answer, Ok(text) if is_of(text, 3)), "{answer:?}");
    Ok(())
}

pub(super) async fn when_code_and_application_change_then_no_call_fails(
    world: &dyn World,
) -> Result<()> {
    let (functions, mut node, caller) = called_steadily(world, app(world)).await?;

    say(&mut node, &code(2))?;
    node.desire_again()?;
    node.until_converged().await?;
    node.run(&[app(world).version("2")]).await?;

    let answer = functions.call(NAME, "{}").await;
    ensure!(matches!(&answer, Ok(text) if is_of(text, 2)), "{answer:?}");
    let called = caller.end().await;
    ensure!(called.failures.is_empty(), "{:?}", called.failures);
    for version in [1, 2] {
        let has = called.answers.iter().any(|answer| is_of(answer, version));
        ensure!(has, "version {version} never answered");
    }
    Ok(())
}

pub(super) async fn when_new_code_wears_out_while_it_soaks_then_nobody_has_met_it(
    world: &dyn World,
) -> Result<()> {
    // Should the first code need longer to start, it counts once it is ready; the second one is
    // to be late.
    let app = app(world).soaks(6).within(Duration::from_secs(25));
    let (functions, mut node, caller) = called_steadily(world, app).await?;

    say(&mut node, WEARS_OUT)?;
    node.desire_again()?;
    node.until_logged(NAME, "ready for calls").await?;
    let status = node.until_state(NAME, ApplicationState::RolledBack).await?;

    let revisions = (status.desired_revision, status.serving_revision);
    ensure!(
        revisions == (1, 1),
        "it is the revision that differs: {status:?}"
    );
    let answer = functions.call(NAME, "{}").await;
    ensure!(matches!(&answer, Ok(text) if is_of(text, 1)), "{answer:?}");
    ensure_only_first(&caller.end().await)
}

pub(super) async fn when_another_authority_made_its_certificate_then_a_runtime_is_not_admitted(
    world: &dyn World,
) -> Result<()> {
    let functions = world.functions().await?;
    let mut node = world
        .function_node(&functions, functions.impostor()?)
        .await?;
    say(&mut node, &code(1))?;

    node.desire(&[app(world)])?;

    let is_up = |status: &ApplicationStatus| status.instances.len() == 1;
    node.until(NAME, "has an instance", is_up).await?;
    let log = async || Ok(node.log(NAME).await.unwrap_or_default());
    let look = world.look();
    let is_refused = |lines: &Vec<String>| lines.iter().any(|line| line.contains("not attached"));
    look.until("the runtime is refused", log, is_refused)
        .await?;
    let state = node.until(NAME, "is not healthy", |_| true).await?.state();
    ensure!(state == ApplicationState::Progressing, "{state:?}");
    Ok(())
}
