//! A commit that was acknowledged is there after SIGKILL.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use baetyl_cloud::store::{Key, RecordKey, Store, Table};
use baetyl_model::Kind;

use crate::given::{Folder, first, key, next, open_in, put, put_record, record, write};

/// Tells the test program to be the one that is killed, and where its store is.
const FOLDER: &str = "STORE_SUITE_FOLDER";

const TEST: &str = "durability::when_killed_then_every_acknowledged_commit_is_there";

/// How many write at once, so that commits share transactions.
const WRITERS: usize = 4;

fn counter(writer: usize) -> (Key, RecordKey) {
    let text = format!("counter-{writer}");
    (key(Kind::Secret, &text), record(Table::System, &text))
}

/// Counts up in a resource and in a record, and says so when it is acknowledged.
async fn count(store: Arc<dyn Store>, writer: usize) {
    let (key, record) = counter(writer);
    let mut newest = store.get(&key).await.expect("it reads");
    loop {
        let stored = match &newest {
            None => first(&key, "1"),
            Some(newest) => next(newest, newest.revision.number().to_string()),
        };
        let writes = [put(&stored), put_record(&record, stored.body.clone())];
        write(&*store, writes).await.expect("nobody else writes it");
        println!("ack {writer} {}", stored.revision);
        newest = Some(stored);
    }
}

async fn write_until_killed(folder: &Path) {
    let store: Arc<dyn Store> = Arc::new(open_in(folder).await);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(count(Arc::clone(&store), writer));
    }
    writers.join_all().await;
}

fn spawn(folder: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let child = Command::new(program)
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    child.expect("it starts")
}

/// Lets a child write until enough is acknowledged, kills it, and returns what each writer was
/// last told.
fn kill_after(folder: &Path, enough: usize) -> [u64; WRITERS] {
    let mut child = spawn(folder);
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut acknowledged = [0; WRITERS];
    let mut count = 0;
    let mut line = String::new();
    // To the end, for it may have said more before it died.
    while lines.read_line(&mut line).expect("text") > 0 {
        let whole = line.strip_suffix('\n');
        let words = whole.and_then(|line| line.strip_prefix("ack ")?.split_once(' '));
        if let Some((writer, number)) = words {
            let writer: usize = writer.parse().expect("a number");
            acknowledged[writer] = number.parse().expect("a number");
            count += 1;
            if count == enough {
                child.kill().expect("it is still there");
            }
        }
        line.clear();
    }
    let status = child.wait().expect("it has ended");
    assert!(count >= enough, "it ended by itself: {status}");
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_killed_then_every_acknowledged_commit_is_there() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = Folder::new();
    for enough in [1, 40, 97, 150] {
        let acknowledged = kill_after(folder.path(), enough);

        let store = folder.open().await;
        let mut total = 0;
        for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
            let (key, record) = counter(writer);
            let all = store.revisions(&key, None, usize::MAX).await.unwrap();
            let newest = all.first().map_or(0, |newest| newest.revision.number());
            assert!(newest >= acknowledged, "{newest} of {acknowledged}");
            assert_eq!(all.len() as u64, newest);
            let version = store
                .record(&record)
                .await
                .unwrap()
                .map_or(0, |one| one.version);
            assert_eq!(version, newest, "a commit is there whole");
            total += newest;
        }
        let tenant = counter(0).0.namespace;
        assert_eq!(store.sequence(&tenant).await.unwrap(), total);
        let events = store.events(&tenant, 0, usize::MAX).await.unwrap();
        assert_eq!(events.len() as u64, total);
        store.close().await;
    }
}
