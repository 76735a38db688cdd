//! Tests of the module `logs`.

use std::time::UNIX_EPOCH;

use super::*;
use crate::memory::MemoryDriver;

const BOUND: Duration = Duration::from_secs(180);

struct Case {
    driver: MemoryDriver,
    sender: watch::Sender<Arc<BTreeMap<String, Vec<LogSource>>>>,
    sources: Sources,
}

impl Case {
    fn new() -> Self {
        let (sender, sources) = watch::channel(Arc::default());
        Self {
            driver: MemoryDriver::default(),
            sender,
            sources,
        }
    }

    fn add(&self, id: &str, service: &str) -> InstanceId {
        let id = InstanceId::parse(id).unwrap();
        self.driver.plant(id.clone());
        self.sender.send_modify(|all| {
            let mut next = (**all).clone();
            next.entry("app".into()).or_default().push(LogSource {
                id: id.clone(),
                service: service.into(),
            });
            *all = Arc::new(next);
        });
        id
    }

    fn read(&self, query: LogQuery) -> Lines {
        let query = LogQuery {
            application: "app".into(),
            ..query
        };
        read(Arc::new(self.driver.clone()), self.sources.clone(), query)
    }

    async fn texts(&self, query: LogQuery) -> Vec<String> {
        let lines = self.read(query);
        let texts = lines.map(|line| line.unwrap().text).collect();
        tokio::time::timeout(BOUND, texts).await.unwrap()
    }
}

async fn next(lines: &mut Lines) -> LogLine {
    let line = tokio::time::timeout(BOUND, lines.next()).await.unwrap();
    line.unwrap().unwrap()
}

#[tokio::test]
async fn when_instances_wrote_in_turn_then_their_lines_are_merged_by_time() {
    let case = Case::new();
    let (one, two) = (case.add("one", "a"), case.add("two", "b"));
    for index in 0..3 {
        case.driver.print(&one, &format!("one {index}"));
        case.driver.print(&two, &format!("two {index}"));
    }

    let texts = case.texts(LogQuery::default()).await;
    assert_eq!(
        texts,
        ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]
    );

    let query = LogQuery {
        tail: Some(1),
        service: Some("b".into()),
        ..LogQuery::default()
    };
    assert_eq!(case.texts(query).await, ["two 2"]);
}

#[tokio::test]
async fn when_an_invocation_is_wanted_then_only_its_lines_come_and_the_mark_is_gone() {
    let case = Case::new();
    let id = case.add("one", "a");
    for (invocation, text) in [("0198f2c1-aa", "x"), ("77", "y"), ("0198f2c1-aa", "z")] {
        let line = baetyl_model::runtime_config::mark_invocation(invocation, text);
        case.driver.print(&id, &line);
    }
    case.driver.print(&id, "of nobody");
    let query = LogQuery {
        invocation_id: Some("0198f2c1".into()),
        ..LogQuery::default()
    };

    assert_eq!(case.texts(query.clone()).await, ["x", "z"]);
    let last = LogQuery {
        tail: Some(1),
        ..query
    };
    assert_eq!(case.texts(last).await, ["z"]);
}

#[tokio::test]
async fn when_following_then_new_lines_and_new_instances_come() {
    let case = Case::new();
    let one = case.add("one", "a");
    case.driver.print(&one, "old");
    let mut lines = case.read(LogQuery {
        follow: true,
        ..LogQuery::default()
    });

    assert_eq!(next(&mut lines).await.text, "old");
    case.driver.print(&one, "new");
    assert_eq!(next(&mut lines).await.text, "new");
    let two = case.add("two", "b");
    case.driver.print(&two, "other");
    let line = next(&mut lines).await;

    assert_eq!((line.text.as_str(), line.service.as_str()), ("other", "b"));
    assert_eq!(
        (line.stream.as_str(), line.instance_id.as_str()),
        ("stdout", "two")
    );
    assert!(line.time.unwrap().seconds > 0);
}

#[tokio::test]
async fn when_the_application_is_gone_then_following_ends() {
    let case = Case::new();
    let one = case.add("one", "a");
    let mut lines = case.read(LogQuery {
        follow: true,
        since: Some(UNIX_EPOCH),
        ..LogQuery::default()
    });
    case.driver.print(&one, "last");
    assert_eq!(next(&mut lines).await.text, "last");

    case.sender.send_replace(Arc::default());

    let ended = tokio::time::timeout(BOUND, lines.next()).await.unwrap();
    assert!(ended.is_none());
}
