//! What can go wrong in a store.

use super::Precondition;

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A precondition did not hold; nothing was written. Read again and decide.
    #[error("a precondition of the commit does not hold")]
    Precondition(Box<Precondition>),
    /// Events that were asked for are gone; `oldest` is the first that is left. List again.
    #[error("events before {oldest} were dropped")]
    Compacted {
        /// Sequence of the oldest event that is left.
        oldest: u64,
    },
    /// The disk is full or the file cannot be written; nothing was written. Make room.
    #[error("the store cannot be written")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store is damaged, or was written by a newer program.
    #[error("the store cannot be read: {0}")]
    Corrupt(String),
    /// Anything else from below; try again.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
