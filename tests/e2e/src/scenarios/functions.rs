//! Functions: the real runtime host in pods, and the function service that they attach to.

use anyhow::{Result, ensure};
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};

use crate::App;
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

fn is_of(answer: &str, version: u32) -> bool {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    answer["version"] == version
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
    let functions = world.functions().await?;
    let mut node = world.function_node(&functions, functions.issuer()).await?;
    say(&mut node, &code(1))?;
    node.run(&[app(world)]).await?;
    let caller = functions.call_steadily(NAME);

    say(&mut node, "def handler(event, context:\n    return 2\n")?;
    node.desire_again()?;
    let status = node.until_state(NAME, ApplicationState::RolledBack).await?;

    ensure!(status.reason == "CRASH_LOOP", "{status:?}");
    ensure!(status.message.contains("SyntaxError"), "{status:?}");
    let called = caller.end().await;
    ensure!(called.failures.is_empty(), "{:?}", called.failures);
    let strange = called.answers.iter().find(|answer| !is_of(answer, 1));
    ensure!(strange.is_none(), "another answer: {strange:?}");

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
    let functions = world.functions().await?;
    let mut node = world.function_node(&functions, functions.issuer()).await?;
    say(&mut node, &code(1))?;
    node.run(&[app(world)]).await?;
    let caller = functions.call_steadily(NAME);

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
