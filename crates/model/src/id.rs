//! Identifiers: each is a type of its own, made only by a constructor that checks.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name of a resource, in bytes.
pub const MAX_NAME: usize = 63;

/// The longest name of an application: engines append to it.
pub const MAX_APPLICATION_NAME: usize = 55;

/// The shortest name.
const MIN_NAME: usize = 2;

/// A text is no identifier of the wanted sort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{description}")]
pub struct IdError {
    /// UPPER_SNAKE and stable: `INVALID_NAME`, `INVALID_UID` or `INVALID_KIND`.
    pub reason: &'static str,
    /// What is wrong, for people: `must be 2 to 63 characters, got 1`.
    pub description: String,
}

/// Which characters a name may have besides lower-case letters and digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inner {
    Dashes,
    DashesAndDots,
}

/// Says what is wrong with a name; lower-case letters and digits at both ends, `inner` between.
pub(crate) fn check_name(
    text: &str,
    inner: Inner,
    shortest: usize,
    longest: usize,
) -> Result<(), IdError> {
    let wrong = |description| {
        Err(IdError {
            reason: "INVALID_NAME",
            description,
        })
    };
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let may_stand = |letter: char| {
        letter.is_ascii_lowercase()
            || letter.is_ascii_digit()
            || letter == '-'
            || (letter == '.' && inner == Inner::DashesAndDots)
    };
    if let Some(letter) = text.chars().find(|letter| !may_stand(*letter)) {
        let allowed = match inner {
            Inner::Dashes => "lower-case letters, digits and `-`",
            Inner::DashesAndDots => "lower-case letters, digits, `-` and `.`",
        };
        return wrong(format!("may have {allowed}, got {letter:?}"));
    }
    if text.len() < shortest || text.len() > longest {
        let length = text.len();
        return wrong(format!(
            "must be {shortest} to {longest} characters, got {length}"
        ));
    }
    let ends = text.bytes().next().zip(text.bytes().next_back());
    if !ends.is_some_and(|(first, last)| alphanumeric(first) && alphanumeric(last)) {
        return wrong(format!(
            "must start and end with a letter or digit, got {text:?}"
        ));
    }
    Ok(())
}

/// Declares an identifier that is a checked text.
macro_rules! text_id {
    ($(#[$doc:meta])* $id:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $id(Arc<str>);

        impl $id {
            /// Takes a text.
            ///
            /// # Errors
            /// [`IdError`] says which rule it breaks.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $id {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $id {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl TryFrom<&str> for $id {
            type Error = IdError;

            fn try_from(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0.as_ref().into()
            }
        }
    };
}

text_id!(
    /// Name of a resource: lower-case letters, digits, `-` and `.`, 2 to 63 characters,
    /// alphanumeric at both ends. The predecessor's `res_name`.
    Name,
    |text| check_name(text, Inner::DashesAndDots, MIN_NAME, MAX_NAME)
);

text_id!(
    /// Name of a tenant: as [`Name`], without dots.
    NamespaceName,
    |text| check_name(text, Inner::Dashes, MIN_NAME, MAX_NAME)
);

text_id!(
    /// Name of a service: as [`Name`], without dots. The route key of a function service.
    ServiceName,
    |text| check_name(text, Inner::Dashes, MIN_NAME, MAX_NAME)
);

text_id!(
    /// One life of a resource: a random UUID (version 4) as 36 lower-case characters.
    Uid,
    check_uid
);

fn check_uid(text: &str) -> Result<(), IdError> {
    let parsed = uuid::Uuid::try_parse(text).ok();
    let is_canonical = parsed
        .is_some_and(|uuid| uuid.get_version_num() == 4 && uuid.hyphenated().to_string() == text);
    if is_canonical {
        return Ok(());
    }
    Err(IdError {
        reason: "INVALID_UID",
        description: "must be a lower-case UUID of version 4".into(),
    })
}

impl Uid {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().hyphenated().to_string().into())
    }
}

impl Name {
    /// Takes the name of a resource of some kind: applications have shorter names, and
    /// namespaces have no dots.
    ///
    /// # Errors
    /// [`IdError`] says which rule it breaks.
    pub fn parse_for(kind: Kind, text: &str) -> Result<Self, IdError> {
        let inner = match kind {
            Kind::Namespace => Inner::Dashes,
            Kind::Node
            | Kind::Application
            | Kind::Configuration
            | Kind::Secret
            | Kind::Certificate
            | Kind::Registry => Inner::DashesAndDots,
        };
        let longest = match kind {
            Kind::Application => MAX_APPLICATION_NAME,
            Kind::Namespace
            | Kind::Node
            | Kind::Configuration
            | Kind::Secret
            | Kind::Certificate
            | Kind::Registry => MAX_NAME,
        };
        check_name(text, inner, MIN_NAME, longest)?;
        Ok(Self(text.into()))
    }
}

impl From<NamespaceName> for Name {
    /// Every name of a tenant is a name.
    fn from(namespace: NamespaceName) -> Self {
        Self(namespace.0)
    }
}

/// The kinds of resources.
///
/// Prints as documents spell it (`Application`); reads that and lower case (`application`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Kind {
    /// A tenant.
    Namespace,
    /// An edge node.
    Node,
    /// A set of services.
    Application,
    /// Named files and values.
    Configuration,
    /// Confidential values.
    Secret,
    /// A TLS certificate with its private key.
    Certificate,
    /// Credentials of an image registry.
    Registry,
}

impl Kind {
    /// Every kind, in the order in which a set of documents is applied.
    pub const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Node,
        Self::Configuration,
        Self::Secret,
        Self::Certificate,
        Self::Registry,
        Self::Application,
    ];

    /// Returns the kind as a document spells it: `Application`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Application => "Application",
            Self::Configuration => "Configuration",
            Self::Secret => "Secret",
            Self::Certificate => "Certificate",
            Self::Registry => "Registry",
        }
    }

    /// Returns the kind in lower case, as keys and paths spell it: `application`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::Application => "application",
            Self::Configuration => "configuration",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Registry => "registry",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl FromStr for Kind {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let known = Self::ALL
            .into_iter()
            .find(|kind| kind.title() == text || kind.word() == text);
        known.ok_or_else(|| IdError {
            reason: "INVALID_KIND",
            description: "must be one of Namespace, Node, Application, Configuration, Secret, \
                          Certificate and Registry"
                .into(),
        })
    }
}

impl TryFrom<String> for Kind {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.title().into()
    }
}

#[cfg(test)]
mod tests;
