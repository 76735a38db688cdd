//! A typed client's connection to one server, with the token that it shows.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baetyl_pki::pem;
use baetyl_service_kit::serve::{ConnectOptions, Target, connect};
use baetyl_service_kit::tls::Roots;
use serde_json::Value;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection, and who asks.
#[derive(Clone, Debug)]
pub struct Wire {
    channel: Channel,
    bearer: MetadataValue<Ascii>,
}

impl Wire {
    /// Connects to `https://host:port`, whose authority is in PEM.
    ///
    /// # Errors
    /// The server cannot be reached or is another one.
    pub async fn connect(address: &str, authority: &str, token: &str) -> Result<Self> {
        let roots = Roots::try_new(&pem::certs(authority.as_bytes())?)?;
        let target = Target::encrypted(address, None, Target::tls(roots, None))?;
        let channel = connect(&target, &ConnectOptions::default()).await?;
        let bearer = format!("Bearer {}", token.trim()).parse()?;
        Ok(Self { channel, bearer })
    }

    /// Connects to the control plane of a context in a file of the command line.
    ///
    /// # Errors
    /// There is no such context, or the server cannot be reached.
    pub async fn of_context(file: &Path, name: &str) -> Result<Self> {
        let text = std::fs::read_to_string(file)?;
        let contexts: Value = serde_saphyr::from_str(&text)?;
        let context = &contexts["contexts"][name];
        let part = |key: &str| {
            let missing = || format!("no {key} in context {name} of {}", file.display());
            context[key].as_str().with_context(missing)
        };
        Self::connect(part("cloud")?, part("ca")?, part("token")?).await
    }

    /// The connection, for a generated client.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A call that must be answered within 30 s.
    #[must_use]
    pub fn call<T>(&self, message: T) -> Request<T> {
        let mut request = self.stream(message);
        request.set_timeout(DEADLINE);
        request
    }

    /// A call whose answer goes on for as long as it is read.
    #[must_use]
    pub fn stream<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.bearer.clone());
        request
    }
}
