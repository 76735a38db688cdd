//! The loop that follows the store: reads new events, keeps the views in step, writes documents.

use std::collections::BTreeSet;
use std::time::Duration;

use baetyl_model::{Kind, Name, NamespaceName, Revision};
use baetyl_service_kit::fault;
use baetyl_service_kit::shutdown::Shutdown;
use baetyl_service_kit::telemetry::propagation;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::view::{Change, View};
use super::{Matching, Tenant};
use crate::records::PAGE;
use crate::store::{Change as EventKind, Commit, Event, Key, Store, StoreError, Stored, Write};

/// Pause after the store failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Revisions that are kept although nothing references them.
const REVISIONS_KEPT: u64 = 20;

/// The kinds that matching looks at.
const KINDS: [Kind; 6] = [
    Kind::Node,
    Kind::Application,
    Kind::Configuration,
    Kind::Secret,
    Kind::Certificate,
    Kind::Registry,
];

impl Matching {
    /// Follows the store until draining begins. `caught_up` is told when every namespace was
    /// looked at once.
    pub async fn run(&self, shutdown: Shutdown, caught_up: oneshot::Sender<()>) {
        let mut commits = self.store.commits();
        let mut caught_up = Some(caught_up);
        loop {
            // Marked as seen before it is looked at: what is committed meanwhile wakes us again.
            commits.borrow_and_update();
            match self.catch_up().await {
                Ok(()) => {
                    if let Some(caught_up) = caught_up.take() {
                        // Nobody may be waiting.
                        caught_up.send(()).ok();
                    }
                }
                Err(error) => {
                    tracing::warn!(error = fault::chain(&error), "matching is held up");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => continue,
                        () = shutdown.draining() => return,
                    }
                }
            }
            // Both arms are cancel safe.
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                () = shutdown.draining() => return,
            }
        }
    }

    /// Looks at everything that was committed so far.
    ///
    /// # Errors
    /// The store fails; what was not looked at is looked at by the next call.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let present = self.namespaces().await?;
        self.tenants
            .write()
            .retain(|name, _| present.contains(name));
        for namespace in present {
            let cursor = self
                .tenants
                .read()
                .get(&namespace)
                .map(|tenant| tenant.cursor);
            let followed = match cursor {
                None => self.load(&namespace).await,
                Some(cursor) => self.follow(&namespace, cursor).await,
            };
            match followed {
                Ok(()) => {}
                // Too far behind: read everything again.
                Err(StoreError::Compacted { .. }) => self.load(&namespace).await?,
                Err(error) => return Err(error),
            }
            self.work_off(&namespace).await?;
        }
        self.rounds.send_modify(|round| *round += 1);
        Ok(())
    }

    async fn namespaces(&self) -> Result<BTreeSet<NamespaceName>, StoreError> {
        let mut found = BTreeSet::new();
        let mut after: Option<NamespaceName> = None;
        loop {
            let page = self.store.namespaces(after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|stored| stored.key.namespace.clone());
            found.extend(page.into_iter().map(|stored| stored.key.namespace));
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Reads a whole namespace.
    async fn load(&self, namespace: &NamespaceName) -> Result<(), StoreError> {
        // Read first: an event in between is looked at once more, which changes nothing.
        let cursor = self.store.sequence(namespace).await?;
        let mut view = View::default();
        for kind in KINDS {
            for stored in list(&*self.store, namespace, kind).await? {
                if let Some(change) = read(&stored) {
                    view.apply(change);
                }
            }
        }
        let pending = view.nodes().map(|node| node.name.clone()).collect();
        let live = view.nodes().map(|node| node.uid.clone()).collect();
        let tenant = Tenant {
            cursor,
            view,
            pending,
            ..Tenant::default()
        };
        self.retire_lost(namespace, &live).await?;
        self.tenants.write().insert(namespace.clone(), tenant);
        Ok(())
    }

    /// Looks at the events since `cursor`.
    async fn follow(&self, namespace: &NamespaceName, cursor: u64) -> Result<(), StoreError> {
        // The cursor moves with each page, so that an error later loses nothing and repeats little.
        let mut cursor = cursor;
        if self.store.sequence(namespace).await? == cursor {
            return Ok(());
        }
        loop {
            let events = self.store.events(namespace, cursor, PAGE).await?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            cursor = last.sequence;
            let is_last = events.len() < PAGE;
            let keys = self.unknown(namespace, events);
            let mut changes = Vec::with_capacity(keys.len());
            for key in keys.into_iter().filter(|key| KINDS.contains(&key.kind)) {
                let stored = self.store.get(&key).await?;
                self.retire_replaced(&key, stored.as_ref()).await?;
                changes.push((key, stored));
            }
            self.take(namespace, cursor, &changes);
            for stored in changes.iter().filter_map(|(_, stored)| stored.as_ref()) {
                self.drop_old_revisions(stored).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// The resources that are not what the view has.
    fn unknown(&self, namespace: &NamespaceName, events: Vec<Event>) -> BTreeSet<Key> {
        let unknown = self.with_view(namespace, |view, _| {
            let is_news = |event: &Event| {
                event.change == EventKind::Deleted
                    || !view.has(&event.key, &event.uid, event.revision)
            };
            let news = events.into_iter().filter(is_news);
            news.map(|event| event.key).collect()
        });
        unknown.unwrap_or_default()
    }

    /// Brings a view in step, and remembers which nodes must be looked at.
    fn take(&self, namespace: &NamespaceName, cursor: u64, changes: &[(Key, Option<Stored>)]) {
        let mut tenants = self.tenants.write();
        let Some(tenant) = tenants.get_mut(namespace) else {
            return;
        };
        for (key, stored) in changes {
            tenant.causes.arrived(key);
            let change = match stored {
                Some(stored) => read(stored),
                None => Some(Change::Removed(key.kind, key.name.clone())),
            };
            if let Some(change) = change {
                let touched = tenant.view.apply(change);
                tenant.pending.extend(touched);
            }
            if key.kind == Kind::Node && stored.is_none() {
                tenant.placements.remove(&key.name);
                tenant.pending.remove(&key.name);
            }
        }
        tenant.cursor = cursor;
    }

    /// Writes the documents of the nodes that must be looked at.
    async fn work_off(&self, namespace: &NamespaceName) -> Result<(), StoreError> {
        let (pending, cause) = match self.tenants.read().get(namespace) {
            Some(tenant) => {
                let pending: Vec<Name> = tenant.pending.iter().cloned().collect();
                (pending, tenant.causes.waiting())
            }
            None => return Ok(()),
        };
        if !pending.is_empty() {
            let span = tracing::info_span!(
                "match nodes",
                namespace = namespace.as_str(),
                node.count = pending.len(),
            );
            propagation::set_parent_from_traceparent(&span, cause.as_deref().unwrap_or_default());
            let refreshing = self.refresh_all(namespace, &pending);
            refreshing.instrument(span).await?;
        }
        if let Some(tenant) = self.tenants.write().get_mut(namespace) {
            tenant.causes.done();
        }
        Ok(())
    }

    /// Drops revisions that nothing references, beyond the newest ones. Not at each revision:
    /// once for every few.
    async fn drop_old_revisions(&self, newest: &Stored) -> Result<(), StoreError> {
        let number = newest.revision.number();
        if number <= REVISIONS_KEPT || !number.is_multiple_of(REVISIONS_KEPT) {
            return Ok(());
        }
        let key = &newest.key;
        let before = Revision::new(number - REVISIONS_KEPT + 1);
        let old = self.store.revisions(key, before, PAGE).await?;
        let (kind, name) = (key.kind.word(), key.name.as_str());
        let is_pinned = |revision: u64| {
            let pin = (kind.to_owned(), name.to_owned(), revision);
            let pinned = self.with_view(&key.namespace, |_, placements| {
                placements.values().any(|one| one.pins.contains(&pin))
            });
            pinned.unwrap_or(true)
        };
        let dropped: Vec<Revision> = old
            .into_iter()
            .map(|stored| stored.revision)
            .filter(|revision| !is_pinned(revision.number()))
            .collect();
        if dropped.is_empty() {
            return Ok(());
        }
        let commit = Commit {
            preconditions: Vec::new(),
            writes: vec![Write::DropRevisions(key.clone(), dropped)],
        };
        self.store.commit(commit).await
    }
}

/// Reads a stored resource; one that cannot be read is left as it was, and reported.
fn read(stored: &Stored) -> Option<Change> {
    match Change::of(stored) {
        Ok(change) => change,
        Err(error) => {
            let key = stored.key.to_string();
            tracing::error!(
                key,
                error = fault::chain(&error),
                "a resource cannot be read"
            );
            None
        }
    }
}

async fn list(
    store: &dyn Store,
    namespace: &NamespaceName,
    kind: Kind,
) -> Result<Vec<Stored>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<Name> = None;
    loop {
        let page = store.list(namespace, kind, after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|stored| stored.key.name.clone());
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}
