//! docs/config.md: every key and every flag, from the types that read them.

#[cfg(test)]
mod tests;

mod default;
mod find;

use super::rust::{Definition, Member, definitions, functions, literals};
use super::{Tables, table};
use crate::finding::Finding;
use crate::repository::Repository;
use default::{Defaults, Value};
use find::{Found, element, find};

const DOCUMENT: &str = "docs/config.md";

/// A table of the document, the file and the type with its keys.
const SERVICES: [(&str, &str, &str); 4] = [
    ("cloud", "services/cloud/src/config.rs", "Config"),
    ("core", "services/core/src/config.rs", "Config"),
    ("function", "services/function/src/config.rs", "Config"),
    ("gateway", "cli/src/service/gateway.rs", "Settings"),
];

/// A table of the document, the file and the type with its flags.
const FLAGS: [(&str, &str, &str); 4] = [
    ("service flags", "cli/src/args/service.rs", "ServiceArgs"),
    ("join flags", "cli/src/args/service.rs", "JoinArgs"),
    ("up flags", "cli/src/args/service.rs", "UpArgs"),
    ("connection flags", "cli/src/args.rs", "Connection"),
];

/// Types of values that are no structure of keys, as people write them.
const VALUES: [(&str, &str); 14] = [
    ("HumanDuration", "duration"),
    ("ByteSize", "size"),
    ("Address", "address"),
    ("SocketAddr", "address"),
    ("IpAddr", "address"),
    ("PathBuf", "path"),
    ("String", "text"),
    ("bool", "true or false"),
    ("u16", "number"),
    ("u32", "number"),
    ("u64", "number"),
    ("usize", "number"),
    ("f64", "number"),
    ("Redacted", "secret text"),
];

/// The tables of the document, and what keeps them from being whole.
pub(super) fn tables(repository: &Repository) -> Tables {
    let mut findings = Vec::new();
    let mut regions = Vec::new();
    for (region, path, name) in SERVICES {
        let mut reader = Keys {
            repository,
            lines: Vec::new(),
            findings: &mut findings,
        };
        match definition(repository, path, name) {
            Some(definition) => reader.read(&Group::top(path), &definition),
            None => reader.report(path, 1, format!("there is no `{name}` with the keys")),
        }
        let text = table(&["key", "type", "default", "meaning"], reader.lines);
        regions.push((region, text));
    }
    for (region, path, name) in FLAGS {
        let lines = definition(repository, path, name).map(|found| flags(repository, &found));
        if lines.is_none() {
            let message = format!("there is no `{name}` with the flags");
            findings.push(Finding::error(path, 1, "config", message));
        }
        let text = table(
            &["flag", "variable", "default", "meaning"],
            lines.unwrap_or_default(),
        );
        regions.push((region, text));
    }
    Tables {
        document: DOCUMENT,
        regions,
        findings,
    }
}

fn definition(repository: &Repository, path: &str, name: &str) -> Option<Definition> {
    let found = definitions(repository.text(path)?).into_iter();
    { found }.find(|definition| definition.name == name)
}

/// Keys below one key.
struct Group<'a> {
    /// Where their type is.
    path: &'a str,
    prefix: String,
    /// What the type above sets.
    defaults: Defaults,
}

impl<'a> Group<'a> {
    fn top(path: &'a str) -> Self {
        Self {
            path,
            prefix: String::new(),
            defaults: Defaults::default(),
        }
    }
}

/// Reads the keys of one service.
struct Keys<'a> {
    repository: &'a Repository,
    lines: Vec<Vec<String>>,
    findings: &'a mut Vec<Finding>,
}

impl Keys<'_> {
    fn report(&mut self, path: &str, line: usize, message: String) {
        self.findings
            .push(Finding::error(path, line, "config", message));
    }

    fn read(&mut self, group: &Group<'_>, definition: &Definition) {
        let text = self.repository.text(group.path).unwrap_or_default();
        let defaults = Defaults::read(text, &definition.name).overlaid(&group.defaults);
        for member in &definition.members {
            if !member.attributes.contains("serde(skip") {
                self.read_member(group, member, &defaults);
            }
        }
    }

    fn read_member(&mut self, group: &Group<'_>, member: &Member, defaults: &Defaults) {
        let key = format!("{}{}", group.prefix, key_of(member));
        let (outer, inner) = element(&member.kind);
        if let Some((_, value)) = VALUES.iter().find(|(name, _)| *name == inner) {
            let list = if outer == "Vec" { "list of " } else { "" };
            let kind = format!("{list}{value}");
            return self.add(group.path, member, [key, kind], defaults);
        }
        let found = find(self.repository, group.path, inner);
        let Some(Found { path, definition }) = found.filter(|found| is_plain(&found.definition))
        else {
            let message = format!("the type `{}` of `{key}` is not known", member.kind);
            return self.report(group.path, member.line, message);
        };
        if definition.is_enum {
            let choices = choices(&definition);
            let names = choices.iter().map(|(name, _)| format!("`{name}`"));
            let kind = names.collect::<Vec<_>>().join(", ");
            self.add(group.path, member, [key, kind], defaults);
            return self.explain(&choices);
        }
        let mut prefix = format!("{key}.");
        if outer == "Vec" {
            prefix = format!("{key}[].");
            self.add(group.path, member, [key, "list".to_owned()], defaults);
        }
        let below = Group {
            path: &path,
            prefix,
            defaults: defaults.below(&member.name),
        };
        // Each group lies in a longer key, and a type that held itself could not be written.
        self.read(&below, &definition);
    }

    fn add(&mut self, path: &str, member: &Member, head: [String; 2], defaults: &Defaults) {
        let [key, kind] = head;
        if member.docs.is_empty() {
            self.report(path, member.line, format!("`{key}` is not documented"));
        }
        let (told, meaning) = default::told(&member.docs);
        let set = defaults.of(&member.name);
        if let (Some(told), Some(set)) = (&told, &set)
            && !set.agrees_with(told)
        {
            let message = format!("`{key}`: the comment says default {told}, the code {set}");
            self.report(path, member.line, message);
        }
        // A comment says yes or no, a file says true or false.
        let told = told.filter(|_| !matches!(set, Some(Value::Flag(_))));
        let set = set.map(|set| set.to_string());
        let none = || {
            member
                .kind
                .starts_with("Option<")
                .then(|| "none".to_owned())
        };
        let default = told.or(set).or_else(none);
        if default.is_none() {
            let message = format!("`{key}`: the comment does not say `Default …`");
            self.report(path, member.line, message);
        }
        let default = default::spelled(&default.unwrap_or_default());
        self.lines
            .push(vec![format!("`{key}`"), kind, default, meaning]);
    }

    /// Adds to the last line what each choice means.
    fn explain(&mut self, choices: &[(String, String)]) {
        let Some(meaning) = self.lines.last_mut().and_then(|line| line.last_mut()) else {
            return;
        };
        for (name, docs) in choices.iter().filter(|(_, docs)| !docs.is_empty()) {
            let mut letters = docs.chars();
            let first = letters.next().map(|c| c.to_lowercase().to_string());
            let text = format!(
                " `{name}`: {}{}",
                first.unwrap_or_default(),
                letters.as_str()
            );
            meaning.push_str(if meaning.is_empty() {
                text.trim_start()
            } else {
                &text
            });
        }
    }
}

/// The name of a key in a file.
fn key_of(member: &Member) -> String {
    let renamed = member.attributes.split_once("rename = \"");
    let renamed = renamed.and_then(|(_, rest)| rest.split('"').next());
    renamed.unwrap_or(&member.name).to_owned()
}

/// Whether it is read as it is written, and not by way of another type.
fn is_plain(definition: &Definition) -> bool {
    let ways = ["try_from", "transparent", "from ="];
    !ways.iter().any(|way| definition.attributes.contains(way))
}

/// What can be written for an enum, and what it means.
fn choices(definition: &Definition) -> Vec<(String, String)> {
    let is_snake = definition.attributes.contains("snake_case");
    let name = |member: &Member| find::written(&member.name, is_snake);
    let members = definition.members.iter();
    members
        .map(|member| (name(member), member.docs.clone()))
        .collect()
}

/// The flags and arguments of a command.
fn flags(repository: &Repository, definition: &Definition) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for member in &definition.members {
        let attributes = &member.attributes;
        let argument = |name: &str| {
            let (_, rest) = attributes.split_once(&format!("{name} = "))?;
            Some(
                rest.split([',', ')', ']'])
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            )
        };
        let text_of = |name: &str| argument(name).map(|text| text.trim_matches('"').to_owned());
        let long = attributes.contains("long");
        let name = text_of("long").unwrap_or_else(|| member.name.replace('_', "-"));
        let flag = if long {
            format!("`--{name}`")
        } else {
            format!("`{}`", name.to_uppercase())
        };
        let variable = text_of("env").map_or_else(|| "–".to_owned(), |name| format!("`{name}`"));
        let default = text_of("default_value").or_else(|| text_of("default_value_t"));
        let default = default.or_else(|| {
            let name = argument("default_value_os_t")?;
            made_by(repository, name.trim_end_matches("("))
        });
        let default = default.map_or_else(|| "–".to_owned(), |text| format!("`{text}`"));
        lines.push(vec![flag, variable, default, member.docs.clone()]);
    }
    lines
}

/// The text that a function of the program's arguments makes a default from.
fn made_by(repository: &Repository, name: &str) -> Option<String> {
    let files = repository
        .rust()
        .filter(|(path, _)| path.starts_with("cli/src/args"));
    let mut all = files.flat_map(|(_, text)| functions(text));
    let function = all.find(|function| function.name == name)?;
    literals(&function.body)
        .first()
        .map(|literal| literal.value.to_owned())
}
