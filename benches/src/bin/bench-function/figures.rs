//! What the slices of all rounds give together.

use std::collections::BTreeMap;
use std::time::Duration;

use baetyl_benches::{Percentiles, Table, stats};

use crate::path::{Cpu, PAYLOADS, Path, Slice};

/// TLS or not, length of the payload, way.
type Key = (bool, usize, Path);

/// The slices of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    slices: BTreeMap<Key, Vec<Slice>>,
}

/// The slices of one path together.
#[derive(Debug)]
struct Figure {
    /// Median over the rounds.
    per_second: f64,
    /// Per call, in microseconds, over all rounds: a slice is short for the kernel's ticks.
    caller: f64,
    proxy: f64,
    server: f64,
    all: f64,
    loaded: Percentiles,
    alone: Percentiles,
}

impl Figures {
    pub(crate) fn add(&mut self, key: Key, slice: Slice) {
        self.slices.entry(key).or_default().push(slice);
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        for payload in PAYLOADS {
            for tls in [true, false] {
                tables.push(self.table(tls, payload));
            }
        }
        tables.push(self.growth());
        tables
    }

    fn table(&self, tls: bool, payload: usize) -> Table {
        let head = [
            "path",
            "calls/s",
            "× direct",
            "µs CPU: caller",
            "proxy",
            "server",
            "all",
            "× direct",
            "µs p50",
            "p99",
            "alone p50",
            "p99",
        ];
        let protection = protection(tls);
        let mut table = Table::new(format!("**{payload} bytes, {protection}**"), head);
        for path in Path::ALL {
            let Some(figure) = self.figure((tls, payload, path)) else {
                continue;
            };
            let reference = self.figure((tls, payload, path.reference()));
            let (speed, cost) = reference.map_or((0.0, 0.0), |reference| {
                (
                    figure.per_second / reference.per_second,
                    figure.all / reference.all,
                )
            });
            let is_direct = path == path.reference();
            let micros = |value: Duration| format!("{:.0}", value.as_secs_f64() * 1e6);
            table.row([
                path.title().to_owned(),
                format!("{:.0}", figure.per_second),
                format!("{speed:.2}"),
                format!("{:.1}", figure.caller),
                if is_direct {
                    "–".to_owned()
                } else {
                    format!("{:.1}", figure.proxy)
                },
                format!("{:.1}", figure.server),
                format!("{:.1}", figure.all),
                format!("{cost:.2}"),
                micros(figure.loaded.median()),
                micros(figure.loaded.at(99.0)),
                micros(figure.alone.median()),
                micros(figure.alone.at(99.0)),
            ]);
        }
        table
    }

    /// What longer payloads cost the proxy.
    fn growth(&self) -> Table {
        let head = [
            "path",
            "128 B",
            "1 KiB",
            "16 KiB",
            "1 KiB ÷ 128 B",
            "16 KiB ÷ 128 B",
        ];
        let mut table = Table::new(
            "**µs CPU of the proxy per call, by length of the payload**",
            head,
        );
        for tls in [true, false] {
            for path in Path::ALL
                .into_iter()
                .filter(|path| *path != path.reference())
            {
                let cost = |payload| self.figure((tls, payload, path)).map(|figure| figure.proxy);
                let [Some(small), Some(middle), Some(large)] = PAYLOADS.map(cost) else {
                    continue;
                };
                table.row([
                    format!("{}, {}", path.title(), protection(tls)),
                    format!("{small:.1}"),
                    format!("{middle:.1}"),
                    format!("{large:.1}"),
                    format!("{:.2}", middle / small),
                    format!("{:.2}", large / small),
                ]);
            }
        }
        table
    }

    fn figure(&self, key: Key) -> Option<Figure> {
        let slices = self.slices.get(&key)?;
        let rates: Vec<f64> = slices
            .iter()
            .map(|slice| slice.loaded.per_second())
            .collect();
        let calls: usize = slices
            .iter()
            .map(|slice| slice.loaded.latencies.len())
            .sum();
        let per_call = |of: fn(&Cpu) -> Duration| {
            let sum: Duration = slices.iter().map(|slice| of(&slice.cpu)).sum();
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of calls are far below 2^52"
            )]
            let calls = calls.max(1) as f64;
            sum.as_secs_f64() * 1e6 / calls
        };
        Some(Figure {
            per_second: stats::median(&rates),
            caller: per_call(|cpu| cpu.caller),
            proxy: per_call(|cpu| cpu.proxy),
            server: per_call(|cpu| cpu.server),
            all: per_call(Cpu::all),
            loaded: slices
                .iter()
                .flat_map(|slice| slice.loaded.latencies.iter().copied())
                .collect(),
            alone: slices
                .iter()
                .flat_map(|slice| slice.alone.latencies.iter().copied())
                .collect(),
        })
    }
}

fn protection(tls: bool) -> &'static str {
    if tls { "TLS" } else { "cleartext" }
}
