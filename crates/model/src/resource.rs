//! Resources that are known to be right: checked, with defaults filled, ready to be stored.
//!
//! A [`Message`] is what somebody wrote. [`Resource::try_new`] and [`Resource::revise`] are the
//! only ways from there to a [`Resource`], and report everything that is wrong at once.
//! [`Resource::encode`] gives the bytes that are stored, sent and hashed, and that are never
//! encoded again; [`Resource::decode`] reads them back.

use std::collections::BTreeMap;

pub use baetyl_proto::resource::v1::OnChange;
use baetyl_shadow::Digest;
use prost::DecodeError;
use prost::bytes::Bytes;

use crate::id::{Kind, Name};
use crate::violation::{Check, Violation};

/// Does the same for every kind.
macro_rules! each {
    ($any:expr, $type:ident, $one:ident => $body:expr) => {
        match $any {
            $type::Namespace($one) => $body,
            $type::Node($one) => $body,
            $type::Application($one) => $body,
            $type::Configuration($one) => $body,
            $type::Secret($one) => $body,
            $type::Certificate($one) => $body,
            $type::Registry($one) => $body,
        }
    };
}

mod application;
mod certificate;
mod configuration;
mod message;
mod metadata;
mod namespace;
mod node;
mod output;
mod registry;
mod salt;
mod secret;

pub use application::{Application, Input, MAX_APPLICATION, MAX_SELECTOR, feature};
pub use certificate::{Certificate, MAX_PEM};
pub use configuration::{Configuration, MAX_CONFIGURATION};
pub use message::Message;
pub use namespace::Namespace;
pub use node::{ACCELERATOR_LABEL, MODE_LABEL, NAME_LABEL, Node};
pub use output::{Recorded, etag};
pub use registry::Registry;
pub use secret::{HIDDEN, MAX_SECRET, Secret};

pub(crate) use metadata::Metadata;

/// What a kind of resource must be able to do; each has its rules in a module of its own.
pub(crate) trait Rules: Metadata + prost::Message + Default + Clone {
    /// Which kind it is.
    const KIND: Kind;

    /// Fills defaults, clears what only the server writes, and records what is wrong. `before` is
    /// what is stored, for what may not change and for what is kept.
    fn normalise(&mut self, before: Option<&Self>, check: &mut Check);
}

/// Checks a message, together with what all kinds have in common.
pub(crate) fn checked<M: Rules>(
    mut message: M,
    before: Option<&M>,
) -> Result<(Name, M), Vec<Violation>> {
    let mut check = Check::default();
    let name = metadata::normalise(&mut message, M::KIND, &mut check);
    if let Some(before) = before {
        metadata::check_same(&message, before, &mut check);
    }
    message.normalise(before, &mut check);
    let violations = check.finish();
    match name {
        Some(name) if violations.is_empty() => Ok((name, message)),
        _ => Err(violations),
    }
}

/// Reads stored bytes. They were checked when they were written, perhaps by another version, so
/// that only what the type promises is checked again.
pub(crate) fn decoded<M: Rules>(bytes: &[u8]) -> Result<(Name, M), BodyError> {
    let message = M::decode(bytes)?;
    let name = Name::parse(message.name()).map_err(|_| BodyError::Nameless)?;
    Ok((name, message))
}

/// Stored bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The bytes are no message of that kind.
    #[error("the stored body cannot be decoded")]
    Malformed(#[from] DecodeError),
    /// The message has no valid name.
    #[error("the stored body has no valid name")]
    Nameless,
}

/// Declares the checked form of one kind's message.
macro_rules! resource {
    ($(#[$doc:meta])* $resource:ident, $message:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $resource {
            name: crate::Name,
            message: $message,
        }

        impl $resource {
            /// Checks what somebody wrote for a resource that does not exist yet, and fills
            /// defaults.
            ///
            /// # Errors
            /// Everything that is wrong.
            pub fn try_new(message: $message) -> Result<Self, Vec<crate::Violation>> {
                let (name, message) = crate::resource::checked(message, None)?;
                Ok(Self { name, message })
            }

            /// Checks what somebody wrote for a resource that exists as `before`.
            ///
            /// # Errors
            /// Everything that is wrong, and every field that may not change.
            pub fn revise(
                message: $message,
                before: &Self,
            ) -> Result<Self, Vec<crate::Violation>> {
                let (name, message) = crate::resource::checked(message, Some(&before.message))?;
                Ok(Self { name, message })
            }

            /// Reads what [`Self::encode`] made.
            ///
            /// # Errors
            /// The bytes are of something else.
            pub fn decode(bytes: &[u8]) -> Result<Self, crate::resource::BodyError> {
                let (name, message) = crate::resource::decoded(bytes)?;
                Ok(Self { name, message })
            }

            /// Returns the bytes that are stored and sent. Equal resources have equal bytes.
            pub fn encode(&self) -> prost::bytes::Bytes {
                prost::Message::encode_to_vec(&self.message).into()
            }

            /// Returns the SHA-256 of [`Self::encode`].
            pub fn digest(&self) -> crate::Digest {
                crate::Digest::of(&self.encode())
            }

            /// Returns the name.
            pub fn name(&self) -> &crate::Name {
                &self.name
            }

            /// Returns the message with defaults filled and without what only the server writes.
            pub fn message(&self) -> &$message {
                &self.message
            }

            /// Returns the message.
            pub fn into_message(self) -> $message {
                self.message
            }
        }
    };
}
pub(crate) use resource;

/// A checked resource of any kind.
#[expect(
    clippy::large_enum_variant,
    reason = "applications are what most of them are, and a box would cost more than it saves"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// A tenant.
    Namespace(Namespace),
    /// An edge node.
    Node(Node),
    /// An application.
    Application(Application),
    /// A configuration.
    Configuration(Configuration),
    /// A secret.
    Secret(Secret),
    /// A certificate.
    Certificate(Certificate),
    /// Credentials of an image registry.
    Registry(Registry),
}

impl Resource {
    /// Checks what somebody wrote for a resource that does not exist yet.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn try_new(message: Message) -> Result<Self, Vec<Violation>> {
        match message {
            Message::Namespace(message) => Namespace::try_new(message).map(Self::Namespace),
            Message::Node(message) => Node::try_new(message).map(Self::Node),
            Message::Application(message) => Application::try_new(message).map(Self::Application),
            Message::Configuration(message) => {
                Configuration::try_new(message).map(Self::Configuration)
            }
            Message::Secret(message) => Secret::try_new(message).map(Self::Secret),
            Message::Certificate(message) => Certificate::try_new(message).map(Self::Certificate),
            Message::Registry(message) => Registry::try_new(message).map(Self::Registry),
        }
    }

    /// Checks what somebody wrote for a resource that exists as `before`; one of another kind
    /// counts as none.
    ///
    /// # Errors
    /// Everything that is wrong, and every field that may not change.
    pub fn revise(message: Message, before: &Self) -> Result<Self, Vec<Violation>> {
        match (message, before) {
            (Message::Namespace(message), Self::Namespace(before)) => {
                Namespace::revise(message, before).map(Self::Namespace)
            }
            (Message::Node(message), Self::Node(before)) => {
                Node::revise(message, before).map(Self::Node)
            }
            (Message::Application(message), Self::Application(before)) => {
                Application::revise(message, before).map(Self::Application)
            }
            (Message::Configuration(message), Self::Configuration(before)) => {
                Configuration::revise(message, before).map(Self::Configuration)
            }
            (Message::Secret(message), Self::Secret(before)) => {
                Secret::revise(message, before).map(Self::Secret)
            }
            (Message::Certificate(message), Self::Certificate(before)) => {
                Certificate::revise(message, before).map(Self::Certificate)
            }
            (Message::Registry(message), Self::Registry(before)) => {
                Registry::revise(message, before).map(Self::Registry)
            }
            (message, _) => Self::try_new(message),
        }
    }

    /// Reads what [`Self::encode`] made.
    ///
    /// # Errors
    /// The bytes are no resource of that kind.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, BodyError> {
        Ok(match kind {
            Kind::Namespace => Self::Namespace(Namespace::decode(bytes)?),
            Kind::Node => Self::Node(Node::decode(bytes)?),
            Kind::Application => Self::Application(Application::decode(bytes)?),
            Kind::Configuration => Self::Configuration(Configuration::decode(bytes)?),
            Kind::Secret => Self::Secret(Secret::decode(bytes)?),
            Kind::Certificate => Self::Certificate(Certificate::decode(bytes)?),
            Kind::Registry => Self::Registry(Registry::decode(bytes)?),
        })
    }

    /// Returns the bytes that are stored and sent.
    pub fn encode(&self) -> Bytes {
        each!(self, Self, one => one.encode())
    }

    /// Returns the SHA-256 of [`Self::encode`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::Application(_) => Kind::Application,
            Self::Configuration(_) => Kind::Configuration,
            Self::Secret(_) => Kind::Secret,
            Self::Certificate(_) => Kind::Certificate,
            Self::Registry(_) => Kind::Registry,
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &Name {
        each!(self, Self, one => one.name())
    }

    /// Returns the tenant, empty when it was not said; that of a tenant is its own name.
    pub fn namespace(&self) -> &str {
        each!(self, Self, one => Metadata::namespace(one.message()))
    }

    /// Returns the labels that selectors and filters look at: those that were written, and for a
    /// node those that the system adds.
    pub fn selectable_labels(&self) -> BTreeMap<String, String> {
        match self {
            Self::Node(node) => node.selectable_labels(),
            Self::Namespace(one) => one.message().labels.clone(),
            Self::Application(one) => one.message().labels.clone(),
            Self::Configuration(one) => one.message().labels.clone(),
            Self::Secret(one) => one.message().labels.clone(),
            Self::Certificate(one) => one.message().labels.clone(),
            Self::Registry(one) => one.message().labels.clone(),
        }
    }

    /// Returns what it refers to, sorted, each once.
    pub fn references(&self) -> Vec<(Kind, Name)> {
        match self {
            Self::Application(application) => application.references(),
            Self::Namespace(_)
            | Self::Node(_)
            | Self::Configuration(_)
            | Self::Secret(_)
            | Self::Certificate(_)
            | Self::Registry(_) => Vec::new(),
        }
    }

    /// Returns whether both say the same: whether writing one over the other makes no revision.
    pub fn is_same_spec(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(a), Self::Secret(b)) => a.is_same_spec(b),
            (Self::Certificate(a), Self::Certificate(b)) => a.is_same_spec(b),
            (Self::Registry(a), Self::Registry(b)) => a.is_same_spec(b),
            _ => self == other,
        }
    }

    /// Makes it ready to be stored as a new revision: what hides something gets a new salt.
    #[must_use]
    pub fn for_new_revision(self) -> Self {
        match self {
            Self::Secret(secret) => Self::Secret(secret.salted()),
            Self::Certificate(certificate) => Self::Certificate(certificate.salted()),
            Self::Registry(registry) => Self::Registry(registry.salted()),
            Self::Namespace(_) | Self::Node(_) | Self::Application(_) | Self::Configuration(_) => {
                self
            }
        }
    }

    /// Returns what people read; without values of secrets, private keys and passwords.
    pub fn into_view(self) -> Message {
        match self {
            Self::Namespace(one) => Message::Namespace(one.into_message()),
            Self::Node(one) => Message::Node(one.into_message()),
            Self::Application(one) => Message::Application(one.into_message()),
            Self::Configuration(one) => Message::Configuration(one.into_message()),
            Self::Secret(one) => Message::Secret(one.view()),
            Self::Certificate(one) => Message::Certificate(one.view()),
            Self::Registry(one) => Message::Registry(one.view()),
        }
    }

    /// As [`Self::into_view`], with the values of a secret; keys of certificates and passwords of
    /// registries are for nobody.
    pub fn into_view_with_values(self) -> Message {
        match self {
            Self::Secret(one) => Message::Secret(one.view_with_values()),
            other => other.into_view(),
        }
    }

    /// Returns what can be written again to get the same spec, with all that is hidden.
    pub fn into_input(self) -> Message {
        match self {
            Self::Secret(one) => Message::Secret(one.view_with_values()),
            Self::Certificate(one) => Message::Certificate(one.into_message()),
            Self::Registry(one) => Message::Registry(one.into_message()),
            other => other.into_view(),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
