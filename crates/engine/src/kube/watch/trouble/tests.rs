//! What answers mean.

use kube::core::Status;

use super::Trouble;

fn answer(code: u16) -> Trouble {
    let status = Status {
        code,
        ..Status::default()
    };
    Trouble::answered(&status, "watch")
}

#[test]
fn when_the_server_answers_then_what_can_be_done_is_known() {
    let cases = [
        (403, Trouble::Forbidden { verb: "watch" }, false),
        (404, Trouble::NotServed, false),
        (410, Trouble::Gone, false),
        (
            503,
            Trouble::Busy("the API server answered 503".to_owned()),
            true,
        ),
        (
            504,
            Trouble::Refused("the API server answered 504".to_owned()),
            false,
        ),
    ];

    for (code, expected, is_passing) in cases {
        assert_eq!(answer(code), expected);
        assert_eq!(answer(code).is_passing(), is_passing, "{code}");
    }
}

#[test]
fn when_a_permission_is_missing_then_verb_resource_and_namespace_are_named() {
    let sentence = answer(403).sentence("deployments.apps", Some("baetyl-edge"));

    assert_eq!(
        sentence,
        "no permission to watch deployments.apps in namespace baetyl-edge"
    );
    assert_eq!(
        answer(403).sentence("nodes", None),
        "no permission to watch nodes in the cluster"
    );
}
