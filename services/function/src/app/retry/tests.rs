//! The budget follows calls and time.

use std::time::Duration;

use tokio::time::Instant;

use super::RetryBudget;

fn spend(budget: &mut RetryBudget, now: Instant) -> usize {
    std::iter::from_fn(|| budget.withdraw(now).then_some(())).count()
}

#[test]
fn when_a_thousand_calls_fail_at_once_then_about_a_tenth_is_repeated() {
    let now = Instant::now();
    let mut budget = RetryBudget::new(now);
    for _ in 0..1000 {
        budget.deposit();
    }

    let repeated = spend(&mut budget, now);

    assert!((99..=110).contains(&repeated), "{repeated}");
}

#[test]
fn when_time_passes_then_ten_per_second_come_back_up_to_a_cap() {
    let start = Instant::now();
    let mut budget = RetryBudget::new(start);
    spend(&mut budget, start);

    let after_a_second = spend(&mut budget, start + Duration::from_secs(1));
    let after_an_hour = spend(&mut budget, start + Duration::from_secs(3600));

    assert_eq!((after_a_second, after_an_hour), (10, 100));
}
