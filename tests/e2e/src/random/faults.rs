//! What goes wrong by chance between the engine and the API server.

use std::time::Duration;

use anyhow::Result;
use baetyl_apiserver::{ApiServer, Fault, Filter, Outage, When};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::ledger::Ledger;

/// Switches faults on and off.
pub(super) struct Weather<'a> {
    server: &'a ApiServer,
    faults: usize,
    /// Documents until it clears up.
    left: u32,
}

impl<'a> Weather<'a> {
    pub(super) fn new(server: &'a ApiServer) -> Self {
        Self {
            server,
            faults: 0,
            left: 0,
        }
    }

    /// Clears up, or gets worse.
    pub(super) async fn change(&mut self, chance: &mut StdRng, ledger: &Ledger) -> Result<()> {
        if self.left > 0 {
            self.left -= 1;
            if self.left == 0 {
                self.server.faults().clear();
            }
            return Ok(());
        }
        if !chance.random_ratio(1, 4) {
            return Ok(());
        }
        self.left = chance.random_range(1..6);
        self.faults += 1;
        let faults = self.server.faults();
        let writes = || Filter {
            verbs: vec!["create", "patch", "update", "delete"],
            ..of_core()
        };
        let some = |chance: &mut StdRng| When::Chance {
            per_mille: chance.random_range(100..600),
            seed: chance.random(),
        };
        let few = |chance: &mut StdRng| When::Next(chance.random_range(1..6));
        match chance.random_range(0..14) {
            0 => faults.go_away(Outage::Reset),
            1 => faults.cut_connections(),
            2 | 3 => {
                // The ledger reads the same history.
                ledger.caught_up().await?;
                self.server.compact();
                faults.cut_connections();
            }
            4 => drop(faults.add(writes(), some(chance), Fault::Answer(409))),
            5 => drop(faults.add(of_core(), some(chance), Fault::Answer(429))),
            6 => drop(faults.add(of_core(), some(chance), Fault::Answer(500))),
            7 => drop(faults.add(of_core(), some(chance), Fault::Answer(503))),
            8 => {
                let time = Duration::from_millis(chance.random_range(1..60));
                faults.add(of_core(), some(chance), Fault::Slow(time));
            }
            9 => drop(faults.add(writes(), few(chance), Fault::StoredThenAnswer(500))),
            10 => drop(faults.add(writes(), few(chance), Fault::StoredThenCut)),
            11 => drop(faults.add(of_core(), some(chance), Fault::Cut)),
            12 => drop(faults.add(of_core(), When::Always, Fault::WatchStall)),
            _ => {
                let fault = match chance.random_range(0..4) {
                    0 => Fault::WatchBreak,
                    1 => Fault::WatchEnd,
                    2 => Fault::WatchExpire,
                    _ => Fault::WatchRepeat(8),
                };
                faults.add(of_core(), few(chance), fault);
            }
        }
        Ok(())
    }

    /// Clears up for good, and returns how often something went wrong.
    pub(super) fn end(self) -> usize {
        self.server.faults().clear();
        self.faults
    }
}

/// Requests of the engine; the eyes of the test see on.
fn of_core() -> Filter {
    Filter {
        user: Some("core-0".to_owned()),
        ..Filter::default()
    }
}
