//! Tests of percentiles.

use super::*;

fn millis(values: impl IntoIterator<Item = u64>) -> Percentiles {
    values.into_iter().map(Duration::from_millis).collect()
}

#[test]
fn when_values_come_in_any_order_then_percentiles_are_nearest_ranks() {
    let values = millis((1..=200).rev());

    let ranks = [0.0, 0.5, 50.0, 99.0, 99.1, 100.0].map(|percent| values.at(percent).as_millis());

    assert_eq!(ranks, [1, 1, 100, 198, 199, 200]);
    assert_eq!(values.max(), Duration::from_millis(200));
}

#[test]
fn when_there_is_one_value_or_none_then_it_is_every_percentile_or_zero() {
    assert_eq!(millis([7]).at(99.0), Duration::from_millis(7));
    assert_eq!(millis([]).median(), Duration::ZERO);
    assert!(median(&[]).abs() < f64::EPSILON);
}
