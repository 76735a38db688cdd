//! What a program finds in its environment.

use std::collections::BTreeMap;

use super::ProcessDriver;
use crate::driver::{Launch, Refusal, text_of};
use crate::spec::Value;

/// Variables of the engine that programs need to find others and to show text and time.
const INHERITED: [&str; 2] = ["LANG", "TZ"];

/// Builds the environment of an instance.
pub(super) async fn build(
    driver: &ProcessDriver,
    launch: &Launch,
) -> Result<BTreeMap<String, String>, Refusal> {
    let layout = &driver.layout;
    let config = &driver.config;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let root = layout.instance(&launch.id).join("root");
    let certificates = layout.certificates(&launch.release.application, &launch.service.name);
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    env.insert("PATH".into(), config.path.clone());
    env.insert("HOME".into(), text(layout.work(&launch.id)));
    for name in INHERITED {
        env.extend(
            std::env::var(name)
                .ok()
                .map(|value| (name.to_owned(), value)),
        );
    }
    for variable in &launch.service.env {
        let value = match &variable.value {
            Value::Literal(text) => text.clone(),
            Value::Key(input, key) => text_of(&launch.inputs.files(input).await?, input, key)?,
        };
        env.insert(variable.name.clone(), value);
    }
    // Last, so that nothing of the document can stand in for them.
    let own = [
        ("NAMESPACE", config.namespace.clone()),
        ("NODE_NAME", config.node.clone()),
        ("APP_NAME", launch.release.application.clone()),
        ("APP_REVISION", launch.revision.to_string()),
        ("SERVICE_NAME", launch.service.name.clone()),
        ("INSTANCE_ID", launch.id.to_string()),
        ("INSTANCE_INDEX", launch.index.to_string()),
        ("RUN_MODE", "process".to_owned()),
        ("ROOT", text(root)),
        ("CERT_DIR", text(certificates)),
    ];
    for (name, value) in own {
        env.insert(format!("BAETYL_{name}"), value);
    }
    for (name, port) in &launch.ports {
        env.insert(port_variable(name), port.to_string());
    }
    Ok(env)
}

/// Name of the variable with a port: `BAETYL_PORT_HTTP_API` for `http-api`.
fn port_variable(name: &str) -> String {
    let name = name.to_ascii_uppercase().replace('-', "_");
    format!("BAETYL_PORT_{name}")
}

#[cfg(test)]
mod tests;
