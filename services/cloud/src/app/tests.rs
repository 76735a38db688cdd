//! What depends on the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use baetyl_model::{Kind, Message, Name, NamespaceName};
use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::resource::v1 as resource;
use baetyl_service_kit::shutdown::Shutdown;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::watch::{BOOKMARK_AFTER, Happened, Watch, Watcher};
use super::write::Create;
use super::{App, REQUEST_LIFETIME, purge_requests};
use crate::auth::Caller;
use crate::error::Error;
use crate::records;
use crate::seam::{BoxFault, NodeOperations, NodeRef, NothingKnown};
use crate::store::memory::MemoryStore;
use crate::store::{Store as _, Table, Write};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// An application over an empty store, whose clock stands still until it is moved.
struct World {
    store: Arc<MemoryStore>,
    app: Arc<App>,
    seconds: Arc<AtomicU64>,
    caller: Caller,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let seconds = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&seconds);
        let clock = move || NOW + Duration::from_secs(read.load(Ordering::SeqCst));
        let (nodes, impact) = (Arc::new(NoNodes), Arc::new(NothingKnown));
        let app = Arc::new(App::with_clock(
            store.clone(),
            nodes,
            impact,
            Arc::new(clock),
        ));
        let first = app.tokens().ensure_first(NOW).await.unwrap().unwrap();
        let header = format!("Bearer {}", *first.secret.reveal())
            .parse()
            .unwrap();
        let headers = [(http::header::AUTHORIZATION, header)]
            .into_iter()
            .collect();
        let caller = app.tokens().authenticate(&headers, NOW).await.unwrap();
        let world = Self {
            store,
            app,
            seconds,
            caller,
        };
        world.create(Kind::Namespace, "default", "").await.unwrap();
        world
    }

    fn wait(&self, time: Duration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    async fn create(&self, kind: Kind, name: &str, request_id: &str) -> Result<u64, Error> {
        let namespace = NamespaceName::parse("default").unwrap();
        let message = Message::bare(kind, &namespace, &Name::parse(name).unwrap());
        let create = Create {
            namespace: String::new(),
            message: Some(message),
            request_id: request_id.to_owned(),
            validate_only: false,
        };
        let view = self.app.create(&self.caller, kind, create).await?;
        Ok(view.stored.revision.number())
    }

    async fn requests(&self) -> usize {
        let prefix = records::key("default", Table::Request, "");
        self.store.records(&prefix, None, 10).await.unwrap().len()
    }
}

/// Nobody has nodes here.
struct NoNodes;

#[async_trait]
impl NodeOperations for NoNodes {
    async fn create_join_token(
        &self,
        _node: &NodeRef,
        _lifetime: Option<Duration>,
    ) -> Result<pb::CreateJoinTokenResponse, BoxFault> {
        Ok(pb::CreateJoinTokenResponse::default())
    }

    async fn properties(&self, _node: &NodeRef) -> Result<resource::NodeProperties, BoxFault> {
        Ok(resource::NodeProperties::default())
    }

    async fn update_properties(
        &self,
        _node: &NodeRef,
        _patch: prost_types::Struct,
    ) -> Result<resource::NodeProperties, BoxFault> {
        Ok(resource::NodeProperties::default())
    }

    async fn retry_application(&self, _node: &NodeRef, _name: &Name) -> Result<u64, BoxFault> {
        Ok(0)
    }

    async fn revoke(&self, _node: &NodeRef) -> Result<u32, BoxFault> {
        Ok(0)
    }

    async fn stream_logs(
        &self,
        _node: &NodeRef,
        _request: pb::StreamLogsRequest,
    ) -> Result<BoxStream<'static, Result<pb::StreamLogsResponse, BoxFault>>, BoxFault> {
        Ok(futures::stream::empty().boxed())
    }

    async fn delete_writes(
        &self,
        _node: &NodeRef,
        _remove_data: bool,
    ) -> Result<Vec<Write>, BoxFault> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn when_a_request_id_is_an_hour_old_then_it_may_be_used_again() {
    let world = World::new().await;
    world
        .create(Kind::Configuration, "limits", "once")
        .await
        .unwrap();

    world.wait(REQUEST_LIFETIME - Duration::from_secs(1));
    let repeated = world.create(Kind::Configuration, "limits", "once").await;
    world.wait(Duration::from_secs(1));
    let late = world.create(Kind::Configuration, "limits", "once").await;
    let other = world.create(Kind::Configuration, "other", "once").await;

    assert!(matches!(repeated, Ok(1)));
    assert!(matches!(late, Err(Error::AlreadyExists { .. })));
    assert!(matches!(other, Ok(1)));
}

#[tokio::test]
async fn when_requests_are_purged_then_the_old_ones_go() {
    let world = World::new().await;
    world
        .create(Kind::Configuration, "limits", "old")
        .await
        .unwrap();
    world.wait(REQUEST_LIFETIME);
    world
        .create(Kind::Configuration, "other", "new")
        .await
        .unwrap();

    purge_requests(&*world.store, world.app.now())
        .await
        .unwrap();

    assert_eq!(world.requests().await, 1);
    let repeated = world.create(Kind::Configuration, "other", "new").await;
    assert!(matches!(repeated, Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn when_nothing_happens_for_a_minute_then_a_bookmark_moves_the_token_on() {
    let world = World::new().await;
    let watcher = || Watcher {
        caller: world.caller.clone(),
        shutdown: Shutdown::new(),
    };
    let from = |resume_token: String| Watch {
        resume_token,
        ..Watch::default()
    };
    let begun = tokio::time::Instant::now();
    let events = world
        .app
        .watch(watcher(), Kind::Secret, from(String::new()))
        .await
        .unwrap();
    let mut events = Box::pin(events);
    world
        .create(Kind::Configuration, "limits", "")
        .await
        .unwrap();

    let bookmark = events.next().await.unwrap().unwrap();
    let silence = begun.elapsed();
    world.create(Kind::Secret, "keys", "").await.unwrap();
    let token = bookmark.resume_token;
    let resumed = world
        .app
        .watch(watcher(), Kind::Secret, from(token))
        .await
        .unwrap();
    let added = Box::pin(resumed).next().await.unwrap().unwrap();

    assert!(matches!(bookmark.happened, Happened::Bookmark));
    assert!(silence >= BOOKMARK_AFTER, "{silence:?}");
    assert!(matches!(added.happened, Happened::Added(_)));
}
