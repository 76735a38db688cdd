//! Tests of the module `environment`.

use super::port_variable;

#[test]
fn when_a_port_is_named_then_its_variable_is_in_upper_case() {
    assert_eq!(port_variable("http"), "BAETYL_PORT_HTTP");
    assert_eq!(port_variable("http-api2"), "BAETYL_PORT_HTTP_API2");
}
