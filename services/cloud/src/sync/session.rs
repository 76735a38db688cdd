//! One stream from Hello to Goodbye.

use std::time::{Duration, SystemTime};

use baetyl_model::{Fence, Node};
use baetyl_proto::resource::v1::SyncMode;
use baetyl_proto::sync::v1 as wire;
use baetyl_proto::sync::v1::sync_request::Frame as Up;
use baetyl_proto::sync::v1::sync_response::Frame;
use baetyl_service_kit::fault;
use baetyl_shadow::Stamp;
use futures::{Stream, StreamExt as _};
use tokio::time::Instant;
use tonic::Status;

use super::channel::{Channels, Command};
use super::end::End;
use super::outgoing::Outgoing;
use super::registry::Entry;
use super::report::Sections;
use super::{MAX_FRAME_BYTES, PROTOCOL_VERSION, Parts, StateRecord, state_key};
use crate::activation::{Caller, Standing};
use crate::matching::{self, DesiredRecord, desired_key};
use crate::records::{self, ATTEMPTS};
use crate::store::{Commit, Precondition, StoreError, Write};

/// How long the first frame may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest names that a Hello may carry.
const MAX_TEXT: usize = 128;

/// The most features that a Hello may carry.
const MAX_FEATURES: usize = 256;

/// One stream after its Hello.
pub(super) struct Session<S> {
    pub(super) parts: Parts,
    pub(super) caller: Caller,
    pub(super) inbound: S,
    pub(super) out: Outgoing,
    pub(super) entry: Entry,
    pub(super) channels: Channels,
    pub(super) sections: Sections,
    pub(super) state: StateRecord,
    /// The number of the last report.
    pub(super) sequence: u64,
    /// The document that the edge holds or was sent last.
    sent: Option<Stamp>,
    is_renewal_asked: bool,
}

/// Serves one stream.
pub(super) async fn run<S>(parts: Parts, caller: Caller, mut inbound: S, out: Outgoing)
where
    S: Stream<Item = Result<wire::SyncRequest, Status>> + Unpin + Send,
{
    let hello = match first(&parts, &caller, &mut inbound).await {
        Ok(hello) => hello,
        Err(end) => return say_goodbye(&out, &caller, &end).await,
    };
    let uid = &caller.uid;
    let entry = parts
        .registry
        .enter(uid, &hello.incarnation, Instant::now());
    let sections = Sections::load(&*parts.store, &caller.namespace, uid).await;
    let state = records::read_or_default(&*parts.store, &state_key(&caller.namespace, uid)).await;
    let (sections, state) = match (sections, state) {
        (Ok(sections), Ok(state)) => (sections, state.value),
        (Err(error), _) | (_, Err(error)) => {
            return say_goodbye(&out, &caller, &End::Store(error)).await;
        }
    };
    let mut session = Session {
        parts,
        caller,
        inbound,
        out,
        entry,
        channels: Channels::default(),
        sections,
        state,
        sequence: 0,
        sent: None,
        is_renewal_asked: false,
    };
    let end = match Box::pin(session.open(hello)).await {
        Ok(()) => session.serve().await,
        Err(end) => end,
    };
    session.finish(end).await;
}

async fn first<S>(parts: &Parts, caller: &Caller, inbound: &mut S) -> Result<wire::Hello, End>
where
    S: Stream<Item = Result<wire::SyncRequest, Status>> + Unpin,
{
    let frame = tokio::select! {
        frame = tokio::time::timeout(HELLO_TIMEOUT, inbound.next()) => frame,
        () = parts.shutdown.draining() => return Err(End::Draining),
    };
    let frame = frame.map_err(|_| End::Silent)?;
    let Some(Ok(frame)) = frame else {
        return Err(End::Closed);
    };
    let Some(Up::Hello(hello)) = frame.frame else {
        return Err(End::Protocol("the first frame must be Hello".to_owned()));
    };
    if hello.protocol_version < PROTOCOL_VERSION {
        return Err(End::Version);
    }
    if hello.node_uid != caller.uid.as_str() {
        let problem = "node_uid is not that of the certificate";
        return Err(End::Protocol(problem.to_owned()));
    }
    let texts = [&hello.core_version, &hello.incarnation, &hello.held_digest];
    let is_long = |text: &&String| text.len() > MAX_TEXT;
    if texts.iter().any(is_long)
        || hello.features.len() > MAX_FEATURES
        || hello.features.iter().any(|text| is_long(&text))
    {
        return Err(End::Protocol("a text of Hello is too long".to_owned()));
    }
    Ok(hello)
}

async fn say_goodbye(out: &Outgoing, caller: &Caller, end: &End) {
    match end {
        End::Store(error) => tracing::warn!(
            node.uid = caller.uid.as_str(),
            error = fault::chain(error),
            "a session ended since the store failed"
        ),
        End::Protocol(problem) => tracing::warn!(
            node.uid = caller.uid.as_str(),
            problem = problem.as_str(),
            "a node broke the sync contract"
        ),
        _ => {}
    }
    if let Some(goodbye) = end.goodbye() {
        out.goodbye(goodbye).await;
    }
}

impl<S> Session<S>
where
    S: Stream<Item = Result<wire::SyncRequest, Status>> + Unpin + Send,
{
    async fn open(&mut self, hello: wire::Hello) -> Result<(), End> {
        self.parts.activation.recheck(&self.caller).await?;
        let is_live = self.caller.standing == Standing::Live;
        let missing = if is_live {
            self.settle(&hello).await?;
            self.online(&hello).await?;
            self.sections.missing(&hello.section_digests)
        } else {
            Vec::new()
        };
        tracing::info!(
            namespace = self.caller.namespace.as_str(),
            node.name = self.caller.node.as_str(),
            session.id = self.entry.session.as_str(),
            "node online"
        );
        let options = &self.parts.options;
        let welcome = wire::Welcome {
            protocol_version: PROTOCOL_VERSION,
            session_id: self.entry.session.clone(),
            heartbeat_interval: options.heartbeat_interval.try_into().ok(),
            silence_timeout: options.silence_timeout.try_into().ok(),
            max_frame_bytes: u32::try_from(MAX_FRAME_BYTES).unwrap_or(u32::MAX),
            missing_sections: missing,
        };
        self.send(Frame::Welcome(welcome)).await?;
        if !is_live {
            return self.decommission().await;
        }
        self.ask_for_renewal().await?;
        self.push().await
    }

    /// Brings the fence above what the node shows, when the store is behind it.
    async fn settle(&mut self, hello: &wire::Hello) -> Result<(), End> {
        if !self.is_cloud_owned().await? {
            return Ok(());
        }
        let Caller {
            namespace,
            node,
            uid,
            ..
        } = &self.caller;
        let held = matching::fence(hello.held.as_ref());
        let key = desired_key(namespace, uid);
        for _ in 0..ATTEMPTS {
            let record = DesiredRecord::read(&*self.parts.store, &key).await?;
            if record.document().is_none() {
                if self
                    .parts
                    .matching
                    .refresh(namespace, node)
                    .await?
                    .is_none()
                {
                    // Matching has not seen the node yet, and will wake us when it has.
                    return Ok(());
                }
                continue;
            }
            let digest = record.digest();
            let is_other = held == record.fence()
                && held != Fence::default()
                && hello.held_digest != digest.to_string();
            if held <= record.fence() && !is_other {
                let is_held = held == record.fence();
                let stamp = Stamp {
                    fence: held,
                    digest,
                };
                self.sent = is_held.then_some(stamp);
                if is_held {
                    self.entry.allow(record.bodies());
                }
                return Ok(());
            }
            let Some(raised) = record.fence().overtaking(held) else {
                return Err(End::Protocol("no epoch is left above held".to_owned()));
            };
            let bytes = record
                .under(raised)
                .expect("the document was just looked at");
            let commit = Commit {
                preconditions: vec![Precondition::RecordAt(key.clone(), record.version())],
                writes: vec![Write::PutRecord(key.clone(), bytes)],
            };
            match self.parts.store.commit(commit).await {
                Ok(()) => {
                    tracing::warn!(
                        node.uid = uid.as_str(),
                        held = %held,
                        raised = %raised,
                        "the node is ahead of the store, its epoch was raised"
                    );
                    self.parts.matching.refresh(namespace, node).await?;
                    return Ok(());
                }
                Err(StoreError::Precondition(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let error = std::io::Error::other("the desired document changed all the time");
        Err(StoreError::Unavailable(Box::new(error)).into())
    }

    /// Writes down that the node is online, and what it said of itself.
    async fn online(&mut self, hello: &wire::Hello) -> Result<(), End> {
        let now = SystemTime::now();
        let converged = matching::fence(hello.converged.as_ref());
        if converged != self.state.converged {
            self.state.converge_time = Some(now);
        }
        self.state.accepted = matching::fence(hello.held.as_ref());
        self.state.converged = converged;
        self.state.core_version.clone_from(&hello.core_version);
        self.state.features.clone_from(&hello.features);
        self.state.transition_time = Some(now);
        self.save_state(true).await
    }

    /// Writes the state; `is_visible` tells watchers of the node.
    pub(super) async fn save_state(&mut self, is_visible: bool) -> Result<(), End> {
        self.state.last_seen = Some(self.entry.pulse.last());
        let key = state_key(&self.caller.namespace, &self.caller.uid);
        let node = self.caller.key();
        let mut commit = Commit {
            preconditions: vec![Precondition::Exists(node.clone())],
            writes: vec![records::put(key, &self.state)],
        };
        if is_visible {
            commit.writes.push(Write::Touch(node));
        }
        match self.parts.store.commit(commit).await {
            Ok(()) => Ok(()),
            // The node was deleted; matching wakes the session when it has seen that.
            Err(StoreError::Precondition(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn serve(&mut self) -> End {
        let options = self.parts.options.clone();
        let mut heard = Instant::now();
        let mut flush = tokio::time::interval_at(
            Instant::now() + options.flush_interval,
            options.flush_interval,
        );
        loop {
            // Every arm is cancel safe: frames stay in the stream, commands in their queue, and
            // levels are levels.
            let outcome = tokio::select! {
                frame = self.inbound.next() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(frame)) => self.take(frame).await,
                        Some(Err(_)) | None => Err(End::Closed),
                    }
                }
                _ = self.entry.interrupt.changed() => Err(self.entry.interruption()),
                changed = self.entry.wake.changed() => match changed {
                    Ok(()) => self.push().await,
                    // The registry let go of the session, and has said why before.
                    Err(_) => Err(self.entry.interruption()),
                },
                Some(command) = self.entry.commands.recv() => self.obey(command).await,
                () = self.out.closed() => Err(End::Closed),
                () = tokio::time::sleep_until(heard + options.silence_timeout) => Err(End::Silent),
                () = self.parts.shutdown.draining() => Err(End::Draining),
                _ = flush.tick() => self.keep_up().await,
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Sends the newest document, unless the edge has it.
    async fn push(&mut self) -> Result<(), End> {
        let Caller {
            namespace,
            node,
            uid,
            standing,
            ..
        } = self.caller.clone();
        if standing != Standing::Live {
            return Ok(());
        }
        let traceparent = self.entry.wake.borrow().clone().unwrap_or_default();
        let record =
            DesiredRecord::read(&*self.parts.store, &desired_key(&namespace, &uid)).await?;
        if record.document().is_none() {
            self.caller.standing = self
                .parts
                .activation
                .standing(&namespace, &node, &uid)
                .await?;
            return match self.caller.standing {
                // Not matched yet.
                Standing::Live => Ok(()),
                Standing::Deleted { .. } => self.decommission().await,
            };
        }
        let stamp = Stamp {
            fence: record.fence(),
            digest: record.digest(),
        };
        let is_newer = self.sent.is_none_or(|sent| sent.fence < stamp.fence);
        if !is_newer || !self.is_cloud_owned().await? {
            return Ok(());
        }
        // Before it is sent: the edge asks for bodies as soon as it has read it.
        self.entry.allow(record.bodies());
        let page = wire::Desired {
            fence: Some(matching::wire_fence(stamp.fence)),
            digest: stamp.digest.to_string(),
            traceparent,
            ..wire::Desired::default()
        };
        self.out
            .document(page, record.bytes(), &mut self.entry.interrupt)
            .await?;
        self.sent = Some(stamp);
        Ok(())
    }

    async fn is_cloud_owned(&self) -> Result<bool, End> {
        let Caller {
            namespace, node, ..
        } = &self.caller;
        let known = self.parts.matching.with_view(namespace, |view, _| {
            view.node(node).map(|facts| facts.is_cloud)
        });
        if let Some(is_cloud) = known.flatten() {
            return Ok(is_cloud);
        }
        let stored = self.parts.store.get(&self.caller.key()).await?;
        let node = stored.and_then(|stored| Node::decode(&stored.body).ok());
        Ok(node.is_none_or(|node| node.sync_mode() != SyncMode::Local))
    }

    async fn decommission(&mut self) -> Result<(), End> {
        let Standing::Deleted { remove_data } = self.caller.standing else {
            return Ok(());
        };
        let frame = Frame::Decommission(wire::Decommission { remove_data });
        self.send(frame).await
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        let frame = match command {
            Command::Open(opening) => self.channels.open(opening).map(Frame::ChannelOpen),
            Command::Credit { channel, bytes } => self
                .channels
                .credit(channel, bytes)
                .map(Frame::ChannelCredit),
            Command::Close { channel } => self.channels.close(channel).map(Frame::ChannelClose),
        };
        match frame {
            Some(frame) => self.send(frame).await,
            None => Ok(()),
        }
    }

    /// Now and then: writes the time of the last frame, asks for renewal.
    async fn keep_up(&mut self) -> Result<(), End> {
        if self.caller.standing == Standing::Live {
            self.save_state(false).await?;
        }
        self.ask_for_renewal().await
    }

    async fn ask_for_renewal(&mut self) -> Result<(), End> {
        if self.is_renewal_asked || SystemTime::now() < self.caller.renew_at {
            return Ok(());
        }
        self.is_renewal_asked = true;
        self.send(Frame::RenewCertificate(wire::RenewCertificate {}))
            .await
    }

    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), End> {
        self.out.send(frame, &mut self.entry.interrupt).await
    }

    async fn finish(mut self, end: End) {
        say_goodbye(&self.out, &self.caller, &end).await;
        tracing::info!(
            namespace = self.caller.namespace.as_str(),
            node.name = self.caller.node.as_str(),
            session.id = self.entry.session.as_str(),
            cause = end.word(),
            "session ended"
        );
        // Left before it is written: who reads the event finds the node offline.
        let is_last = self.entry.leave();
        if is_last && self.caller.standing == Standing::Live {
            self.state.transition_time = Some(SystemTime::now());
            if let Err(End::Store(error)) = self.save_state(true).await {
                let error = fault::chain(&error);
                tracing::warn!(error, "the end of a session was not written");
            }
        }
    }
}
