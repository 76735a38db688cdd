//! Why a request about the cluster's objects failed, as far as that makes a difference.

use baetyl_service_kit::fault::chain;
use kube::core::Status;

/// Why a list or a watch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A permission is missing.
    Forbidden {
        /// `list` or `watch`, or what else was asked for.
        verb: &'static str,
    },
    /// The server does not know the resource.
    NotServed,
    /// The server no longer has the history: list again.
    Gone,
    /// The server is busy.
    Busy(String),
    /// The server answered something else that was not hoped for.
    Refused(String),
    /// It could not be reached, or did not answer in time.
    Unreachable(String),
}

impl Trouble {
    /// The answer to a request.
    pub(crate) fn answered(status: &Status, verb: &'static str) -> Self {
        let message = match status.message.is_empty() {
            true => format!("the API server answered {}", status.code),
            false => status.message.clone(),
        };
        match status.code {
            403 => Self::Forbidden { verb },
            404 => Self::NotServed,
            410 => Self::Gone,
            429 | 500 | 502 | 503 => Self::Busy(message),
            _ => Self::Refused(message),
        }
    }

    /// A failed request.
    pub(crate) fn of(error: kube::Error, verb: &'static str) -> Self {
        match error {
            kube::Error::Api(status) => Self::answered(&status, verb),
            kube::Error::SerdeError(error) => Self::unreadable(error),
            error => Self::Unreachable(chain(&error)),
        }
    }

    /// No answer in time.
    pub(crate) fn silent(verb: &'static str) -> Self {
        Self::Unreachable(format!("the API server did not answer {verb} in time"))
    }

    /// An answer that is not what was asked for.
    pub(crate) fn unreadable(error: serde_json::Error) -> Self {
        Self::Refused(format!("the answer cannot be read: {error}"))
    }

    /// A request that cannot be written.
    pub(crate) fn request(error: kube::core::request::Error) -> Self {
        Self::Refused(chain(&error))
    }

    /// Whether the same request may work a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Unreachable(_) => true,
            Self::Forbidden { .. } | Self::NotServed | Self::Gone | Self::Refused(_) => false,
        }
    }

    /// What it says about a resource, one sentence for people.
    pub(crate) fn sentence(&self, resource: &str, namespace: Option<&str>) -> String {
        let place = match namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in the cluster".to_owned(),
        };
        match self {
            Self::Forbidden { verb } => format!("no permission to {verb} {resource} {place}"),
            Self::NotServed => format!("the API server does not serve {resource}"),
            Self::Gone => format!("the list of {resource} {place} has expired"),
            Self::Busy(message) | Self::Refused(message) | Self::Unreachable(message) => {
                format!("{resource} {place} cannot be watched: {message}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
