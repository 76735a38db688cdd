//! PEM text, in and out.
//!
//! This is the one module that names `rustls_pemfile`; its tests compare it
//! with the reader of `rustls_pki_types`, which can replace it line by line.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the module where PEM is read"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::Error;

/// Columns of base64 in a line, as RFC 7468 wants it.
const LINE: usize = 64;

/// Reads every certificate in a PEM text, in order; other sections are passed over.
///
/// # Errors
/// [`Error::Pem`] when a section is broken or no certificate is there.
pub fn certs(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wanted = "certificate";
    let found: Vec<_> = rustls_pemfile::certs(&mut &*text)
        .collect::<Result<_, _>>()
        .map_err(|_| Error::Pem { wanted })?;
    if found.is_empty() {
        return Err(Error::Pem { wanted });
    }
    Ok(found)
}

/// Reads the first private key in a PEM text; other sections are passed over.
///
/// # Errors
/// [`Error::Pem`] when a section is broken or no private key is there.
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    let wanted = "private key";
    rustls_pemfile::private_key(&mut &*text)
        .ok()
        .flatten()
        .ok_or(Error::Pem { wanted })
}

/// Reads the first signing request in a PEM text and returns its DER bytes.
///
/// # Errors
/// [`Error::Pem`] when a section is broken or no signing request is there.
pub fn signing_request(text: &[u8]) -> Result<Vec<u8>, Error> {
    let wanted = "signing request";
    rustls_pemfile::csr(&mut &*text)
        .ok()
        .flatten()
        .map(|der| der.as_ref().to_vec())
        .ok_or(Error::Pem { wanted })
}

/// Writes certificates as PEM text, in order.
pub fn encode_certs(chain: &[CertificateDer<'_>]) -> String {
    chain
        .iter()
        .map(|certificate| section("CERTIFICATE", certificate).to_string())
        .collect()
}

/// Writes a signing request as PEM text.
pub fn encode_signing_request(der: &[u8]) -> String {
    section("CERTIFICATE REQUEST", der).to_string()
}

/// Writes a PKCS#8 private key as PEM text, which is erased from memory when dropped.
pub fn encode_private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    section("PRIVATE KEY", pkcs8)
}

fn section(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Room for everything: a text that grows leaves copies of a key behind.
    let room = body.len() + body.len() / LINE + 2 * label.len() + 40;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests;
