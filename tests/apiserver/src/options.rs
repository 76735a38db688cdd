//! What a server is started with.

use std::time::Duration;

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many changes watches can go back. Older ones are answered with 410. Default 8 192.
    pub history: usize,
    /// How many requests the log keeps. Default 65 536.
    pub request_log: usize,
    /// How often a watch that allows bookmarks sends one. Default one minute.
    pub bookmark_period: Duration,
    /// Whether a new kind is served at once; otherwise after
    /// [`Store::establish`](crate::Store::establish). Default true.
    pub establish_crds: bool,
    /// Whether objects whose owners are gone, and the contents of namespaces that are deleted, go
    /// in the same instant. Default true.
    pub collect_garbage: bool,
    /// Whether somebody plays the kubelet: then a running pod that is deleted stays until it is
    /// deleted with a grace of zero. Default false: it goes at once.
    pub kubelet: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: 8192,
            request_log: 65_536,
            bookmark_period: Duration::from_secs(60),
            establish_crds: true,
            collect_garbage: true,
            kubelet: false,
        }
    }
}
