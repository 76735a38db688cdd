//! Tests of the module `backoff`.

use proptest::{prop_assert, proptest};
use rand::RngCore;

use super::*;

/// Always draws the highest value of the range that it is asked for.
struct Highest;

impl RngCore for Highest {
    fn next_u32(&mut self) -> u32 {
        u32::MAX
    }

    fn next_u64(&mut self) -> u64 {
        u64::MAX
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(u8::MAX);
    }
}

fn highest() -> Backoff {
    Backoff::with_rng(Bounds::default(), Box::new(Highest))
}

#[test]
fn when_attempts_fail_then_the_ceiling_doubles_to_the_cap() {
    let mut backoff = highest();
    let now = Instant::now();

    let drawn: Vec<u128> = (0..10)
        .map(|_| backoff.next_delay(now).as_millis())
        .collect();

    assert_eq!(
        drawn,
        [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
    );
}

#[test]
fn given_a_long_series_when_healthy_for_a_minute_then_it_starts_again() {
    let mut backoff = highest();
    let start = Instant::now();
    for _ in 0..8 {
        backoff.next_delay(start);
    }

    backoff.healthy(start);
    let delay = backoff.next_delay(start + Duration::from_secs(60));

    assert_eq!(delay, Duration::from_millis(200));
}

#[test]
fn given_a_long_series_when_healthy_for_a_moment_then_it_goes_on() {
    let mut backoff = highest();
    let start = Instant::now();
    for _ in 0..8 {
        backoff.next_delay(start);
    }

    backoff.healthy(start);
    let delay = backoff.next_delay(start + Duration::from_secs(59));

    assert_eq!(delay, Duration::from_secs(30));
}

proptest! {
    #[test]
    fn when_any_attempt_is_drawn_then_the_delay_is_within_its_ceiling(
        seed: u64,
        attempts in 1_u32..200,
        initial_ms in 0_u64..10_000,
        cap_ms in 0_u64..100_000,
    ) {
        let bounds = Bounds {
            initial: Duration::from_millis(initial_ms),
            cap: Duration::from_millis(cap_ms),
            healthy_after: Duration::from_secs(60),
        };
        let mut backoff = Backoff::with_rng(bounds, Box::new(StdRng::seed_from_u64(seed)));
        let now = Instant::now();

        for attempt in 0..attempts {
            let delay = backoff.next_delay(now);
            prop_assert!(delay <= bounds.ceiling(attempt));
            prop_assert!(delay <= bounds.cap);
        }
    }
}
