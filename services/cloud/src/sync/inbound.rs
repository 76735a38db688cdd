//! Frames from the edge: what they change, and when it is acknowledged.
//!
//! Frames that are there already are taken together, so that a burst of reports costs one commit.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::SystemTime;

use baetyl_model::{Kind, Name};
use baetyl_proto::resource::v1::ApplicationStatus;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame;
use futures::{FutureExt as _, Stream, StreamExt as _};
use opentelemetry::metrics::Counter;
use prost::Message as _;
use tonic::Status;

use super::end::End;
use super::report::{self, APPLICATIONS, Applied, MACHINES};
use super::session::Session;
use super::state_key;
use crate::activation::Standing;
use crate::matching;
use crate::records;
use crate::store::{Commit, Key, Precondition, StoreError, Write};

/// Frames that are taken together.
const BATCH: usize = 64;

/// What frames change, not committed yet.
#[derive(Debug, Default)]
struct Pending {
    writes: Vec<Write>,
    is_state_changed: bool,
    is_visible: bool,
    applications: BTreeSet<Name>,
    acknowledged: Option<u64>,
    resync: BTreeSet<String>,
}

impl<S> Session<S>
where
    S: Stream<Item = Result<wire::SyncRequest, Status>> + Unpin + Send,
{
    /// Takes a frame and those that are there already.
    pub(super) async fn take(&mut self, frame: wire::SyncRequest) -> Result<(), End> {
        let mut pending = Pending::default();
        let mut next = Some(frame);
        let mut outcome = Ok(());
        let mut count = 0;
        while let Some(frame) = next.take() {
            self.entry.pulse.beat();
            outcome = self.frame(frame, &mut pending).await;
            count += 1;
            if outcome.is_err() || count == BATCH {
                break;
            }
            next = match self.inbound.next().now_or_never() {
                Some(Some(Ok(frame))) => Some(frame),
                Some(Some(Err(_)) | None) => {
                    outcome = Err(End::Closed);
                    None
                }
                None => None,
            };
        }
        // What came before the end of the stream, or before a wrong frame, counts.
        self.settle_pending(pending).await?;
        outcome
    }

    async fn frame(
        &mut self,
        request: wire::SyncRequest,
        pending: &mut Pending,
    ) -> Result<(), End> {
        match request.frame {
            Some(Up::Hello(_)) => Err(End::Protocol("Hello comes once".to_owned())),
            Some(Up::Report(report)) => self.report(&report, pending).await,
            Some(Up::Accepted(accepted)) => {
                let fence = matching::fence(accepted.fence.as_ref());
                if fence > self.state.accepted {
                    self.state.accepted = fence;
                    pending.is_state_changed = true;
                    pending.is_visible = true;
                }
                Ok(())
            }
            Some(Up::Converged(converged)) => {
                let fence = matching::fence(converged.fence.as_ref());
                if fence > self.state.converged {
                    self.state.converged = fence;
                    self.state.converge_time = Some(SystemTime::now());
                    pending.is_state_changed = true;
                    pending.is_visible = true;
                }
                Ok(())
            }
            Some(Up::Heartbeat(heartbeat)) => self.send(Frame::Heartbeat(heartbeat)).await,
            Some(Up::ChannelData(data)) => match self.channels.data(data) {
                Some(close) => self.send(Frame::ChannelClose(close)).await,
                None => Ok(()),
            },
            // Channels carry nothing downward yet: there is nothing to give credit for.
            Some(Up::ChannelCredit(_)) => Ok(()),
            Some(Up::ChannelClose(close)) => match self.channels.closed(close) {
                Some(answer) => self.send(Frame::ChannelClose(answer)).await,
                None => Ok(()),
            },
            Some(Up::Decommissioned(_)) => self.decommissioned().await,
            None => {
                UNKNOWN_FRAMES.add(1, &[]);
                Ok(())
            }
        }
    }

    async fn report(&mut self, report: &wire::Report, pending: &mut Pending) -> Result<(), End> {
        if report.sequence != self.sequence + 1 {
            let problem = format!("report {} came after {}", report.sequence, self.sequence);
            return Err(End::Protocol(problem));
        }
        self.sequence = report.sequence;
        pending.acknowledged = Some(report.sequence);
        if self.caller.standing != Standing::Live {
            return Ok(());
        }
        let applied = self
            .sections
            .apply(report, SystemTime::now())
            .map_err(|error| End::Protocol(error.to_string()))?;
        let Some(applied) = applied else {
            // A section of a later version: acknowledged, so that the edge goes on.
            UNKNOWN_FRAMES.add(1, &[]);
            return Ok(());
        };
        if applied.is_out_of_step {
            pending.resync.insert(report.section.clone());
        }
        if report.section == APPLICATIONS {
            self.find_changed(report, &applied, pending).await?;
        }
        // Statistics come often, and nobody watches a node for them.
        pending.is_visible |= report.section != MACHINES && !applied.changed.is_empty();
        pending.writes.extend(applied.writes);
        Ok(())
    }

    /// Finds the applications whose watchers want to know: those whose state changed, not only
    /// their instances' numbers.
    async fn find_changed(
        &self,
        report: &wire::Report,
        applied: &Applied,
        pending: &mut Pending,
    ) -> Result<(), End> {
        for name in &applied.changed {
            let mut entries = report.entries.iter();
            let new = entries
                .find(|entry| entry.key == *name)
                .map(|entry| entry.value.clone());
            let mut key = report::prefix(&self.caller.namespace, &self.caller.uid, APPLICATIONS);
            key.key.push_str(name);
            let old = self.parts.store.record(&key).await?;
            let old = old.and_then(|old| old.value.get(8..).map(|_| old.value.slice(8..)));
            if essence(old) == essence(new) {
                continue;
            }
            pending.applications.extend(Name::parse(name));
        }
        Ok(())
    }

    async fn decommissioned(&mut self) -> Result<(), End> {
        if self.caller.standing == Standing::Live {
            let problem = "Decommissioned answers Decommission".to_owned();
            return Err(End::Protocol(problem));
        }
        let (namespace, uid) = (&self.caller.namespace, &self.caller.uid);
        self.parts.activation.forget(namespace, uid).await?;
        Err(End::Decommissioned)
    }

    /// Commits, then acknowledges.
    async fn settle_pending(&mut self, mut pending: Pending) -> Result<(), End> {
        if pending.is_state_changed {
            self.state.last_seen = Some(self.entry.pulse.last());
            let key = state_key(&self.caller.namespace, &self.caller.uid);
            pending.writes.push(records::put(key, &self.state));
        }
        if !pending.writes.is_empty() && !self.commit(&mut pending).await? {
            return Ok(());
        }
        if let Some(sequence) = pending.acknowledged {
            self.send(Frame::ReportAck(wire::ReportAck { sequence }))
                .await?;
        }
        if !pending.resync.is_empty() {
            let sections = pending.resync.into_iter().collect();
            let resync = wire::ResyncRequest { sections };
            self.send(Frame::ResyncRequest(resync)).await?;
        }
        Ok(())
    }

    /// Commits; says whether the node still exists.
    async fn commit(&mut self, pending: &mut Pending) -> Result<bool, End> {
        let node = self.caller.key();
        let mut commit = Commit {
            preconditions: vec![Precondition::Exists(node.clone())],
            writes: std::mem::take(&mut pending.writes),
        };
        if pending.is_visible {
            commit.writes.push(Write::Touch(node));
        }
        let without_applications = commit.clone();
        let touched = pending.applications.iter().map(|name| {
            Write::Touch(Key {
                namespace: self.caller.namespace.clone(),
                kind: Kind::Application,
                name: name.clone(),
            })
        });
        commit.writes.extend(touched);
        match self.parts.store.commit(commit).await {
            Ok(()) => return Ok(true),
            Err(StoreError::Precondition(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // An application was deleted meanwhile, or the node was.
        match self.parts.store.commit(without_applications).await {
            Ok(()) => Ok(true),
            Err(StoreError::Precondition(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What watchers of an application look at; `None` when there is no status.
fn essence(bytes: Option<bytes::Bytes>) -> Option<ApplicationStatus> {
    let status = ApplicationStatus::decode(bytes?).ok()?;
    Some(ApplicationStatus {
        instances: Vec::new(),
        transition_time: None,
        ..status
    })
}

static UNKNOWN_FRAMES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
        .u64_counter("sync_unknown_frames_total")
        .with_description("Frames and report sections of nodes that are not known here")
        .build()
});
