//! REST over TLS, as a browser or curl speaks it: HTTP/1.1.

use anyhow::{Context as _, Result};
use baetyl_pki::pem;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A gateway, and who asks.
#[derive(Clone, Debug)]
pub struct Rest {
    /// `https://host:port`.
    pub address: String,
    /// Authority of the server, PEM.
    pub ca: String,
    /// Bearer token; none when empty.
    pub token: String,
}

/// What a gateway answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Rest {
    /// Sends one request over a connection of its own.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let host = self.address.trim_start_matches("https://");
        let (name, _) = host.rsplit_once(':').context("host:port")?;
        let stream = TcpStream::connect(host).await?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in pem::certs(self.ca.as_bytes())? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let server = ServerName::try_from(name.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(server, stream)
            .await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", host);
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        let (mut exchange, connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // A server may answer and close; what it answered still counts.
            _ = connection => exchange.await,
        }
    }

    /// GET of a path.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// POST of a body.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.send(Method::POST, path, &[], body).await
    }
}
