//! Ports that are given, and those that are not.

use std::collections::BTreeSet;
use std::net::TcpListener;

use super::{DEFAULT_RANGE, allocate};
use crate::Error;

#[test]
fn when_somebody_listens_then_the_port_is_not_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();

    let found = allocate(port..=port, &BTreeSet::new());

    assert!(matches!(found, Err(Error::NoFreePort { first, .. }) if first == port));
}

#[test]
fn when_ports_are_taken_then_another_one_is_given() {
    let first = allocate(DEFAULT_RANGE, &BTreeSet::new()).unwrap();

    let second = allocate(DEFAULT_RANGE, &BTreeSet::from([first])).unwrap();

    assert_ne!(first, second);
    assert!(DEFAULT_RANGE.contains(&second));
}
