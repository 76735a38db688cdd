//! Revocation: everything that a node was given is good for nothing from then on.

use baetyl_model::{Name, NamespaceName, Uid};

use super::{
    Activation, ActivationError, CertificateRecord, certificate_key, enrolment_key, node_key,
};
use crate::authority::Revoked;
use crate::records::{self, ATTEMPTS};
use crate::store::{Commit, StoreError, Table};

impl Activation {
    /// Revokes every certificate and every open join token of a node; returns its uid and how
    /// many certificates were good until now.
    ///
    /// # Errors
    /// [`ActivationError::NodeNotFound`]; the store fails, or the list cannot be written.
    pub async fn revoke(
        &self,
        namespace: &NamespaceName,
        node: &Name,
    ) -> Result<(Uid, u32), ActivationError> {
        for _ in 0..ATTEMPTS {
            let stored = self.store.get(&node_key(namespace, node)).await?;
            let uid = stored.ok_or(ActivationError::NodeNotFound)?.uid;
            let mut enrolment = self.enrolment(namespace, &uid).await?;
            let key = enrolment_key(namespace, &uid);
            let precondition = records::unchanged(key.clone(), &enrolment);
            enrolment.value.revocations += 1;
            let mut writes = vec![records::put(key, &enrolment.value)];
            let mut revoked = Vec::new();
            for (serial, mut record) in self.certificates(namespace, &uid).await? {
                let key = certificate_key(namespace, &serial);
                record.is_revoked = true;
                writes.push(records::put(key, &record));
                revoked.push(Revoked {
                    serial,
                    uid: uid.clone(),
                    namespace: namespace.clone(),
                    node: node.clone(),
                });
            }
            let count = u32::try_from(revoked.len()).unwrap_or(u32::MAX);
            // The file first: what it names stays refused, whatever happens to the store.
            self.revocations
                .add(revoked)
                .await
                .map_err(ActivationError::Revocation)?;
            let commit = Commit {
                preconditions: vec![precondition],
                writes,
            };
            match self.store.commit(commit).await {
                Ok(()) => return Ok((uid, count)),
                Err(StoreError::Precondition(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ActivationError::Busy)
    }

    /// Certificates of a node that are not revoked.
    async fn certificates(
        &self,
        namespace: &NamespaceName,
        uid: &Uid,
    ) -> Result<Vec<(baetyl_pki::Serial, CertificateRecord)>, ActivationError> {
        let prefix = records::key(namespace.as_str(), Table::Certificate, "");
        let mut found = Vec::new();
        for record in records::all(&*self.store, &prefix).await? {
            let parsed: CertificateRecord = records::parse(Table::Certificate, &record.value)?;
            if parsed.uid != *uid || parsed.is_revoked {
                continue;
            }
            let serial = record.key.parse().map_err(|_| {
                StoreError::Corrupt(format!("{:?} is no serial number", record.key))
            })?;
            found.push((serial, parsed));
        }
        Ok(found)
    }
}
