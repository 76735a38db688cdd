//! `baetyl context`.

use std::path::{Path, PathBuf};

use crate::args::{ContextCommand, Form};
use crate::context::{self, Contexts};
use crate::failure::Failure;
use crate::output::{self, Table, dash, line};

pub(super) fn run(form: Form, command: ContextCommand) -> Result<(), Failure> {
    let path = context::path()?;
    let mut contexts = Contexts::load(&path)?;
    match command {
        ContextCommand::List => return list(form, &contexts),
        ContextCommand::Use { name } => {
            contexts.choose(Some(&name))?;
            line(&format!("context {name} is in use"));
            contexts.current = name;
        }
        ContextCommand::Set {
            name,
            cloud,
            ca,
            token_file,
            core,
            function,
            edge_ca,
            edge_token_file,
        } => {
            let context = contexts.contexts.entry(name.clone()).or_default();
            replace(&mut context.cloud, cloud);
            replace(&mut context.core, core);
            replace(&mut context.function, function);
            replace(&mut context.ca, read(ca)?);
            replace(&mut context.edge_ca, read(edge_ca)?);
            replace(&mut context.token, read(token_file)?.map(trimmed));
            replace(&mut context.edge_token, read(edge_token_file)?.map(trimmed));
            if contexts.current.is_empty() {
                contexts.current.clone_from(&name);
            }
            line(&format!("context {name} written to {}", path.display()));
        }
    }
    contexts.store(&path)
}

fn list(form: Form, contexts: &Contexts) -> Result<(), Failure> {
    let is_current = |name: &String| *name == contexts.current;
    if form != Form::Table {
        // Tokens and keys stay in the file.
        let all: Vec<_> = contexts
            .contexts
            .iter()
            .map(|(name, context)| {
                serde_json::json!({
                    "name": name,
                    "current": is_current(name),
                    "cloud": context.cloud,
                    "core": context.core,
                    "function": context.function,
                    "namespace": context.namespace,
                })
            })
            .collect();
        return output::value(form, &all);
    }
    let mut table = Table::new(&["", "NAME", "CLOUD", "FUNCTION", "NAMESPACE"]);
    for (name, context) in &contexts.contexts {
        let mark = if is_current(name) { "*" } else { "" };
        table.add(vec![
            mark.to_owned(),
            name.clone(),
            dash(&context.cloud),
            dash(&context.function),
            dash(&context.namespace),
        ]);
    }
    table.print();
    Ok(())
}

fn replace(field: &mut String, value: Option<String>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn read(path: Option<PathBuf>) -> Result<Option<String>, Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
    };
    path.as_deref().map(read).transpose()
}

fn trimmed(text: String) -> String {
    text.trim().to_owned()
}
