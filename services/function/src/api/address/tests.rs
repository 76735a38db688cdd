//! Which addresses are taken.

use super::check_address;

#[test]
fn only_loopback_and_sockets_are_taken() {
    for (address, is_right) in [
        ("http://127.0.0.1:50001", true),
        ("http://127.8.0.1:1", true),
        ("http://[::1]:50001", true),
        ("http://localhost:50001", true),
        ("unix:/run/function.sock", true),
        ("unix:///run/function.sock", true),
        ("http://10.0.0.7:80", false),
        ("http://localhost.example.com:80", false),
        ("https://127.0.0.1:50001", false),
        ("127.0.0.1:50001", false),
        ("unix:", false),
        ("", false),
    ] {
        assert_eq!(check_address(address).is_ok(), is_right, "{address}");
    }
}
