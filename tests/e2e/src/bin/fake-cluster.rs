//! A cluster in one process, for trying a `kube` node without Kubernetes: prints how core uses it,
//! and runs until Ctrl-C. Containers do what a small shell understands; runtimes of functions are
//! real processes of the program that was built beside it; nothing else is real.

#![expect(
    clippy::print_stdout,
    reason = "what it prints is what it is for: how to use it"
)]

use anyhow::Result;
use baetyl_e2e::world::Rules;
use baetyl_e2e::{FakeWorld, Need, World};

#[tokio::main]
async fn main() -> Result<()> {
    let world = FakeWorld::fitting(&[Need::RuntimeImage]).await?;
    let access = world.access(&Rules::none()).await?;
    println!("a cluster of two machines runs; end it with Ctrl-C");
    println!("  image of containers    {}", world.image());
    let lacking = world.lacks(Need::RuntimeImage);
    let runtimes = world.runtime_image().filter(|_| lacking.is_none());
    let shown = runtimes.or_else(|| Some(format!("none: {}", lacking.as_ref()?)));
    println!("  image of runtimes      {}", shown.unwrap_or_default());
    println!("  kubeconfig of core     {}", access.kubeconfig.display());
    println!();
    println!("baetyl node add plant --mode kube -l site=demo -o json   # address and token");
    println!("baetyl join ADDRESS --token TOKEN --no-core --data plant");
    println!(
        "baetyl core --data plant --set listen=127.0.0.1:9110 --set function_address=none \\\n  \
         --set kube.kubeconfig={}",
        access.kubeconfig.display()
    );
    println!();
    println!("for functions, instead of function_address=none:");
    println!(
        "  --set function_address=https://127.0.0.1:9111 --set kube.attach_address=127.0.0.1:9112 \\\n  \
         --set kube.runtime_image=IMAGE"
    );
    println!(
        "baetyl function --data plant --set listen=127.0.0.1:9111 \\\n  \
         --set attach_remote=127.0.0.1:9112"
    );
    tokio::signal::ctrl_c().await?;
    Ok(())
}
