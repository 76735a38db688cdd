//! Runs the scenarios against the cluster of `KUBECONFIG`: `e2e [PART OF A NAME]…`. What the engine
//! logs is written to the standard error as far as `RUST_LOG` asks for it; default nothing.

#![expect(
    clippy::print_stdout,
    reason = "what it prints is what it is for: one line per scenario, and the sum"
)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use baetyl_e2e::scenarios::{self, Scenario};
use baetyl_e2e::world::Line;
use baetyl_e2e::{RealWorld, World};
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;

/// How many times over the patience of a world a scenario may take as a whole.
const WAITS: u32 = 6;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let world = RealWorld::start().await?;
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for scenario in scenarios::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|part| scenario.name.contains(part)) {
            continue;
        }
        if let Some(why) = scenarios::obstacle(scenario, |need| world.lacks(need)) {
            println!("skipped  {}: {why}", scenario.name);
            skipped += 1;
            continue;
        }
        let began = Instant::now();
        let came = run(scenario, &world).await;
        let seconds = began.elapsed().as_secs_f64();
        match came {
            Ok(()) => {
                println!("passed   {} in {seconds:.1} s", scenario.name);
                passed += 1;
            }
            Err(error) => {
                println!("FAILED   {} in {seconds:.1} s: {error:#}", scenario.name);
                failed.push(scenario.name);
            }
        }
        world.sweep().await?;
    }
    world.end().await?;
    for name in &failed {
        println!("FAILED   {name}");
    }
    println!(
        "{passed} passed, {} failed, {skipped} skipped",
        failed.len()
    );
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

async fn run(scenario: &Scenario, world: &dyn World) -> Result<()> {
    // A cut line must not outlive the scenario that cut it.
    let came = timeout(WAITS * world.patience(), (scenario.run)(world)).await;
    world.set_line(Line::Open).await?;
    came?
}
