//! The rules for what somebody wrote: those of the model, and those that need to know certificates.

use baetyl_model::resource::MAX_PEM;
use baetyl_model::{Message, Resource, Violation};
use baetyl_pki::{CertificateDer, Details, Error, details, pem};
use baetyl_proto::resource::v1 as pb;

/// Checks what somebody wrote, for a resource that exists as `before` when there is one.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn resource(
    message: Message,
    before: Option<&Resource>,
) -> Result<Resource, Vec<Violation>> {
    let read = match &message {
        Message::Certificate(written) => Some(read(written, before)),
        _ => None,
    };
    let checked = match before {
        None => Resource::try_new(message),
        Some(before) => Resource::revise(message, before),
    };
    match (checked, read) {
        (Ok(Resource::Certificate(certificate)), Some(Ok(details))) => {
            Ok(Resource::Certificate(certificate.with_details(details)))
        }
        (Err(mut violations), Some(Err(more))) => {
            violations.extend(more);
            Err(violations)
        }
        (Ok(_), Some(Err(violations))) => Err(violations),
        (checked, _) => checked,
    }
}

/// Reads the PEM texts of a certificate: what the leaf says of itself. What is not there or too
/// long is the model's to refuse.
fn read(
    written: &pb::Certificate,
    before: Option<&Resource>,
) -> Result<pb::CertificateDetails, Vec<Violation>> {
    let mut violations = Vec::new();
    let chain = certificates("certificatePem", &written.certificate_pem, &mut violations);
    certificates("caPem", &written.ca_pem, &mut violations);
    check_key(written, before, chain.first(), &mut violations);
    if !violations.is_empty() {
        return Err(violations);
    }
    let leaf = chain.first().and_then(|leaf| Details::from_der(leaf).ok());
    Ok(leaf.map(told).unwrap_or_default())
}

fn is_readable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_PEM
}

fn certificates(
    field: &str,
    text: &str,
    violations: &mut Vec<Violation>,
) -> Vec<CertificateDer<'static>> {
    if !is_readable(text) {
        return Vec::new();
    }
    let mut add = |description: String| {
        violations.push(Violation::new(field, "INVALID_FORMAT", description));
    };
    let Ok(found) = pem::certs(text.as_bytes()) else {
        add("must be one or more certificates in PEM".to_owned());
        return Vec::new();
    };
    for (number, certificate) in (1..).zip(&found) {
        if Details::from_der(certificate).is_err() {
            add(format!("certificate {number} cannot be read"));
        }
    }
    found
}

/// Checks the private key: what was written, else the one that is kept.
fn check_key(
    written: &pb::Certificate,
    before: Option<&Resource>,
    leaf: Option<&CertificateDer<'_>>,
    violations: &mut Vec<Violation>,
) {
    let kept = match before {
        Some(Resource::Certificate(before)) => before.message().private_key_pem.as_str(),
        _ => "",
    };
    let is_kept = written.private_key_pem.is_empty();
    let text = match is_kept {
        true => kept,
        false => written.private_key_pem.as_str(),
    };
    if !is_readable(text) {
        return;
    }
    let mut add = |reason: &str, description: &str| {
        violations.push(Violation::new("privateKeyPem", reason, description));
    };
    let Ok(key) = pem::private_key(text.as_bytes()) else {
        add(
            "INVALID_FORMAT",
            "must be a private key in PEM, not encrypted",
        );
        return;
    };
    let Some(leaf) = leaf else {
        return;
    };
    match details::check_key(leaf, &key) {
        Err(Error::KeyMismatch) if is_kept => {
            let description = "must be set: the certificate has another key than before";
            add("REQUIRED", description);
        }
        Err(Error::KeyMismatch) => add("CONFLICT", "belongs to another certificate"),
        Err(Error::KeyUnsupported) => {
            let description = "must be RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519";
            add("INVALID_FORMAT", description);
        }
        // What is wrong with the certificate was said.
        Err(_) | Ok(()) => {}
    }
}

fn told(details: Details) -> pb::CertificateDetails {
    pb::CertificateDetails {
        subject: details.subject,
        issuer: details.issuer,
        serial_number: details.serial_number,
        subject_alternative_names: details.names,
        not_before: Some(details.not_before.into()),
        not_after: Some(details.not_after.into()),
        fingerprint: details.fingerprint.to_string(),
        key_algorithm: details.key_algorithm,
    }
}

#[cfg(test)]
mod tests;
