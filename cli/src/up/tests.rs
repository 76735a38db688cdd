//! Tests of the module `up`.

use super::*;

#[tokio::test]
async fn when_a_port_is_held_then_its_owner_may_listen_and_nobody_else_gets_it() {
    let held = hold().expect("held");
    let address = held.local_addr().expect("an address");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));

    let stranger = TcpSocket::new_v4().expect("a socket").bind(address);
    let listener = tokio::net::TcpListener::bind(address).await;

    assert!(stranger.is_err());
    assert!(listener.is_ok(), "{listener:?}");
}

#[test]
fn when_the_base_is_too_high_then_that_is_said() {
    let failure = Ports::choose(65_500).err().expect("refused");

    assert!(failure.to_string().contains("--port-base"), "{failure}");
}
