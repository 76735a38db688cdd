//! Which of several endpoints gets a call.

use super::endpoint::Endpoint;

/// Picks the endpoint with the smallest share of its slots in use, among those with a free slot
/// that `is_eligible` accepts. The search begins at `start`, so that a caller that advances it
/// spreads equals in turn.
pub fn least_loaded(
    endpoints: &[Endpoint],
    start: usize,
    is_eligible: impl Fn(&Endpoint) -> bool,
) -> Option<usize> {
    let start = start.checked_rem(endpoints.len())?;
    let in_turn = (start..endpoints.len()).chain(0..start);
    let mut best: Option<usize> = None;
    for index in in_turn {
        let endpoint = &endpoints[index];
        if !endpoint.has_room() || !is_eligible(endpoint) {
            continue;
        }
        if best.is_none_or(|present| is_less_loaded(endpoint, &endpoints[present])) {
            best = Some(index);
        }
    }
    best
}

/// Compares `in_flight / slots` without dividing; both have slots, since both have room.
fn is_less_loaded(one: &Endpoint, other: &Endpoint) -> bool {
    let one_load = u64::from(one.in_flight) * u64::from(other.slots);
    let other_load = u64::from(other.in_flight) * u64::from(one.slots);
    one_load < other_load
}

#[cfg(test)]
mod tests;
