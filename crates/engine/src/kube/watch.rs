//! Watches of the cluster: every object of this node, in compact form, as levels.
//!
//! Each kind is watched in each allowed namespace, by the owner label, and never in the whole
//! cluster; of kinds whose status is not judged only metadata comes. What a watch tells is turned
//! into [`facts`](super::facts) at once and dropped. An event about one application wakes nobody
//! else, and a burst of them is one change for who looks later.
//!
//! | module | what |
//! |---|---|
//! | `feed` | one watch: list, follow, resume, list again |
//! | `wire`, `kinds` | what is asked for, and the little that is read |
//! | `store`, `sinks` | what is seen, by application |
//! | `pod`, `events`, `health`, `content` | the cluster's words to facts; pure |
//! | `follow` | kinds that only some applications have |
//! | `sight` | which watches are current, and why not |

pub(crate) mod content;
mod events;
pub(crate) mod feed;
mod follow;
mod health;
pub(crate) mod kinds;
pub(crate) mod pod;
mod sight;
mod sinks;
pub(crate) mod store;
pub(crate) mod trouble;
pub(crate) mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::facts::{AppFacts, ClusterFacts, KindName};
use super::machines::{Board, MachineSink};
use super::names::OWNER_LABEL;
use super::settings::KubeSettings;
use super::usage::Sampler;
use crate::handle::Machines;
pub use content::content;
use feed::{Feed, LISTS_AT_ONCE, Look, Shared, Sink};
use follow::{Follower, Wishes};
use kinds::{Kind, View};
use sight::{Need, Sights};
use sinks::{EventSink, ObjectSink, PodSink};
use store::Store;
use trouble::Trouble;

/// After how many retry periods a broken watch counts as blindness: two seconds by default.
const MOMENT: u32 = 2;

/// Everything that this node sees of its cluster. Clones share it.
#[derive(Clone)]
pub struct Watches {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    sights: Arc<Sights>,
    wishes: Arc<Wishes>,
    board: Arc<Board>,
    cluster: watch::Receiver<Arc<ClusterFacts>>,
    ready: watch::Receiver<bool>,
}

impl Watches {
    /// Starts to watch, with tasks of the tracker that go on until the end. Waits for nothing.
    #[must_use]
    pub fn start(
        client: Client,
        settings: Arc<KubeSettings>,
        tracker: &TaskTracker,
        end: CancellationToken,
    ) -> Self {
        let suspicion = watch::Sender::new(0);
        let starter = Starter {
            shared: Shared {
                client,
                retry: settings.retry_period,
                silence: settings.watch_silence,
                lists: Arc::new(Semaphore::new(LISTS_AT_ONCE)),
                suspicion: suspicion.subscribe(),
            },
            selector: format!("{OWNER_LABEL}={}", settings.owner).into(),
            store: Store::new(),
            sights: Sights::new(),
            board: Arc::default(),
            tracker,
            end: &end,
        };
        let allowed = settings.allowed_namespaces.iter().cloned();
        let namespaces: Arc<BTreeSet<String>> = Arc::new(allowed.collect());
        for namespace in namespaces.iter() {
            starter.watch_objects(namespace);
        }
        starter.watch_machines();
        let wishes = Wishes::new();
        starter.follow(&wishes, &namespaces);
        let (cluster, ready) = starter.look_out(&wishes, settings.retry_period * MOMENT);
        for namespace in namespaces.iter() {
            starter.watch_events(namespace, ready.clone());
        }
        starter.sample(settings, suspicion, ready.clone());
        let inner = Inner {
            store: starter.store,
            sights: starter.sights,
            wishes,
            board: starter.board,
            cluster,
            ready,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The facts of an application, and every change; empty ones while nothing of it is seen.
    #[must_use]
    pub fn facts(&self, application: &str) -> watch::Receiver<Arc<AppFacts>> {
        self.inner.store.facts(application)
    }

    /// Every application of which something is there, desired or not.
    #[must_use]
    pub fn applications(&self) -> watch::Receiver<Arc<BTreeSet<String>>> {
        self.inner.store.applications()
    }

    /// How well the cluster can be seen.
    #[must_use]
    pub fn cluster(&self) -> watch::Receiver<Arc<ClusterFacts>> {
        self.inner.cluster.clone()
    }

    /// The machines by name, with usage where it could be sampled; empty where they may not be
    /// listed, which [`ClusterFacts::machines_unavailable`] says.
    #[must_use]
    pub fn machines(&self) -> watch::Receiver<Arc<Machines>> {
        self.inner.board.level()
    }

    /// Says which further kinds an application has: those of its manifests or charts, in whatever
    /// version. Replaces what was said before; each kind is watched once, as long as an
    /// application has it. Until its objects are listed, and while it cannot be watched, the kind
    /// stands in [`AppFacts::unobserved`], from the return of this call on.
    pub fn follow(&self, application: &str, kinds: BTreeSet<KindName>) {
        let Inner {
            store,
            sights,
            wishes,
            ..
        } = &*self.inner;
        wishes.set(application, kinds);
        wishes.tell(application, sights, store);
    }

    /// Waits until everything has been listed once, as far as that is permitted. The kinds that are
    /// followed are not waited for. Cancel safe.
    pub async fn ready(&self) {
        let mut ready = self.inner.ready.clone();
        if ready.wait_for(|is_ready| *is_ready).await.is_err() {
            // The watches have ended, so that this will never be.
            std::future::pending::<()>().await;
        }
    }
}

/// What is needed to start.
struct Starter<'a> {
    shared: Shared,
    selector: Arc<str>,
    store: Arc<Store>,
    sights: Arc<Sights>,
    board: Arc<Board>,
    tracker: &'a TaskTracker,
    end: &'a CancellationToken,
}

impl Starter<'_> {
    fn watch_objects(&self, namespace: &str) {
        let look = |kind: Kind| Look {
            view: kind.view(),
            kind,
            namespace: Some(namespace.to_owned()),
            selector: self.selector.to_string(),
        };
        for kind in kinds::fixed() {
            let look = look(kind);
            let sink = ObjectSink::new(self.store.clone(), &look);
            self.feed(look, sink, Need::Vital);
        }
        let pods = PodSink {
            store: self.store.clone(),
            namespace: namespace.to_owned(),
        };
        self.feed(look(Kind::pod()), pods, Need::Vital);
    }

    /// Events have no labels of ours: all come, and those of others are dropped one by one. What is
    /// ours must be known before.
    fn watch_events(&self, namespace: &str, mut ready: watch::Receiver<bool>) {
        let look = Look {
            kind: Kind::event(),
            namespace: Some(namespace.to_owned()),
            selector: String::new(),
            view: View::Whole,
        };
        let sink = EventSink::new(self.store.clone(), namespace);
        let feed = self.feeding(look, sink, Need::Events);
        self.spawn(async move {
            if ready.wait_for(|is_ready| *is_ready).await.is_ok() {
                feed.await;
            }
        });
    }

    fn watch_machines(&self) {
        let look = Look {
            kind: Kind::machine(),
            namespace: None,
            selector: String::new(),
            view: View::Whole,
        };
        self.feed(look, MachineSink(self.board.clone()), Need::Machines);
    }

    fn feed<S: Sink>(&self, look: Look, sink: S, need: Need) {
        self.spawn(self.feeding(look, sink, need));
    }

    fn feeding<S: Sink>(
        &self,
        look: Look,
        sink: S,
        need: Need,
    ) -> impl Future<Output = ()> + Send + use<S> {
        let sight = self.sights.add(need, look.namespace.as_deref());
        let mut feed = Feed::new(self.shared.clone(), look, sink, sight);
        let mut patience = self.shared.patience();
        async move {
            loop {
                feed.run().await;
                // These kinds are part of every cluster: there must be something wrong with it.
                let sentence = feed.look.sentence(&Trouble::NotServed);
                feed.sight.broken(sentence, false);
                tokio::time::sleep(patience.next_delay(std::time::Instant::now())).await;
            }
        }
    }

    fn follow(&self, wishes: &Arc<Wishes>, namespaces: &Arc<BTreeSet<String>>) {
        let follower = Follower {
            shared: Shared {
                // A kind whose lists hang keeps nobody else from listing.
                lists: Arc::new(Semaphore::new(LISTS_AT_ONCE)),
                ..self.shared.clone()
            },
            store: self.store.clone(),
            sights: self.sights.clone(),
            wishes: wishes.clone(),
            namespaces: namespaces.clone(),
            selector: self.selector.clone(),
        };
        let (tracker, end) = (self.tracker.clone(), self.end.clone());
        self.tracker.spawn(follower.run(tracker, end));
    }

    /// Keeps the words about what can be seen.
    fn look_out(
        &self,
        wishes: &Arc<Wishes>,
        moment: std::time::Duration,
    ) -> (watch::Receiver<Arc<ClusterFacts>>, watch::Receiver<bool>) {
        let (cluster, facts) = watch::channel(Arc::new(ClusterFacts::default()));
        let (ready, is_ready) = watch::channel(false);
        let (store, sights, wishes) = (self.store.clone(), self.sights.clone(), wishes.clone());
        let mut changes = sights.changes();
        self.spawn(async move {
            loop {
                changes.mark_unchanged();
                let (facts, next) = sights.cluster(moment, Instant::now());
                cluster.send_if_modified(|before| {
                    let is_new = **before != facts;
                    *before = Arc::new(facts);
                    is_new
                });
                wishes.tell_all(&sights, &store);
                if sights.is_ready() {
                    ready.send_replace(true);
                }
                let wake = async {
                    match next {
                        Some(next) => sleep_until(next).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = changes.changed() => {}
                    () = wake => {}
                }
            }
        });
        (facts, is_ready)
    }

    fn sample(
        &self,
        settings: Arc<KubeSettings>,
        suspicion: watch::Sender<u64>,
        mut ready: watch::Receiver<bool>,
    ) {
        let sampler = Sampler {
            client: self.shared.client.clone(),
            settings,
            selector: self.selector.clone(),
            store: self.store.clone(),
            board: self.board.clone(),
            suspicion,
        };
        self.spawn(async move {
            if ready.wait_for(|is_ready| *is_ready).await.is_ok() {
                sampler.run().await;
            }
        });
    }

    /// Runs until the end. What is dropped there is a request, never a half-done change.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tracker.spawn(async move {
            end.run_until_cancelled(work).await;
        });
    }
}
