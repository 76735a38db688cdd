//! Time of the cluster, faster than that on the wall, and when something is due next.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Clock {
    speed: u32,
    now: Instant,
    due: Option<Instant>,
}

impl Clock {
    pub(super) fn new(speed: u32) -> Self {
        Self {
            speed: speed.max(1),
            now: Instant::now(),
            due: None,
        }
    }

    /// Begins a round: everything in it happens at one moment.
    pub(super) fn begin(&mut self) {
        self.now = Instant::now();
        self.due = None;
    }

    /// The moment of this round.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// How long a time of the cluster takes on the wall.
    pub(super) fn wall(&self, time: Duration) -> Duration {
        time / self.speed
    }

    /// The moment after a time of the cluster.
    pub(super) fn after(&self, time: Duration) -> Instant {
        self.now + self.wall(time)
    }

    /// How long seconds of the cluster take on the wall.
    pub(super) fn seconds(&self, seconds: i64) -> Duration {
        self.wall(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Whether a moment has come; if not, it is looked again then.
    pub(super) fn is_over(&mut self, at: Instant) -> bool {
        if at <= self.now {
            return true;
        }
        self.wake(at);
        false
    }

    /// Asks for a round at that moment.
    pub(super) fn wake(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When a round is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins a part whose own next moment is of interest; give the answer to [`Self::end_part`].
    pub(super) fn begin_part(&mut self) -> Option<Instant> {
        self.due.take()
    }

    /// Ends a part, and returns when it is due.
    pub(super) fn end_part(&mut self, before: Option<Instant>) -> Option<Instant> {
        let own = self.due;
        if let Some(before) = before {
            self.wake(before);
        }
        own
    }
}
