//! Named places where a test can kill the process, to prove that nothing is lost there.
//!
//! With the feature `crash-points`, the variable `BAETYL_CRASH_POINT=name[:count]` makes the
//! process kill itself with SIGKILL the `count`th time (default 1) that it reaches the place; the
//! last line of its standard error is then `killed at crash point name`. Without the feature
//! [`point`] compiles to nothing.

/// The places of the engine.
pub const POINTS: [&str; 6] = [
    "before_persist",
    "after_persist",
    "before_spawn",
    "after_spawn",
    "before_switch",
    "after_switch",
];

/// Marks a place.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn point(_name: &str) {}

/// Marks a place.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| parse(&std::env::var("BAETYL_CRASH_POINT").ok()?));
    let Some((wanted, count)) = wanted else {
        return;
    };
    if wanted == name && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *count {
        let _ = std::io::stderr().write_all(format!("killed at crash point {name}\n").as_bytes());
        // Nothing may run after this, not even a destructor: that is the point.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(any(feature = "crash-points", test))]
fn parse(text: &str) -> Option<(String, u64)> {
    match text.split_once(':') {
        Some((name, count)) => Some((name.to_owned(), count.parse().ok()?)),
        None => Some((text.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests;
