//! Layered configuration: defaults, then a YAML file, the environment, and overrides.
//!
//! Every layer is checked key by key, so that one run names everything that is wrong. Types of
//! configuration derive `Serialize`, `Deserialize` and `Default`, and carry
//! `#[serde(default, deny_unknown_fields)]` so that an unknown field is an error.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::Code;

use crate::fault::{Fault, Violation};

mod layer;
mod scalar;
#[cfg(test)]
mod tests;

pub use scalar::{ByteSize, HumanDuration, ParseError, Redacted};

use layer::{Layer, apply, environment_layer};

/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where a configuration comes from, besides its defaults; later ones win.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// A YAML file. A file that was named must exist.
    pub file: Option<&'a Path>,
    /// What the names of variables begin with, for example `EXAMPLE_`. Two underscores go down a
    /// level: `EXAMPLE_LISTEN__PORT` sets `listen.port`. Case, and underscores inside of names, do
    /// not matter. In a cluster, turn service links off, or choose a prefix that no service has.
    pub env_prefix: &'a str,
    /// The variables; [`environment`] in a program, a list in tests.
    pub env: Vec<(String, String)>,
    /// What the command line says, as a tree; `null` means "not given".
    pub overrides: Value,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not YAML, or not a mapping.
    #[error("{}: {description}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from one, where it is known.
        line: Option<u32>,
        /// What is wrong.
        description: String,
    },
    /// Keys are unknown or values are wrong.
    #[error("{}", listed(.violations))]
    Invalid {
        /// All that is wrong; the field ends with where it was set: `listen.port (from env)`.
        violations: Vec<Violation>,
    },
}

impl ConfigError {
    /// `Ok` without violations: the last line of a service's own checks.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all of `violations`, when there are any.
    pub fn check(violations: Vec<Violation>) -> Result<(), Self> {
        if violations.is_empty() {
            return Ok(());
        }
        Err(Self::Invalid { violations })
    }
}

impl Fault for ConfigError {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "CONFIG_UNREADABLE",
            Self::Syntax { .. } => "CONFIG_SYNTAX",
            Self::Invalid { .. } => "CONFIG_INVALID",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Read { .. } => Vec::new(),
            Self::Syntax {
                path,
                line,
                description,
            } => vec![Violation {
                field: path.display().to_string(),
                description: description.clone(),
                reason: "SYNTAX".to_owned(),
                line: *line,
            }],
            Self::Invalid { violations } => violations.clone(),
        }
    }
}

fn listed(violations: &[Violation]) -> String {
    let count = violations.len();
    let noun = if count == 1 { "value is" } else { "values are" };
    let mut text = format!("{count} configuration {noun} wrong");
    for violation in violations {
        text.push_str("\n  ");
        text.push_str(&violation.field);
        text.push_str(": ");
        text.push_str(&violation.description);
    }
    text
}

/// The variables of this process whose names and values are UTF-8.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads all layers into a `T`.
///
/// The defaults of `T` must read back what they write (each is itself a valid configuration), and
/// hold no secret.
///
/// # Errors
/// The file cannot be read or is not YAML; or every key that is unknown or has a wrong value, of
/// all layers at once.
pub fn load<T>(sources: &Sources<'_>) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let defaults = serde_json::to_value(T::default()).map_err(|error| wrong_defaults(&error))?;
    let mut violations = Vec::new();
    let mut merged = defaults;
    if let Some(path) = sources.file {
        let tree = read(path)?;
        apply::<T>(&mut merged, Layer::file(path, tree), &mut violations);
    }
    let from_env = environment_layer::<T>(&merged, sources, &mut violations);
    apply::<T>(&mut merged, from_env, &mut violations);
    apply::<T>(
        &mut merged,
        Layer::overrides(sources.overrides.clone()),
        &mut violations,
    );
    ConfigError::check(violations)?;
    serde_json::from_value(merged).map_err(|error| wrong_defaults(&error))
}

/// A configuration whose layers pass one by one but not together, or that cannot be written.
fn wrong_defaults(error: &serde_json::Error) -> ConfigError {
    ConfigError::Invalid {
        violations: vec![Violation::new(".", "INVALID", error.to_string())],
    }
}

fn read(path: &Path) -> Result<Value, ConfigError> {
    let unreadable = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let syntax = |line, description| ConfigError::Syntax {
        path: path.to_owned(),
        line,
        description,
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_BYTES {
        let description = format!("is larger than {} bytes", MAX_FILE_BYTES);
        return Err(syntax(None, description));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error
            .location()
            .and_then(|at| u32::try_from(at.line()).ok());
        syntax(line, error.to_string())
    })?;
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        _ => Err(syntax(
            Some(1),
            "must be a mapping of keys to values".to_owned(),
        )),
    }
}
