//! Tokens that clients keep and never look into: pages and places in a stream of events.

use baetyl_model::Name;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageToken {
    /// Which list: its feed, filter and order.
    pub(super) list: String,
    /// The last name that was looked at.
    pub(super) after: Name,
    /// Where the events stood when the list began.
    pub(super) sequence: u64,
}

/// Where a watch goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResumeToken {
    /// Identity of the store.
    pub(super) store: String,
    /// Which feed.
    pub(super) feed: String,
    /// The last event that was seen.
    pub(super) sequence: u64,
    /// The present state was being sent, and this name was the last of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) listing: Option<Name>,
}

pub(super) fn write(token: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(token).expect("tokens have text keys");
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn read<T: DeserializeOwned>(field: &str, text: &str) -> Result<T, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    serde_json::from_slice(&bytes).map_err(|_| {
        let description = "is not one that this server made";
        Error::field(field, "INVALID_FORMAT", description)
    })
}
