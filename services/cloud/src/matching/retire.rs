//! What is left of a node that was deleted: its device must be told, the rest goes.

use std::collections::BTreeSet;
use std::time::SystemTime;

use baetyl_model::{Kind, Name, NamespaceName, Uid};

use super::{Matching, of_node};
use crate::activation::{DecommissionRecord, EnrolmentRecord, decommission_key, enrolment_key};
use crate::records::{self, ATTEMPTS};
use crate::store::{Commit, Key, Precondition, StoreError, Stored, Table, Write};

impl Matching {
    /// Retires the node that stood under a key, when another one or none stands there now.
    pub(super) async fn retire_replaced(
        &self,
        key: &Key,
        now: Option<&Stored>,
    ) -> Result<(), StoreError> {
        if key.kind != Kind::Node {
            return Ok(());
        }
        let before = self.with_view(&key.namespace, |view, _| view.node(&key.name).cloned());
        let Some(before) = before.flatten() else {
            return Ok(());
        };
        if now.is_some_and(|now| now.uid == before.uid) {
            return Ok(());
        }
        self.retire(&key.namespace, &key.name, &before.uid).await
    }

    /// Retires every node of a namespace that left something and is not `live`: it was deleted
    /// while nobody followed the events.
    pub(super) async fn retire_lost(
        &self,
        namespace: &NamespaceName,
        live: &BTreeSet<Uid>,
    ) -> Result<(), StoreError> {
        let mut known = BTreeSet::new();
        for table in [Table::Desired, Table::NodeState] {
            let prefix = records::key(namespace.as_str(), table, "");
            for record in records::all(&*self.store, &prefix).await? {
                let uid = record.key.split('/').next().unwrap_or_default();
                known.extend(Uid::parse(uid));
            }
        }
        for uid in known.difference(live) {
            let key = decommission_key(namespace, uid);
            let is_retired = self.store.record(&key).await?.is_some()
                && self
                    .store
                    .record(&of_node(namespace, Table::Desired, uid))
                    .await?
                    .is_none();
            if !is_retired {
                let name = Name::parse("unknown").expect("it is a name");
                self.retire(namespace, &name, uid).await?;
            }
        }
        Ok(())
    }

    /// Removes what is left of a deleted node. When it was activated, its device is told as soon
    /// as it comes; until it answered, its certificate keeps its meaning.
    async fn retire(
        &self,
        namespace: &NamespaceName,
        name: &Name,
        uid: &Uid,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            match self.retire_once(namespace, name, uid).await {
                // Whoever deleted the node wrote its record in the meantime.
                Err(StoreError::Precondition(_)) => {}
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        tracing::info!(
            namespace = namespace.as_str(),
            node.name = name.as_str(),
            node.uid = uid.as_str(),
            "node retired"
        );
        (self.on_desired)(uid);
        Ok(())
    }

    async fn retire_once(
        &self,
        namespace: &NamespaceName,
        name: &Name,
        uid: &Uid,
    ) -> Result<(), StoreError> {
        let enrolment_key = enrolment_key(namespace, uid);
        let enrolment: Option<records::Versioned<EnrolmentRecord>> =
            records::read(&*self.store, &enrolment_key).await?;
        let now = SystemTime::now();
        // A device whose certificate lapsed cannot come to be told.
        let may_come = enrolment.is_some_and(|enrolment| {
            enrolment
                .value
                .expire_time
                .is_some_and(|expire_time| expire_time > now)
        });
        let key = decommission_key(namespace, uid);
        let mut commit = Commit {
            preconditions: Vec::new(),
            writes: vec![
                Write::DeleteRecords(of_node(namespace, Table::Report, uid)),
                Write::DeleteRecord(crate::sync::state_key(namespace, uid)),
                Write::DeleteRecord(of_node(namespace, Table::NodeWish, uid)),
                Write::DeleteRecord(of_node(namespace, Table::Desired, uid)),
            ],
        };
        if !may_come {
            commit.writes.push(Write::DeleteRecord(enrolment_key));
            commit.writes.push(Write::DeleteRecord(key));
        } else if self.store.record(&key).await?.is_none() {
            let record = DecommissionRecord {
                node: name.clone(),
                remove_data: false,
                delete_time: now,
            };
            let guard = Precondition::RecordAt(key.clone(), 0);
            commit.preconditions.push(guard);
            commit.writes.push(records::put(key, &record));
        }
        self.store.commit(commit).await
    }
}
