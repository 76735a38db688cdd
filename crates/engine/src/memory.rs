//! Fakes of every seam that pass the same suite as the real ones: for tests of the engine and of
//! whoever hosts it.

mod driver;
mod store;

pub use driver::{MemoryDriver, MemoryInstance, Script};
pub use store::{MemoryBodies, MemoryIssuer, MemoryStore};
