//! Every method with a rule can be reached.

use std::collections::BTreeSet;

use prost_reflect::MethodDescriptor;

use super::*;

fn exposed(face: Face) -> Vec<MethodDescriptor> {
    let pool = pool::descriptors();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let services = pool.services();
    services
        .filter(|service| face.packages().contains(&service.package_name()))
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|rpc| rpc.options().has_extension(&http))
        .collect()
}

#[test]
fn when_a_method_has_a_rule_then_its_path_leads_to_it() {
    for face in [Face::Cloud, Face::Edge] {
        let routes = Routes::compile(face).unwrap();
        let mut reached = BTreeSet::new();
        for rule in routes.rules() {
            let path = rule
                .template
                .rendered(|_| "x".to_owned())
                .replace("{x}", "x");

            let found = routes.find(&rule.method, &Path::parse(&path));

            let Found::Rule(found) = found else {
                panic!("{} {path}: {found:?}", rule.method);
            };
            assert_eq!(found.rpc, rule.rpc, "{} {path}", rule.method);
            reached.insert(rule.rpc.full_name().to_owned());
        }
        let exposed: BTreeSet<_> = exposed(face)
            .iter()
            .map(|rpc| rpc.full_name().to_owned())
            .collect();
        assert!(exposed.len() > 5);
        assert_eq!(reached, exposed);
    }
}

#[test]
fn when_a_method_has_no_rule_then_nothing_leads_to_it() {
    let routes = Routes::compile(Face::Edge).unwrap();

    let hidden = ["RuntimeService", "RouteService"];
    for rule in routes.rules() {
        let service = rule.rpc.parent_service();
        assert!(
            !hidden.contains(&service.name()),
            "{}",
            rule.rpc.full_name()
        );
    }
}

#[test]
fn when_a_name_is_a_word_of_another_path_then_the_words_win() {
    let routes = Routes::compile(Face::Edge).unwrap();

    let found = routes.find(&Method::GET, &Path::parse("/v1/node/stats"));

    let Found::Rule(rule) = found else {
        panic!("{found:?}");
    };
    assert_eq!(rule.rpc.name(), "GetNodeStats");
}

#[test]
fn when_the_method_is_head_then_the_rule_of_get_is_found() {
    let routes = Routes::compile(Face::Cloud).unwrap();

    let found = routes.find(&Method::HEAD, &Path::parse("/v1/apps"));

    assert!(matches!(found, Found::Rule(rule) if rule.method == Method::GET));
}
