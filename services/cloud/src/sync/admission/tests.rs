//! The token bucket, with time as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::Admission;

#[test]
fn when_a_burst_is_over_then_the_rate_holds() {
    let start = Instant::now();
    let admission = Admission::new(10, 5, start);
    let admitted = |at: Instant| (0..20).filter(|_| admission.admit(at).is_ok()).count();

    assert_eq!(admitted(start), 5);
    assert_eq!(admitted(start + Duration::from_millis(250)), 2);
    assert_eq!(admitted(start + Duration::from_secs(3600)), 5);
}

#[test]
fn when_one_is_sent_away_then_it_hears_when_to_come_back() {
    let start = Instant::now();
    let admission = Admission::new(1, 1, start);
    admission.admit(start).unwrap();

    let after = admission.admit(start).unwrap_err();

    assert!(
        after >= Duration::from_millis(500) && after <= Duration::from_secs(31),
        "{after:?}"
    );
}
