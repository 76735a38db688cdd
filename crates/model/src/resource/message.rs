//! What somebody wrote, or what somebody reads: a resource of any kind, unchecked.

use baetyl_proto::resource::v1 as pb;
use baetyl_shadow::Revision;
use prost::Message as _;

use super::{Metadata, Recorded};
use crate::id::{Kind, Name, NamespaceName, Uid};

/// What somebody wrote, or what somebody reads: a resource of any kind, unchecked.
#[expect(
    clippy::large_enum_variant,
    reason = "applications are what most of them are, and a box would cost more than it saves"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A tenant.
    Namespace(pb::Namespace),
    /// An edge node.
    Node(pb::Node),
    /// An application.
    Application(pb::Application),
    /// A configuration.
    Configuration(pb::Configuration),
    /// A secret.
    Secret(pb::Secret),
    /// A certificate.
    Certificate(pb::Certificate),
    /// Credentials of an image registry.
    Registry(pb::Registry),
}

impl Message {
    /// Makes a resource that has nothing but a name.
    pub fn bare(kind: Kind, namespace: &NamespaceName, name: &Name) -> Self {
        let name = name.to_string();
        let mut message = match kind {
            Kind::Namespace => Self::Namespace(pb::Namespace {
                name,
                ..Default::default()
            }),
            Kind::Node => Self::Node(pb::Node {
                name,
                ..Default::default()
            }),
            Kind::Application => Self::Application(pb::Application {
                name,
                ..Default::default()
            }),
            Kind::Configuration => Self::Configuration(pb::Configuration {
                name,
                ..Default::default()
            }),
            Kind::Secret => Self::Secret(pb::Secret {
                name,
                ..Default::default()
            }),
            Kind::Certificate => Self::Certificate(pb::Certificate {
                name,
                ..Default::default()
            }),
            Kind::Registry => Self::Registry(pb::Registry {
                name,
                ..Default::default()
            }),
        };
        message.set_namespace(namespace);
        message
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

    /// Returns the name as it was written.
    pub fn name(&self) -> &str {
        each!(self, Self, one => Metadata::name(one))
    }

    /// Returns the tenant as it was written; that of a tenant is its own name.
    pub fn namespace(&self) -> &str {
        each!(self, Self, one => Metadata::namespace(one))
    }

    /// Says which tenant it belongs to; does nothing to a tenant.
    pub fn set_namespace(&mut self, namespace: &NamespaceName) {
        if let Some(written) = each!(self, Self, one => Metadata::namespace_mut(one)) {
            namespace.as_str().clone_into(written);
        }
    }

    /// Returns the etag that guards the write; empty for none.
    pub fn etag(&self) -> &str {
        each!(self, Self, one => Metadata::etag(one))
    }

    /// Says how it is recorded: uid, revision, digest, etag, times.
    pub fn set_recorded(&mut self, recorded: &Recorded<'_>) {
        each!(self, Self, one => Metadata::set_recorded(one, recorded));
    }

    /// Says which life and revision it was, where nothing else is left.
    pub fn set_life(&mut self, uid: &Uid, revision: Revision) {
        each!(self, Self, one => Metadata::set_life(one, uid, revision));
    }

    /// Returns how many bytes it takes, encoded.
    pub fn encoded_len(&self) -> usize {
        each!(self, Self, one => one.encoded_len())
    }
}

/// From and to the message of one kind.
macro_rules! convert {
    ($($kind:ident, $into:ident, $what:literal;)*) => {$(
        impl From<pb::$kind> for Message {
            fn from(message: pb::$kind) -> Self {
                Self::$kind(message)
            }
        }

        impl Message {
            #[doc = concat!("Returns ", $what, ", when it is one.")]
            pub fn $into(self) -> Option<pb::$kind> {
                match self {
                    Self::$kind(message) => Some(message),
                    _ => None,
                }
            }
        }
    )*};
}

convert! {
    Namespace, into_namespace, "the tenant";
    Node, into_node, "the node";
    Application, into_application, "the application";
    Configuration, into_configuration, "the configuration";
    Secret, into_secret, "the secret";
    Certificate, into_certificate, "the certificate";
    Registry, into_registry, "the registry";
}
