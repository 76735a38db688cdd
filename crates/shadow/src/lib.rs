//! The laws of desired and reported state. Pure: no input, no output, no clock.
//!
//! | module | what |
//! |---|---|
//! | [`document`] | JSON objects without null members |
//! | [`patch`](mod@patch) | RFC 7396 merge patches: apply, compute, compare |
//! | [`digest`] | SHA-256 over exact stored bytes |
//! | [`fence`] | revision, generation, epoch: never backward |
//! | [`section`] | sets of entries with digests: what changed since the last report |
//! | [`properties`] | flat maps of text to scalars, desired and reported |
//!
//! Two rules follow from the laws and bind every caller:
//!
//! - Queued patches are **never merged** into one: that is not the same as
//!   applying them in turn. Compute the patch again from its two ends.
//! - A document never holds a null member, since a patch cannot say "set to null".

pub mod digest;
pub mod document;
mod error;
pub mod fence;
mod number;
pub mod patch;
pub mod properties;
pub mod section;

pub use self::digest::Digest;
pub use self::document::Document;
pub use self::error::Error;
pub use self::fence::{Admission, Epoch, Fence, Generation, Revision, Stamp, admit};
pub use self::patch::{Patch, diff, missing, patch};
pub use self::properties::{Properties, Property, PropertyKey, PropertySet, Scalar, UnixMillis};
pub use self::section::{Section, SectionDelta, delta};

#[cfg(test)]
mod arbitrary;
