//! Certificate authorities, and what they issue.
//!
//! The cloud has one for nodes and for itself; every edge node has its own for
//! the services on it. An authority signs leaves only (path length 0), with
//! names that its caller gives, and takes nothing but the key from a request.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, ServerName};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::identity::{invalid, parse, uid_uri, uris};
use crate::{
    Error, Fingerprint, KeyPair, Name, PeerIdentity, PublicKey, Roots, Sealer, Serial, SpiffeId,
    Subject, TrustDomain, pem, time,
};

/// Certificates begin this much before they are made: the clocks of two
/// machines are never quite the same.
pub const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// No certificate is made for less than this.
pub const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);

/// What a sealed authority is bound to.
const SEALED_AS: &[u8] = b"certificate authority";

/// When a certificate is made, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The time now; the certificate begins [`BACKDATE`] earlier.
    pub now: SystemTime,
    /// The time from now to its end, at least [`SHORTEST_LIFETIME`]. A leaf
    /// that would outlive its authority ends with it.
    pub lifetime: Duration,
}

impl Validity {
    fn bounds(self) -> Result<(SystemTime, SystemTime), Error> {
        if self.lifetime < SHORTEST_LIFETIME {
            return Err(Error::LifetimeInvalid);
        }
        let begin = self.now.checked_sub(BACKDATE);
        let end = self.now.checked_add(self.lifetime);
        Ok((
            time::truncate(begin.ok_or(Error::LifetimeInvalid)?)?,
            time::truncate(end.ok_or(Error::LifetimeInvalid)?)?,
        ))
    }
}

/// For whom a leaf is made: its names, and what it may be used for.
#[derive(Clone, Debug)]
pub struct Profile {
    subject: Subject,
    uid: Option<Uuid>,
    hosts: Vec<ServerName<'static>>,
    usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Profile {
    /// A node: a client of the cloud, under its name and its uid.
    pub fn node(namespace: Name, node: Name, uid: Uuid) -> Self {
        Self {
            subject: Subject::Node { namespace, node },
            uid: Some(uid),
            hosts: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    /// A service of an application on a node: client and server, as
    /// `localhost`, the loopback addresses and the service's name.
    pub fn workload(namespace: Name, node: Name, application: Name, service: Name) -> Self {
        let mut hosts = loopback();
        // A name such as `a..b` is good in an identity and no name of a host.
        hosts.extend(ServerName::try_from(service.to_string()));
        let subject = Subject::Workload {
            namespace,
            node,
            application,
            service,
        };
        Self::both(subject, hosts)
    }

    /// A part of the platform on a node: client and server, since the parts
    /// call one another; `localhost` and the loopback addresses are added.
    pub fn edge_system(
        namespace: Name,
        node: Name,
        service: Name,
        hosts: Vec<ServerName<'static>>,
    ) -> Self {
        let subject = Subject::EdgeSystem {
            namespace,
            node,
            service,
        };
        Self::both(subject, [loopback(), hosts].concat())
    }

    /// A part of the platform in the cloud: a server under exactly these hosts.
    pub fn cloud_system(service: Name, hosts: Vec<ServerName<'static>>) -> Self {
        Self {
            subject: Subject::CloudSystem { service },
            uid: None,
            hosts,
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }

    fn both(subject: Subject, hosts: Vec<ServerName<'static>>) -> Self {
        Self {
            subject,
            uid: None,
            hosts,
            usages: vec![
                ExtendedKeyUsagePurpose::ClientAuth,
                ExtendedKeyUsagePurpose::ServerAuth,
            ],
        }
    }
}

fn loopback() -> Vec<ServerName<'static>> {
    let localhost = ServerName::try_from("localhost").expect("localhost is a host name");
    vec![
        localhost,
        ServerName::IpAddress(Ipv4Addr::LOCALHOST.into()),
        ServerName::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ]
}

/// A leaf certificate that an authority made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate (DER).
    pub certificate: CertificateDer<'static>,
    /// What it says.
    pub identity: PeerIdentity,
}

/// A certificate authority: its certificate and its key, which never travels.
pub struct Authority {
    certificate: CertificateDer<'static>,
    trust_domain: TrustDomain,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new self-signed authority with a new key.
    ///
    /// `common_name` (1 to 64 bytes) is for people.
    ///
    /// # Errors
    /// [`Error::NameInvalid`], [`Error::LifetimeInvalid`].
    pub fn create(
        common_name: &str,
        trust_domain: &TrustDomain,
        validity: Validity,
    ) -> Result<Self, Error> {
        // 64 is the upper bound of a common name in RFC 5280.
        if common_name.is_empty() || common_name.len() > 64 {
            return Err(Error::name("common name", common_name));
        }
        let (not_before, not_after) = validity.bounds()?;
        let mut params = base_params(common_name, not_before, not_after)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        // A SPIFFE signing certificate names its trust domain, without a path.
        params.subject_alt_names = vec![uri(format!("spiffe://{trust_domain}"))?];
        let key = KeyPair::generate();
        let certificate = params.self_signed(&key).map_err(not_encodable)?;
        Self::from_parts(certificate.into(), key)
    }

    /// Puts an authority together from its certificate and key.
    ///
    /// # Errors
    /// [`Error::CertificateInvalid`] when it is not an authority with a trust
    /// domain; [`Error::KeyMismatch`] when the key is not the certificate's.
    pub fn from_parts(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, Error> {
        let parsed = parse(&certificate)?;
        if !parsed.is_ca() {
            return Err(invalid("it does not belong to an authority"));
        }
        let uris = uris(&parsed)?;
        let [uri] = uris[..] else {
            return Err(invalid("it does not name one trust domain"));
        };
        let trust_domain = uri
            .strip_prefix("spiffe://")
            .ok_or_else(|| invalid("it does not name one trust domain"))?
            .parse()?;
        if PublicKey::from_spki(parsed.public_key().raw)? != *key.public_key() {
            return Err(Error::KeyMismatch);
        }
        let not_after = time::from_asn1(&parsed.validity().not_after);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|_| invalid("it cannot issue certificates"))?;
        Ok(Self {
            trust_domain,
            not_after,
            issuer,
            certificate,
        })
    }

    /// Seals certificate and key into one blob, for a file or a table.
    pub fn to_sealed(&self, sealer: &Sealer) -> Vec<u8> {
        let key = self.issuer.key().to_pem();
        let certificate = pem::encode_certs(std::slice::from_ref(&self.certificate));
        let mut text = Zeroizing::new(String::with_capacity(key.len() + certificate.len()));
        text.push_str(&key);
        text.push_str(&certificate);
        sealer.seal(SEALED_AS, text.as_bytes())
    }

    /// Opens what [`Authority::to_sealed`] sealed.
    ///
    /// # Errors
    /// [`Error::Seal`] when it cannot be opened; those of
    /// [`Authority::from_parts`] when it holds something else.
    pub fn from_sealed(sealer: &Sealer, sealed: &[u8]) -> Result<Self, Error> {
        let text = sealer.open(SEALED_AS, sealed)?;
        let key = KeyPair::from_pem(&text)?;
        let wanted = "certificate";
        let certificate = pem::certs(&text)?.into_iter().next();
        Self::from_parts(certificate.ok_or(Error::Pem { wanted })?, key)
    }

    /// Issues a leaf for a key.
    ///
    /// For a request of somebody else, the key is that of a
    /// [`SigningRequest`](crate::SigningRequest), which proves its possession.
    ///
    /// # Errors
    /// [`Error::LifetimeInvalid`]; [`Error::AuthorityExpired`] when the
    /// authority's own life is over or has less than [`SHORTEST_LIFETIME`] left.
    pub fn issue(
        &self,
        public_key: &PublicKey,
        profile: &Profile,
        validity: Validity,
    ) -> Result<Issued, Error> {
        let (not_before, wanted_end) = validity.bounds()?;
        if validity.now + SHORTEST_LIFETIME > self.not_after {
            return Err(Error::AuthorityExpired);
        }
        let spiffe = SpiffeId {
            trust_domain: self.trust_domain.clone(),
            subject: profile.subject.clone(),
        };
        let common_name = match &profile.subject {
            Subject::Node { node, .. } => node,
            Subject::Workload { service, .. }
            | Subject::EdgeSystem { service, .. }
            | Subject::CloudSystem { service } => service,
        };
        let not_after = wanted_end.min(self.not_after);
        let mut params = base_params(common_name.as_str(), not_before, not_after)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = profile.usages.clone();
        params.subject_alt_names = vec![uri(spiffe.to_string())?];
        if let Some(uid) = profile.uid {
            params.subject_alt_names.push(uri(uid_uri(uid))?);
        }
        for host in &profile.hosts {
            params.subject_alt_names.push(host_name(host)?);
        }
        let certificate: CertificateDer<'static> = params
            .signed_by(public_key, &self.issuer)
            .map_err(not_encodable)?
            .into();
        // What we made is read back, so that nobody is given what nobody accepts.
        let identity = PeerIdentity::from_der(&certificate)?;
        Ok(Issued {
            certificate,
            identity,
        })
    }

    /// Returns the authority's certificate: what others need to trust it.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns a leaf followed by the authority's certificate.
    ///
    /// Servers send both: a device that only knows the fingerprint of the
    /// authority finds it there.
    pub fn chain(&self, issued: &Issued) -> Vec<CertificateDer<'static>> {
        vec![issued.certificate.clone(), self.certificate.clone()]
    }

    /// Returns the fingerprint of the authority's certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Returns the trust domain of every name that the authority signs.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Returns when the authority's own life ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Returns roots that trust this authority only.
    pub fn roots(&self) -> Roots {
        Roots::new([&self.certificate]).expect("the certificate was parsed when it was taken")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("trust_domain", &self.trust_domain)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

fn base_params(
    common_name: &str,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.serial_number = Some(SerialNumber::from_slice(Serial::random().as_bytes()));
    params.not_before = time::to_offset(not_before)?;
    params.not_after = time::to_offset(not_after)?;
    Ok(params)
}

fn uri(text: String) -> Result<SanType, Error> {
    Ia5String::try_from(text)
        .map(SanType::URI)
        .map_err(not_encodable)
}

fn host_name(host: &ServerName<'static>) -> Result<SanType, Error> {
    match host {
        ServerName::DnsName(name) => Ia5String::try_from(name.as_ref())
            .map(SanType::DnsName)
            .map_err(not_encodable),
        ServerName::IpAddress(address) => Ok(SanType::IpAddress((*address).into())),
        other => Err(Error::name("host", &other.to_str())),
    }
}

fn not_encodable(_: rcgen::Error) -> Error {
    invalid("it cannot be encoded")
}

#[cfg(test)]
mod tests;
