//! Who is a node: join tokens, issued certificates, renewal and revocation.
//!
//! A certificate is resolved to a node's *uid* in the table of issued certificates; the name in
//! it is for people. What an issue must not miss (a revocation, a deletion) is guarded by the
//! node's enrolment record, which every revocation raises.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use baetyl_model::{Kind, Name, NamespaceName, Uid};
use baetyl_pki::{
    CertificateDer, JoinToken, PeerIdentity, Profile, PublicKey, Serial, SigningRequest, Subject,
    Usage, Validity,
};

use crate::authority::{Authorities, Revocations};
use crate::records::{self, ATTEMPTS, Versioned};
use crate::store::{Commit, Key, Precondition, Store, StoreError, Write};

mod books;
mod error;
mod record;
mod revoke;
pub(crate) mod service;
#[cfg(test)]
mod tests;

pub use error::ActivationError;
pub(crate) use record::{CertificateRecord, DecommissionRecord, EnrolmentRecord, JoinTokenRecord};
pub(crate) use record::{certificate_key, decommission_key, enrolment_key, join_token_key};
pub use service::ActivationApi;

/// What a node is told about its cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `host:port` of the sync listener, best first.
    pub sync: Vec<String>,
    /// `host:port` of the API listener, best first.
    pub api: Vec<String>,
}

/// A new join token; its text is shown once.
#[derive(Debug)]
pub struct NewJoinToken {
    /// The token.
    pub token: JoinToken,
    /// When it lapses.
    pub expire_time: SystemTime,
}

/// A certificate with what a node needs to use it.
#[derive(Clone, Debug)]
pub struct Activated {
    /// The certificate and that of its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The tenant.
    pub namespace: NamespaceName,
    /// Name of the node.
    pub node: Name,
    /// Uid of the node.
    pub uid: Uid,
    /// When the certificate expires.
    pub expire_time: SystemTime,
}

/// Who calls the sync listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub namespace: NamespaceName,
    /// Name of the node.
    pub node: Name,
    /// Uid of the node.
    pub uid: Uid,
    /// Number of the certificate.
    pub serial: Serial,
    /// Whether the node exists.
    pub standing: Standing,
    /// When the certificate should be renewed.
    pub renew_at: SystemTime,
}

impl Caller {
    /// The node's resource.
    pub(crate) fn key(&self) -> Key {
        node_key(&self.namespace, &self.node)
    }
}

/// Whether a node exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It exists.
    Live,
    /// It was deleted, and its device was not told yet.
    Deleted {
        /// Whether the data folders of its applications go, too.
        remove_data: bool,
    },
}

/// What every part of activation works with.
#[derive(Clone)]
pub struct Activation {
    store: Arc<dyn Store>,
    authorities: Arc<Authorities>,
    revocations: Revocations,
    lifetime: Duration,
}

impl std::fmt::Debug for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Activation")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// The resource of a node.
pub(crate) fn node_key(namespace: &NamespaceName, node: &Name) -> Key {
    Key {
        namespace: namespace.clone(),
        kind: Kind::Node,
        name: node.clone(),
    }
}

impl Activation {
    /// Puts the parts together; `lifetime` is that of a node's certificate.
    pub fn new(
        store: Arc<dyn Store>,
        authorities: Arc<Authorities>,
        revocations: Revocations,
        lifetime: Duration,
    ) -> Self {
        Self {
            store,
            authorities,
            revocations,
            lifetime,
        }
    }

    /// The authorities of the installation.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// Makes a join token for a node.
    ///
    /// # Errors
    /// [`ActivationError::NodeNotFound`]; the store fails.
    pub async fn create_token(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<NewJoinToken, ActivationError> {
        let stored = self.store.get(&node_key(namespace, node)).await?;
        let uid = stored.ok_or(ActivationError::NodeNotFound)?.uid;
        let enrolment = self.enrolment(namespace, &uid).await?;
        let token = JoinToken::generate(self.authorities.servers().fingerprint());
        let expire_time = now + lifetime;
        let record = JoinTokenRecord {
            hash: hex(&token.hash()),
            namespace: namespace.clone(),
            node: node.clone(),
            uid,
            revocations: enrolment.value.revocations,
            expire_time,
            bound: None,
        };
        let key = join_token_key(token.id());
        let commit = Commit {
            preconditions: vec![Precondition::RecordAt(key.clone(), 0)],
            writes: vec![records::put(key, &record)],
        };
        self.store.commit(commit).await?;
        Ok(NewJoinToken { token, expire_time })
    }

    /// Exchanges a join token and a signing request (DER) for a certificate. Repeating it with
    /// the same key gives the same certificate until the token lapses.
    ///
    /// # Errors
    /// Those of the token, [`ActivationError::RequestInvalid`],
    /// [`ActivationError::NodeNotFound`]; the store fails.
    pub async fn activate(
        &self,
        token: &str,
        request: &[u8],
        now: SystemTime,
    ) -> Result<Activated, ActivationError> {
        let token: JoinToken = token.parse().map_err(|_| ActivationError::TokenInvalid)?;
        let request = SigningRequest::parse(request).map_err(ActivationError::RequestInvalid);
        for _ in 0..ATTEMPTS {
            let record = self.check_token(&token, now).await?;
            // The token first: who has none learns nothing about their request.
            let public_key = request.as_ref().map(SigningRequest::public_key);
            let public_key = match public_key {
                Ok(key) => key,
                Err(_) => return Err(request.expect_err("it was just looked at")),
            };
            match self.activate_once(&token, record, public_key, now).await {
                Err(ActivationError::Store(StoreError::Precondition(_))) => {}
                outcome => return outcome,
            }
        }
        Err(ActivationError::Busy)
    }

    async fn check_token(
        &self,
        token: &JoinToken,
        now: SystemTime,
    ) -> Result<Versioned<JoinTokenRecord>, ActivationError> {
        let key = join_token_key(token.id());
        let record = records::read::<JoinTokenRecord>(&*self.store, &key).await?;
        let record = record.ok_or(ActivationError::TokenInvalid)?;
        if !record.value.matches(token) {
            return Err(ActivationError::TokenInvalid);
        }
        if now >= record.value.expire_time {
            return Err(ActivationError::TokenExpired);
        }
        Ok(record)
    }

    async fn activate_once(
        &self,
        token: &JoinToken,
        mut record: Versioned<JoinTokenRecord>,
        public_key: &PublicKey,
        now: SystemTime,
    ) -> Result<Activated, ActivationError> {
        let JoinTokenRecord {
            namespace,
            node,
            uid,
            ..
        } = record.value.clone();
        let enrolment = self.enrolment(&namespace, &uid).await?;
        if enrolment.value.revocations != record.value.revocations {
            // The node was revoked after the token was made.
            return Err(ActivationError::TokenInvalid);
        }
        let fingerprint = public_key.fingerprint().to_string();
        if let Some(bound) = &record.value.bound {
            if bound.key != fingerprint {
                return Err(ActivationError::TokenReused);
            }
            self.check_live(&namespace, &node, &uid).await?;
            let leaf = bound.certificate()?;
            return self.activated(namespace, node, leaf);
        }
        self.check_live(&namespace, &node, &uid).await?;
        let identity = IssueFor {
            namespace: &namespace,
            node: &node,
            uid: &uid,
            enrolment,
        };
        let (leaf, mut commit) = self.issue(identity, public_key, now)?;
        let key = join_token_key(token.id());
        commit
            .preconditions
            .push(records::unchanged(key.clone(), &record));
        record.value.bind(fingerprint, &leaf);
        commit.writes.push(records::put(key, &record.value));
        // The node is no longer uninstalled: watchers want to know.
        commit
            .writes
            .push(Write::Touch(node_key(&namespace, &node)));
        self.store.commit(commit).await?;
        tracing::info!(
            namespace = namespace.as_str(),
            node.name = node.as_str(),
            "node activated"
        );
        self.activated(namespace, node, leaf)
    }

    /// Exchanges a certificate that is still good for another one; `signature` proves possession
    /// of its key over the bytes of the request.
    ///
    /// # Errors
    /// Those of the certificate, [`ActivationError::ProofInvalid`],
    /// [`ActivationError::RequestInvalid`], [`ActivationError::NodeNotFound`]; the store fails.
    pub async fn renew(
        &self,
        certificate: &[u8],
        request: &[u8],
        signature: &[u8],
        now: SystemTime,
    ) -> Result<Activated, ActivationError> {
        let certificate = CertificateDer::from(certificate.to_vec());
        let verified = self
            .authorities
            .nodes()
            .roots()
            .verify(&[certificate], Usage::Client, now);
        let peer = verified.map_err(|error| match error {
            baetyl_pki::Error::Expired => ActivationError::CertificateExpired,
            _ => ActivationError::CertificateInvalid,
        })?;
        peer.public_key
            .check_proof(request, signature)
            .map_err(|_| ActivationError::ProofInvalid)?;
        let request = SigningRequest::parse(request).map_err(ActivationError::RequestInvalid)?;
        let (namespace, node, uid) = names(&peer)?;
        for _ in 0..ATTEMPTS {
            // Read before the books are looked at: a revocation in between is noticed.
            let enrolment = self.enrolment(&namespace, &uid).await?;
            match self.check_books(&peer.serial, &namespace, &uid).await {
                // A restored store does not know what was issued since its backup.
                Ok(()) | Err(ActivationError::CertificateUnknown) => {}
                Err(error) => return Err(error),
            }
            self.check_live(&namespace, &node, &uid).await?;
            let identity = IssueFor {
                namespace: &namespace,
                node: &node,
                uid: &uid,
                enrolment,
            };
            let (leaf, commit) = self.issue(identity, request.public_key(), now)?;
            match self.store.commit(commit).await {
                Ok(()) => return self.activated(namespace, node, leaf),
                Err(StoreError::Precondition(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ActivationError::Busy)
    }

    async fn enrolment(
        &self,
        namespace: &NamespaceName,
        uid: &Uid,
    ) -> Result<Versioned<EnrolmentRecord>, StoreError> {
        records::read_or_default(&*self.store, &enrolment_key(namespace, uid)).await
    }

    /// Signs a certificate, and says what must be committed before it is handed out.
    fn issue(
        &self,
        to: IssueFor<'_>,
        public_key: &PublicKey,
        now: SystemTime,
    ) -> Result<(CertificateDer<'static>, Commit), ActivationError> {
        let signing = ActivationError::Signing;
        let uuid = to
            .uid
            .as_str()
            .parse()
            .map_err(|_| ActivationError::NodeNotFound)?;
        let profile = Profile::node(
            to.namespace.as_str().parse().map_err(signing)?,
            to.node.as_str().parse().map_err(signing)?,
            uuid,
        );
        let validity = Validity {
            now,
            lifetime: self.lifetime,
        };
        let issued = self
            .authorities
            .nodes()
            .issue(public_key, &profile, validity)
            .map_err(signing)?;
        let record = CertificateRecord {
            uid: to.uid.clone(),
            node: to.node.clone(),
            key: public_key.fingerprint().to_string(),
            expire_time: issued.identity.not_after,
            is_revoked: false,
        };
        let mut enrolment = to.enrolment;
        let key = enrolment_key(to.namespace, to.uid);
        let preconditions = vec![records::unchanged(key.clone(), &enrolment)];
        enrolment.value.activate_time.get_or_insert(now);
        enrolment.value.expire_time = Some(issued.identity.not_after);
        let writes = vec![
            records::put(key, &enrolment.value),
            records::put(
                certificate_key(to.namespace, &issued.identity.serial),
                &record,
            ),
        ];
        let commit = Commit {
            preconditions,
            writes,
        };
        Ok((issued.certificate, commit))
    }

    fn activated(
        &self,
        namespace: NamespaceName,
        node: Name,
        leaf: CertificateDer<'static>,
    ) -> Result<Activated, ActivationError> {
        let identity = PeerIdentity::from_der(&leaf).map_err(ActivationError::Signing)?;
        let (_, _, uid) = names(&identity)?;
        Ok(Activated {
            chain: vec![leaf, self.authorities.nodes().certificate().clone()],
            namespace,
            node,
            uid,
            expire_time: identity.not_after,
        })
    }
}

/// For which node a certificate is made, and what was read of its enrolment before.
struct IssueFor<'a> {
    namespace: &'a NamespaceName,
    node: &'a Name,
    uid: &'a Uid,
    enrolment: Versioned<EnrolmentRecord>,
}

/// Reads the names of a node's certificate.
fn names(peer: &PeerIdentity) -> Result<(NamespaceName, Name, Uid), ActivationError> {
    let invalid = |_| ActivationError::CertificateInvalid;
    let Subject::Node { namespace, node } = &peer.spiffe.subject else {
        return Err(ActivationError::CertificateInvalid);
    };
    let uid = peer.uid.ok_or(ActivationError::CertificateInvalid)?;
    Ok((
        NamespaceName::parse(namespace.as_str()).map_err(invalid)?,
        Name::parse(node.as_str()).map_err(invalid)?,
        Uid::parse(&uid.to_string()).map_err(invalid)?,
    ))
}

fn hex(hash: &baetyl_pki::SecretHash) -> String {
    baetyl_pki::Fingerprint::from_bytes(*hash.as_bytes()).to_string()
}
