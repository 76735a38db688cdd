//! Ids find their own call and nothing else.

use super::{CallId, Calls};

#[test]
fn when_a_place_is_used_again_then_the_old_id_is_stale() {
    let mut calls = Calls::default();
    let first = calls.insert("first");
    calls.remove(first);

    let second = calls.insert("second");

    assert_eq!(second.to_wire() as u32, first.to_wire() as u32);
    assert_eq!(calls.get(first), None);
    assert_eq!(calls.remove(first), None);
    assert_eq!(calls.get(second), Some(&"second"));
    assert_eq!(calls.len(), 1);
}

#[test]
fn when_an_id_is_renewed_then_only_the_new_one_finds_the_call() {
    let mut calls = Calls::default();
    let old = calls.insert("call");

    let new = calls.renew(old).expect("the call is there");

    assert_eq!(calls.get(old), None);
    assert_eq!(calls.renew(old), None);
    assert_eq!(calls.get(new), Some(&"call"));
    assert_eq!(calls.iter().collect::<Vec<_>>(), [(new, &"call")]);
}

#[test]
fn when_an_id_was_made_up_then_nothing_is_found() {
    let mut calls = Calls::default();
    calls.insert(());

    for id in [0, 1, u64::MAX, 1 << 32 | 7, 2 << 32] {
        assert_eq!(calls.get(CallId::from_wire(id)), None, "{id}");
        assert_eq!(calls.get_mut(CallId::from_wire(id)), None, "{id}");
    }
}
