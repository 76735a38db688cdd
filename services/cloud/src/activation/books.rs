//! Finding out who calls: the books of issued, revoked and forgotten certificates.

use baetyl_model::{Name, NamespaceName, Uid};
use baetyl_pki::{CertificateDer, PeerIdentity, Serial};

use super::{
    Activation, ActivationError, Caller, CertificateRecord, DecommissionRecord, Standing,
    certificate_key, decommission_key, enrolment_key, names, node_key,
};
use crate::records;
use crate::store::{Commit, StoreError, Write};

impl Activation {
    /// Finds out who showed a chain that the handshake accepted.
    ///
    /// # Errors
    /// Those of the certificate, [`ActivationError::NodeNotFound`]; the store fails.
    pub async fn resolve(&self, chain: &[CertificateDer<'_>]) -> Result<Caller, ActivationError> {
        let leaf = chain.first().ok_or(ActivationError::CertificateMissing)?;
        let peer = PeerIdentity::from_der(leaf).map_err(|_| ActivationError::CertificateInvalid)?;
        let (namespace, node, uid) = names(&peer)?;
        self.check_books(&peer.serial, &namespace, &uid).await?;
        let standing = self.standing(&namespace, &node, &uid).await?;
        let renew_at = peer.renew_at();
        Ok(Caller {
            serial: peer.serial,
            standing,
            namespace,
            node,
            uid,
            renew_at,
        })
    }

    /// Checks again what [`Activation::resolve`] found: whoever revokes afterwards finds the
    /// caller's session, whoever revoked before is noticed here.
    pub(crate) async fn recheck(&self, caller: &Caller) -> Result<(), ActivationError> {
        self.check_books(&caller.serial, &caller.namespace, &caller.uid)
            .await
    }

    /// Whether a node exists, or was deleted and its device must still be told.
    pub(crate) async fn standing(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        uid: &Uid,
    ) -> Result<Standing, ActivationError> {
        match self.check_live(namespace, node, uid).await {
            Err(ActivationError::NodeNotFound) => {}
            live => return live.map(|()| Standing::Live),
        }
        let key = decommission_key(namespace, uid);
        let record = records::read::<DecommissionRecord>(&*self.store, &key).await?;
        let record = record.ok_or(ActivationError::NodeNotFound)?;
        Ok(Standing::Deleted {
            remove_data: record.value.remove_data,
        })
    }

    /// Forgets a deleted node, whose device has removed everything.
    pub(crate) async fn forget(
        &self,
        namespace: &NamespaceName,
        uid: &Uid,
    ) -> Result<(), StoreError> {
        let writes = vec![
            Write::DeleteRecord(decommission_key(namespace, uid)),
            Write::DeleteRecord(enrolment_key(namespace, uid)),
        ];
        let commit = Commit {
            preconditions: Vec::new(),
            writes,
        };
        self.store.commit(commit).await
    }

    /// Checks a certificate against everything that was issued and revoked.
    pub(super) async fn check_books(
        &self,
        serial: &Serial,
        namespace: &NamespaceName,
        uid: &Uid,
    ) -> Result<(), ActivationError> {
        if self.revocations.contains(serial) {
            return Err(ActivationError::CertificateRevoked);
        }
        let key = certificate_key(namespace, serial);
        let record = records::read::<CertificateRecord>(&*self.store, &key).await?;
        let record = record.ok_or(ActivationError::CertificateUnknown)?.value;
        if record.is_revoked {
            return Err(ActivationError::CertificateRevoked);
        }
        if record.uid != *uid {
            return Err(ActivationError::CertificateInvalid);
        }
        Ok(())
    }

    pub(super) async fn check_live(
        &self,
        namespace: &NamespaceName,
        node: &Name,
        uid: &Uid,
    ) -> Result<(), ActivationError> {
        let stored = self.store.get(&node_key(namespace, node)).await?;
        if stored.is_some_and(|stored| stored.uid == *uid) {
            return Ok(());
        }
        Err(ActivationError::NodeNotFound)
    }
}
