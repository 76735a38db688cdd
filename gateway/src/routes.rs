//! Which rule a request means.

use std::sync::Arc;

use baetyl_proto::pool;
use http::Method;

use crate::backend::Face;
use crate::rule::template::Path;
use crate::rule::{Rule, RuleError};

#[cfg(test)]
mod tests;

/// Every rule of a face, the ones that say most first.
#[derive(Debug)]
pub(crate) struct Routes {
    rules: Vec<Arc<Rule>>,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found<'r> {
    /// The rule.
    Rule(&'r Arc<Rule>),
    /// The path is known, with other methods.
    OtherMethods(Vec<Method>),
    /// The path is unknown.
    Nothing,
}

impl Routes {
    /// Compiles the rules of all methods that the face serves.
    pub(crate) fn compile(face: Face) -> Result<Self, RuleError> {
        let pool = pool::descriptors();
        let http = pool
            .get_extension_by_name("google.api.http")
            .expect("the contract imports annotations.proto");
        let mut rules = Vec::new();
        for service in pool.services() {
            if !face.packages().contains(&service.package_name()) {
                continue;
            }
            for rpc in service.methods() {
                rules.extend(Rule::compile(&rpc, &http)?.into_iter().map(Arc::new));
            }
        }
        rules.sort_by_cached_key(|rule| rule.template.rank());
        Ok(Self { rules })
    }

    /// Finds the rule of a request. A linear scan: a hundred rules fail at their first words.
    pub(crate) fn find(&self, method: &Method, path: &Path<'_>) -> Found<'_> {
        // An answer to HEAD is one to GET without its body, which the server takes away.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let mut others = Vec::new();
        for rule in self
            .rules
            .iter()
            .filter(|rule| rule.template.is_match(path))
        {
            if rule.method == *method {
                return Found::Rule(rule);
            }
            if !others.contains(&rule.method) {
                others.push(rule.method.clone());
            }
        }
        if others.is_empty() {
            return Found::Nothing;
        }
        others.sort_by(|left, right| left.as_str().cmp(right.as_str()));
        Found::OtherMethods(others)
    }

    /// All rules.
    pub(crate) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }
}
