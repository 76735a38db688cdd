//! Sequences of desired documents by chance. `BAETYL_SEED` repeats one, `BAETYL_DOCUMENTS` makes it
//! longer or shorter.

use std::time::Instant;

/// What a sequence is made of unless the environment says otherwise.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_documents_come_by_chance_then_the_cluster_ends_as_the_last_one_says() {
    let seed = number("BAETYL_SEED").unwrap_or_else(rand::random);
    let documents = number("BAETYL_DOCUMENTS").unwrap_or(1000);
    println!("BAETYL_SEED={seed}");
    let began = Instant::now();

    let report = baetyl_e2e::random::run(seed, usize::try_from(documents).unwrap()).await;

    let seconds = began.elapsed().as_secs_f64();
    match report {
        Ok(report) => println!("{report:?} in {seconds:.1} s"),
        Err(error) => panic!("{error:?}\nBAETYL_SEED={seed}"),
    }
}
