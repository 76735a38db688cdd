//! One worker process: started, loaded, spoken with, ended.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::time::Duration;

use baetyl_process::worker::{WorkerLines, WorkerSpec};
use baetyl_process::{Ending, InstanceId, Program, ShimCommand};
use baetyl_service_kit::shutdown::{OnCancel, Shutdown};
use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::output::{Output, Stream, checked_invocation};
use crate::protocol::{self, Frame, Hello, ProtocolError, WorkerError};
use crate::settings::{RUNTIME_FOLDER, Settings, worker_name};

/// How long an interpreter may take to start and connect; a cold device is slow.
const CONNECT_BOUND: Duration = Duration::from_secs(60);

/// How long importing the user's code may take.
const LOAD_BOUND: Duration = Duration::from_secs(300);

/// How long what a dead worker left in its socket is read.
const REST_BOUND: Duration = Duration::from_secs(1);

/// How long an idle worker may take to end when its socket was closed.
const STOP_BOUND: Duration = Duration::from_secs(1);

/// Why a worker did not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Its process was not started.
    #[error("its process was not started")]
    Process(#[from] baetyl_process::Error),
    /// Its socket could not be made or used.
    #[error("its socket failed")]
    Socket(#[from] io::Error),
    /// It ended before it was ready.
    #[error("it ended before it was ready: {0}")]
    Ended(String),
    /// It took too long.
    #[error("it did not {0} in time")]
    Slow(&'static str),
    /// Workers are to end.
    #[error("workers are to end")]
    Stopped,
    /// It is of another version, or confused.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The user's code could not be loaded.
    #[error("function {} was not loaded: {}: {}", .0.function, .0.r#type, .0.message)]
    Code(WorkerError),
}

/// Everything that starting a worker needs.
pub(crate) struct Starter {
    pub(crate) settings: Settings,
    pub(crate) interpreter: PathBuf,
    pub(crate) shim: ShimCommand,
    pub(crate) output: Output,
    /// Owns the tasks that reap processes.
    pub(crate) processes: TaskTracker,
    pub(crate) shutdown: Shutdown,
}

/// What a worker said.
#[derive(Debug)]
pub(crate) enum Next {
    /// A frame that is not captured output.
    Frame(Frame),
    /// It has gone, or cannot be understood any more; it is to be killed.
    Gone,
}

/// A running worker that has loaded its functions. Dropping it kills its process group.
pub(crate) struct Worker {
    process: baetyl_process::worker::Worker,
    frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    writer: OwnedWriteHalf,
    output: Output,
}

impl Starter {
    /// Writes the worker script. Blocking.
    ///
    /// # Errors
    /// The folder or the script could not be written.
    pub(crate) fn write_script(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = self.settings.runtime_folder();
        let (name, text) = self.settings.language.script();
        // Sockets are in this folder too: nobody else may connect.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        fs::write(folder.join(name), text)
    }

    /// Starts a worker and has it load the functions, unless `stop` comes first.
    ///
    /// # Cancel safety
    /// When dropped, the worker is killed, though a moment later: `stop` leaves nothing behind.
    ///
    /// # Errors
    /// Why it did not come up; nothing of it is left running.
    pub(crate) async fn start(
        &self,
        serial: u64,
        stop: &CancellationToken,
    ) -> Result<Worker, StartError> {
        let socket = Socket::bind(&self.settings, serial)?;
        let id = worker_name(&self.settings.config.instance, serial);
        let spec = WorkerSpec {
            id: InstanceId::parse(&id)?,
            program: self.program(&socket.name),
        };
        // To the end, whatever comes: what is being spawned is known to nobody else.
        let mut process = baetyl_process::worker::spawn(&self.shim, spec, &self.processes).await?;
        self.capture(process.take_stdout(), Stream::Stdout);
        self.capture(process.take_stderr(), Stream::Stderr);
        tokio::select! {
            worker = self.bring_up(process, socket) => worker,
            () = stop.cancelled() => Err(StartError::Stopped),
        }
    }

    async fn bring_up(
        &self,
        process: baetyl_process::worker::Worker,
        socket: Socket,
    ) -> Result<Worker, StartError> {
        let connected = tokio::select! {
            connected = timeout(CONNECT_BOUND, socket.listener.accept()) => connected,
            ending = process.wait() => return Err(StartError::Ended(told(&ending))),
        };
        let (stream, _) = connected.map_err(|_| StartError::Slow("connect"))??;
        drop(socket);
        let (reader, writer) = stream.into_split();
        let mut worker = Worker {
            process,
            frames: FramedRead::new(reader, protocol::codec()),
            writer,
            output: self.output.clone(),
        };
        timeout(LOAD_BOUND, self.load(&mut worker))
            .await
            .map_err(|_| StartError::Slow("load its functions"))??;
        Ok(worker)
    }

    fn program(&self, socket_name: &str) -> Program {
        let settings = &self.settings;
        let (script, _) = settings.language.script();
        let mut program = Program::new(&self.interpreter, &settings.config.working_folder);
        program.args = vec![
            settings
                .runtime_folder()
                .join(script)
                .to_string_lossy()
                .into_owned(),
            // Relative to the working folder: paths of sockets are short, folders may be deep.
            format!("{RUNTIME_FOLDER}/{socket_name}"),
        ];
        program.env = settings.environment.clone();
        program
    }

    /// What is written past the worker script, by child processes and native code, belongs to no
    /// call for certain.
    fn capture(&self, lines: Option<WorkerLines>, stream: Stream) {
        let Some(mut lines) = lines else { return };
        let output = self.output.clone();
        let pump = async move {
            while let Some(Ok(line)) = lines.next().await {
                output.lines(stream, None, &line.text);
            }
        };
        self.shutdown.spawn("worker output", OnCancel::Wait, pump);
    }

    async fn load(&self, worker: &mut Worker) -> Result<(), StartError> {
        let config = &self.settings.config;
        let functions = config
            .functions
            .iter()
            .map(|function| (function.name.as_str(), function.handler.as_str()));
        match worker.next().await {
            Next::Frame(Frame::Hello(hello)) => check(&hello)?,
            _ => return Err(worker.ended().await),
        }
        let frame = protocol::load(&config.code_folder.to_string_lossy(), functions);
        worker.send(frame, Bytes::new()).await?;
        match worker.next().await {
            Next::Frame(Frame::Loaded) => Ok(()),
            Next::Frame(Frame::LoadError(error)) => Err(StartError::Code(error)),
            _ => Err(worker.ended().await),
        }
    }
}

fn check(hello: &Hello) -> Result<(), ProtocolError> {
    if hello.protocol == protocol::VERSION {
        tracing::debug!(version = hello.version, "worker connected");
        return Ok(());
    }
    Err(ProtocolError {
        kind: 0x11,
        problem: "is of another version of the protocol",
    })
}

impl Worker {
    /// Waits for what the worker says next; captured output is passed on meanwhile.
    ///
    /// # Cancel safety
    /// A frame that was not returned is returned by the next call.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            let frame = tokio::select! {
                // What was sent comes before the end that followed.
                biased;
                frame = self.frames.next() => frame,
                _ = self.process.wait() => {
                    // Its last frames may still be on their way. Whatever held its socket was
                    // killed before the end was told, so that the socket ends.
                    timeout(REST_BOUND, self.frames.next()).await.unwrap_or(None)
                }
            };
            let Some(Ok(frame)) = frame else {
                return Next::Gone;
            };
            match protocol::decode(frame.freeze()) {
                Ok(Frame::Log {
                    stream,
                    invocation,
                    lines,
                }) => {
                    let text = String::from_utf8_lossy(&lines);
                    self.output
                        .lines(stream, checked_invocation(&invocation), &text);
                }
                Ok(Frame::Dropped(count)) => self.output.dropped(count),
                Ok(frame) => return Next::Frame(frame),
                Err(error) => {
                    tracing::warn!(error = %error, "worker does not keep to the protocol");
                    return Next::Gone;
                }
            }
        }
    }

    /// Sends a frame, which may end in a payload.
    ///
    /// # Cancel safety
    /// None: part of the frame may be sent. The worker is of no use then.
    ///
    /// # Errors
    /// The worker has gone.
    pub(crate) async fn send(&mut self, frame: Bytes, payload: Bytes) -> io::Result<()> {
        self.writer.write_all_buf(&mut frame.chain(payload)).await
    }

    /// Kills the worker with all its descendants; says how it ended.
    pub(crate) async fn kill(&mut self) -> Ending {
        self.process.kill().await
    }

    /// Ends an idle worker: it goes by itself when its socket closes.
    pub(crate) async fn stop(self) {
        let Self {
            process,
            frames,
            writer,
            ..
        } = self;
        drop((frames, writer));
        if timeout(STOP_BOUND, process.wait()).await.is_err() {
            process.kill().await;
        }
    }

    async fn ended(&mut self) -> StartError {
        StartError::Ended(told(&self.kill().await))
    }
}

/// How a process ended, for people.
pub(crate) fn told(ending: &Ending) -> String {
    match ending {
        Ending::Exited { code } => format!("it exited with code {code}"),
        Ending::Signaled { signal } => format!("it was killed by signal {signal}"),
        Ending::NotStarted { message, .. } => format!("it was not started: {message}"),
    }
}

/// The socket that one worker connects to; its file goes with it.
struct Socket {
    listener: UnixListener,
    name: String,
    path: PathBuf,
}

impl Socket {
    fn bind(settings: &Settings, serial: u64) -> io::Result<Self> {
        let name = format!("{serial:x}.sock");
        let folder = settings.runtime_folder();
        let path = folder.join(&name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The kernel takes 107 bytes of path; through the descriptor any folder will do.
        let opened = fs::File::open(&folder)?;
        let short = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
        Ok(Self {
            listener: UnixListener::bind(short)?,
            name,
            path,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A file that stays does no harm: its name is not used again.
        fs::remove_file(&self.path).ok();
    }
}
