//! What a document must be before it is stored: names, selectors, quantities, resources. Pure.
//!
//! | module | what |
//! |---|---|
//! | [`id`] | names, uids and kinds that cannot be wrong |
//! | [`label`] | the alphabet of labels |
//! | [`selector`] | label selectors: read, print, match |
//! | [`quantity`] | `500m` and `64Mi` |
//! | [`resource`] | checked resources, their stored bytes, digests and references |
//! | [`diff`](mod@diff) | what differs between two resources, for people |
//! | [`node_identity`] | what a node keeps beside its key |
//! | [`runtime_config`] | what the engine hands to a function runtime |
//! | [`violation`] | everything that is wrong, with path and reason |

pub mod diff;
mod duration;
pub mod id;
pub mod label;
pub mod node_identity;
pub mod quantity;
pub mod resource;
pub mod runtime_config;
pub mod selector;
pub mod violation;

pub use baetyl_shadow::{Digest, Epoch, Fence, Generation, Revision};
pub use diff::{Difference, diff};
pub use id::{IdError, Kind, Name, NamespaceName, ServiceName, Uid};
pub use quantity::{Quantity, QuantityError};
pub use resource::{
    Application, BodyError, Certificate, Configuration, Input, Message, Namespace, Node, Recorded,
    Registry, Resource, Secret, etag,
};
pub use selector::{Selector, SelectorError};
pub use violation::Violation;
