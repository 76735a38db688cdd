//! The least loaded endpoint is picked, and equals in turn.

use std::sync::Arc;

use super::least_loaded;
use crate::app::endpoint::{Endpoint, EndpointId, Instance, Serves, State};
use crate::app::outbox::Outbox;

fn endpoint(in_flight: u32, slots: u32) -> Endpoint {
    Endpoint {
        id: EndpointId(1),
        instance: Instance {
            id: "runtime".to_owned(),
            incarnation: 1,
            shard: 0,
        },
        serves: Serves::Always,
        functions: Vec::new(),
        slots,
        in_flight,
        state: State::Ready,
        farewell: None,
        outbox: Arc::new(Outbox::unchunked()),
    }
}

fn pick(loads: &[(u32, u32)], start: usize) -> Option<usize> {
    let endpoints: Vec<_> = loads
        .iter()
        .map(|(used, of)| endpoint(*used, *of))
        .collect();
    least_loaded(&endpoints, start, |_| true)
}

#[test]
fn when_shares_differ_then_the_smallest_share_wins_not_the_smallest_count() {
    assert_eq!(pick(&[(1, 2), (3, 16), (1, 4)], 0), Some(1));
    assert_eq!(pick(&[(1, 2), (3, 16), (1, 4)], 2), Some(1));
}

#[test]
fn when_shares_are_equal_then_the_start_decides() {
    let picks = [0, 1, 2, 3, 4].map(|start| pick(&[(1, 2), (2, 4), (4, 8)], start));

    assert_eq!(picks, [Some(0), Some(1), Some(2), Some(0), Some(1)]);
}

#[test]
fn when_none_has_room_then_none_is_picked() {
    assert_eq!(pick(&[(2, 2), (0, 0), (5, 4)], 1), None);
    assert_eq!(pick(&[], 7), None);
}

#[test]
fn when_one_is_not_eligible_then_another_is_picked() {
    let endpoints = [endpoint(0, 8), endpoint(7, 8)];

    let picked = least_loaded(&endpoints, 0, |each| each.in_flight > 0);

    assert_eq!(picked, Some(1));
}
