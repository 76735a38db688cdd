//! Puts the host together, runs it, and takes it down in order.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use baetyl_model::runtime_config::RuntimeConfig;
use baetyl_process::ShimCommand;
use baetyl_service_kit::serve::Target;
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use baetyl_service_kit::telemetry::{Condition, Readiness};
use futures::FutureExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attach::Attachment;
use crate::error::Error;
use crate::output::{self, LineSink, StandardStreams};
use crate::pool::Pool;
use crate::settings::Settings;
use crate::slot::{self, Slots};
use crate::worker::Starter;

/// How long workers may take to end; those that do not are killed, which takes up to 5 s each.
const WORKERS_BOUND: Duration = Duration::from_secs(10);

/// What a host needs beside its configuration.
pub struct Options {
    /// How the shim mode of this program is called; it starts workers.
    pub shim: ShimCommand,
    /// The host's own environment, of which workers get what the configuration names.
    pub environment: BTreeMap<String, String>,
    /// Takes what user code prints.
    pub output: Box<dyn LineSink>,
}

impl Options {
    /// Those of a process that is a runtime host and nothing else.
    #[must_use]
    pub fn of_this_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            shim: ShimCommand::current_program(),
            environment: std::env::vars_os().filter_map(utf8).collect(),
            output: Box::new(StandardStreams),
        }
    }
}

/// Reads the file behind `--config`. Blocking.
///
/// # Errors
/// [`Error::Io`], [`Error::ConfigUnreadable`].
pub fn load(path: &Path) -> Result<RuntimeConfig, Error> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    RuntimeConfig::from_json(&text).map_err(|source| Error::ConfigUnreadable {
        path: path.to_owned(),
        source,
    })
}

/// Runs a host until `shutdown` drains: then calls in flight get
/// [`RuntimeConfig::stop_grace_ms`] to finish, the rest is cancelled, and workers end. Returns when
/// nothing of it is left.
///
/// While the host is attached and a worker is up, [`RuntimeConfig::ready_file`] exists.
///
/// # Errors
/// [`Error::Config`], [`Error::Address`] and [`Error::RuntimeNotFound`] at once;
/// [`Error::CodeNotLoaded`] when the functions could not be loaded to begin with, which trying
/// again would not change; [`Error::Superseded`]. What may pass (a worker that dies, a function
/// service that is away) is tried again for ever.
pub async fn run(config: RuntimeConfig, options: Options, shutdown: Shutdown) -> Result<(), Error> {
    let settings = Settings::try_new(config, &options.environment)?;
    check_address(&settings.attach_uri())?;
    let interpreter = settings.language.find(settings.search_path())?;
    tracing::info!(
        application = settings.config.application,
        service = settings.config.service,
        revision = settings.config.revision,
        runtime = settings.language.name(),
        interpreter = %interpreter.display(),
        "runtime host starts"
    );

    // Apart from the whole: these tasks end in the order below, or with this future.
    let tasks = Shutdown::new();
    let _aborted_with_this = AbortOnDrop(tasks.clone());
    let (output, writer) = output::channel(options.output);
    let starter = Starter {
        settings: settings.clone(),
        interpreter,
        shim: options.shim,
        output,
        processes: TaskTracker::new(),
        shutdown: tasks.clone(),
    };
    let processes = starter.processes.clone();
    let starter = write_script(starter).await?;
    let workers = usize::try_from(settings.config.workers).expect("at most 64");
    let (pool, receivers) = Pool::new(workers);
    let pool = Arc::new(pool);
    let slots = Arc::new(Slots {
        starter,
        pool: pool.clone(),
        serial: AtomicU64::new(0),
        fatal: watch::Sender::new(None),
        has_loaded: CancellationToken::new(),
        stop: CancellationToken::new(),
    });
    let readiness = Readiness::new();
    let attached = readiness.condition("attached");
    let loaded = readiness.condition("workers");

    tasks.spawn("output writer", OnCancel::Wait, writer.run());
    tasks.spawn(
        "workers level",
        OnCancel::Abort,
        follow(pool.clone(), loaded),
    );
    let ready_file = settings.config.ready_file.clone();
    let keeping = keep_ready_file(readiness, ready_file.clone(), tasks.clone());
    tasks.spawn("ready file", OnCancel::Wait, keeping);
    for (number, jobs) in receivers.into_iter().enumerate() {
        let slot = slot::run(slots.clone(), number, jobs);
        tasks.spawn("worker slot", OnCancel::Wait, slot);
    }
    let attachment = Attachment {
        settings,
        pool,
        attached,
        shutdown: shutdown.clone(),
    };

    let ended = serve(&attachment, &slots).await;
    slots.stop.cancel();
    // The last sender of output; the writer ends with it.
    drop((attachment, slots));
    tasks.drain(WORKERS_BOUND).await;
    processes.close();
    if tokio::time::timeout(WORKERS_BOUND, processes.wait())
        .await
        .is_err()
    {
        tracing::warn!("workers were not reaped in time");
    }
    remove(&ready_file).await;
    tracing::info!("runtime host ended");
    ended
}

/// Drops every task when the host itself is dropped; with the slots go their workers.
struct AbortOnDrop(Shutdown);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Stays attached until the host drains or cannot go on.
async fn serve(attachment: &Attachment, slots: &Slots) -> Result<(), Error> {
    let mut fatal = slots.fatal.subscribe();
    tokio::select! {
        ended = attachment.run() => return ended,
        // The sender is in `slots`. What is waited for must be let go before it is taken out.
        () = fatal.wait_for(Option::is_some).map(drop) => {}
    }
    slots.fatal.send_replace(None).map_or(Ok(()), Err)
}

fn check_address(uri: &str) -> Result<(), Error> {
    // Its form only; which of the two it is follows from the scheme.
    let plain = uri.replacen("https://", "http://", 1);
    Target::plain(&plain)?;
    Ok(())
}

async fn write_script(starter: Starter) -> Result<Starter, Error> {
    let folder = starter.settings.runtime_folder();
    let writing = tokio::task::spawn_blocking(move || {
        let written = starter.write_script();
        written.map(|()| starter)
    });
    let written = writing.await.unwrap_or_else(|error| Err(error.into()));
    written.map_err(Error::io("write", folder))
}

/// Keeps a condition in step with the workers that are up.
fn follow(pool: Arc<Pool>, loaded: Condition) -> impl Future<Output = ()> {
    let mut levels = pool.levels();
    async move {
        // Holds the pool, and so its levels.
        let _pool = pool;
        loop {
            let live = levels.borrow_and_update().live;
            if live > 0 {
                loaded.ready();
            } else {
                loaded.not_ready("no worker is up");
            }
            if levels.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Keeps the file in step with readiness.
async fn keep_ready_file(readiness: Readiness, path: PathBuf, tasks: Shutdown) {
    let mut changes = readiness.subscribe();
    let mut is_there = true;
    loop {
        let is_ready = changes.borrow_and_update().is_ready() && !tasks.is_draining();
        if is_ready != is_there {
            if is_ready {
                if let Err(error) = tokio::fs::write(&path, b"").await {
                    tracing::warn!(error = %error, "ready file was not written");
                }
            } else {
                remove(&path).await;
            }
            is_there = is_ready;
        }
        if tasks.is_draining() {
            return;
        }
        // Both arms are cancel safe. `readiness` lives here, so its changes do not end.
        tokio::select! {
            _ = changes.changed() => {}
            () = tasks.draining() => {}
        }
    }
}

async fn remove(path: &Path) {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(error = %error, "ready file was not removed");
        }
        _ => {}
    }
}
