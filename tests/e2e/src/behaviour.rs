//! What a container does, as a script that a busybox shell runs and the fake cluster understands.

/// Says that the instance is ready; probes of scenarios look at it.
pub const READY: &str = "/tmp/ready";

/// Says that the instance hangs.
pub const HANGS: &str = "/tmp/hangs";

/// Ends in good order when told to: the first process of a container has no other handler.
const TRAP: &str = "trap 'exit 0' TERM";

/// Waits, and ends at once when told to.
const WAIT: &str = "sleep 86400 & wait";

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Serves: ready at once, until it is told to end.
    Serve,
    /// The same, ready after so many seconds.
    ServeSlowly(u32),
    /// Serves an empty page at a port.
    ServeHttp(u16),
    /// Ends at once with a code.
    CrashAtOnce(u8),
    /// Ends with 1 after so many seconds.
    CrashLater(u32),
    /// Runs, and is never ready.
    NeverReady,
    /// Serves, and hangs after so many seconds.
    HangAfter(u32),
    /// Prints a file each second, so that its log tells what it sees.
    PrintFile(&'static str),
    /// Prints the value of each variable once, and serves.
    PrintVariables(&'static [&'static str]),
    /// Says what it finds in a folder that may outlive it: `fresh` or `kept`.
    Keep(&'static str),
    /// Writes so many mebibytes into a file, and serves.
    Fill(&'static str, u32),
    /// Uses up all memory.
    UseUpMemory,
    /// Prints a word and ends with a code: a job.
    RunOnce(&'static str, u8),
    /// Something else.
    Script(String),
}

impl Behaviour {
    /// Returns program and arguments.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        ["sh", "-c", &self.script()].map(str::to_owned).into()
    }

    fn script(&self) -> String {
        match self {
            Self::Serve => format!("{TRAP}; touch {READY}; echo serving; {WAIT}"),
            Self::ServeSlowly(seconds) => {
                format!("{TRAP}; sleep {seconds}; touch {READY}; echo serving; {WAIT}")
            }
            Self::ServeHttp(port) => format!(
                "{TRAP}; mkdir -p /tmp/www; echo ok > /tmp/www/index.html; \
                 httpd -p {port} -h /tmp/www; touch {READY}; echo serving; {WAIT}"
            ),
            Self::CrashAtOnce(code) => format!("echo crashing; exit {code}"),
            Self::CrashLater(seconds) => {
                format!("{TRAP}; touch {READY}; echo serving; sleep {seconds}; exit 1")
            }
            Self::NeverReady => format!("{TRAP}; echo idle; {WAIT}"),
            Self::HangAfter(seconds) => format!(
                "{TRAP}; touch {READY}; echo serving; sleep {seconds}; rm -f {READY}; \
                 touch {HANGS}; {WAIT}"
            ),
            Self::PrintFile(path) => {
                format!("{TRAP}; touch {READY}; while true; do cat {path}; sleep 1; done")
            }
            Self::PrintVariables(names) => {
                let lines: Vec<String> = names
                    .iter()
                    .map(|name| format!("echo \"{name}=${name}\""))
                    .collect();
                format!("{TRAP}; touch {READY}; {}; {WAIT}", lines.join("; "))
            }
            Self::Keep(folder) => format!(
                "{TRAP}; if test -e {folder}/mark; then echo kept; else echo fresh; \
                 touch {folder}/mark; fi; touch {READY}; {WAIT}"
            ),
            Self::Fill(path, mebibytes) => format!(
                "{TRAP}; dd if=/dev/zero of={path} bs=1M count={mebibytes}; touch {READY}; {WAIT}"
            ),
            Self::UseUpMemory => "exec tail /dev/zero".to_owned(),
            Self::RunOnce(word, code) => format!("echo {word}; exit {code}"),
            Self::Script(script) => script.clone(),
        }
    }
}
