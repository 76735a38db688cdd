//! A cluster in one process, for trying a `kube` node without Kubernetes: prints how core uses it,
//! and runs until Ctrl-C. Containers do what a small shell understands; nothing else is real.

#![expect(
    clippy::print_stdout,
    reason = "what it prints is what it is for: how to use it"
)]

use anyhow::Result;
use baetyl_e2e::world::Rules;
use baetyl_e2e::{FakeWorld, World};

#[tokio::main]
async fn main() -> Result<()> {
    let world = FakeWorld::start().await?;
    let access = world.access(&Rules::none()).await?;
    println!("a cluster of two machines runs; end it with Ctrl-C");
    println!("  image of containers    {}", world.image());
    println!("  kubeconfig of core     {}", access.kubeconfig.display());
    println!();
    println!("baetyl node add plant --mode kube -l site=demo -o json   # address and token");
    println!("baetyl join ADDRESS --token TOKEN --no-core --data plant");
    println!(
        "baetyl core --data plant --set listen=127.0.0.1:9110 --set function_address=none \\\n  \
         --set kube.kubeconfig={}",
        access.kubeconfig.display()
    );
    tokio::signal::ctrl_c().await?;
    Ok(())
}
