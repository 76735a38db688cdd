//! What the engine asks of the fake driver.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use baetyl_process::InstanceId;
use baetyl_process::logs::{LogQuery, LogRecord};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::sleep_until;

use super::{Entry, MemoryDriver, MemoryInstance};
use crate::desired::InputKey;
use crate::driver::{
    Driver, DriverError, Found, Kept, Launch, Observation, Preparation, ProbeCall, Refusal,
    Support, text_of,
};
use crate::inputs::Inputs;
use crate::reason;
use crate::spec::{Protocol, Run, Source, Value};

/// The environment of an instance, as the process driver resolves it.
async fn environment(launch: &Launch) -> Result<BTreeMap<String, String>, Refusal> {
    let mut env = BTreeMap::new();
    for variable in &launch.service.env {
        let value = match &variable.value {
            Value::Literal(text) => text.clone(),
            Value::Key(input, key) => value_of(&launch.inputs, input, key).await?,
        };
        env.insert(variable.name.clone(), value);
    }
    Ok(env)
}

async fn value_of(inputs: &Inputs, input: &InputKey, key: &str) -> Result<String, Refusal> {
    let files = inputs.files(input).await?;
    text_of(&files, input, key)
}

#[async_trait]
impl Driver for MemoryDriver {
    fn support(&self) -> Support {
        Support {
            memory_limits: false,
            cpu_limits: false,
        }
    }

    fn is_free(&self, port: u16, _protocol: Protocol) -> bool {
        let mut state = self.shared.state.lock();
        state.expire();
        let mut running = state
            .instances
            .values()
            .filter(|entry| entry.shown.termination.is_none());
        let is_used = running.any(|entry| entry.shown.ports.values().any(|used| *used == port));
        !is_used && !state.taken.contains(&port)
    }

    async fn scan(&self) -> Result<Vec<Found>, DriverError> {
        self.act(|state| {
            if state.is_blind {
                return Err(DriverError::new("find the instances", "told to be blind"));
            }
            let found = |(id, entry): (&InstanceId, &Entry)| Found {
                id: id.clone(),
                observation: entry.observation(),
            };
            Ok(state.instances.iter().map(found).collect())
        })
    }

    async fn prepare(&self, preparation: Preparation) -> Result<(), Refusal> {
        let mut volumes = BTreeMap::new();
        let mut has_data = false;
        for service in &preparation.spec.services {
            match &service.run {
                Run::Program {
                    configuration: Some(input),
                    ..
                }
                | Run::Functions { code: input, .. } => {
                    preparation.inputs.files(input).await?;
                }
                Run::Program {
                    configuration: None,
                    ..
                } => {}
            }
            for mount in &service.mounts {
                match &mount.source {
                    Source::Reloaded(input) | Source::Fixed(input) => {
                        let files = preparation.inputs.files(input).await?;
                        volumes.insert(mount.volume.clone(), files);
                    }
                    Source::Persistent => has_data = true,
                    Source::Host(_) | Source::Empty => {}
                }
            }
        }
        self.act(|state| {
            if has_data {
                let application = preparation.release.application.clone();
                state.persistent.insert(application);
            }
            state.files.insert(preparation.release, volumes);
        });
        Ok(())
    }

    async fn start(&self, launch: Launch) -> Result<Observation, Refusal> {
        let env = environment(&launch).await?;
        let entry = match &launch.service.run {
            Run::Program { entry, .. } => entry.join(" "),
            Run::Functions { runtime, .. } => runtime.clone(),
        };
        self.act(|state| {
            if !state.files.contains_key(&launch.release) {
                let message = "the release was not prepared";
                return Err(Refusal::lasting(reason::START_FAILED, message));
            }
            let script = state.scripts.get(&entry).cloned().unwrap_or_default();
            if let Some(refusal) = script.refusal {
                return Err(refusal);
            }
            state.starts += 1;
            let shown = MemoryInstance {
                id: launch.id.clone(),
                application: launch.release.application.clone(),
                service: launch.service.name.clone(),
                revision: launch.revision,
                pid: 1000 + state.starts,
                env,
                ports: launch.ports,
                termination: None,
            };
            let entry = Entry::new(shown, script);
            let observation = entry.observation();
            state.instances.insert(launch.id, entry);
            Ok(observation)
        })
    }

    async fn observe(&self, id: &InstanceId) -> Observation {
        self.look(id).0
    }

    async fn ended(&self, id: &InstanceId) -> Observation {
        let mut changes = self.shared.changes.subscribe();
        loop {
            let (observation, ends_at) = self.look(id);
            if !matches!(observation, Observation::Running { .. }) {
                return observation;
            }
            let expiry = async {
                match ends_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = expiry => {}
            }
        }
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<Observation, DriverError> {
        let is_stubborn = self.act(|state| {
            let entry = state.instances.get(id)?;
            Some(entry.script.is_stubborn)
        });
        if is_stubborn == Some(true) {
            tokio::time::sleep(grace).await;
        }
        Ok(self.act(|state| match state.instances.get_mut(id) {
            Some(entry) => {
                let signal = if entry.script.is_stubborn { 9 } else { 15 };
                entry.end(128 + signal, signal);
                entry.observation()
            }
            None => Observation::Vanished,
        }))
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), DriverError> {
        self.act(|state| {
            let is_running = state
                .instances
                .get(id)
                .is_some_and(|entry| entry.shown.termination.is_none());
            if is_running {
                return Err(DriverError::new("remove the instance", "it runs"));
            }
            state.instances.remove(id);
            Ok(())
        })
    }

    async fn probe(&self, call: ProbeCall) -> Result<(), String> {
        let state = self.shared.state.lock();
        match state.instances.get(&call.id) {
            Some(entry) if entry.script.is_ready => Ok(()),
            Some(_) => Err("told not to be ready".to_owned()),
            None => Err("the instance is gone".to_owned()),
        }
    }

    async fn tidy(&self, application: &str, keep: Vec<Kept>) -> Result<(), DriverError> {
        self.act(|state| {
            state.files.retain(|key, _| {
                key.application != application || keep.iter().any(|kept| kept.number == key.number)
            });
        });
        Ok(())
    }

    async fn forget(&self, application: &str, remove_data: bool) -> Result<(), DriverError> {
        self.act(|state| {
            state.files.retain(|key, _| key.application != application);
            if remove_data {
                state.persistent.remove(application);
            }
        });
        Ok(())
    }

    async fn forget_all(&self) -> Result<(), DriverError> {
        self.act(|state| {
            state.files.clear();
            state.persistent.clear();
        });
        Ok(())
    }

    fn logs(
        &self,
        id: &InstanceId,
        query: LogQuery,
    ) -> BoxStream<'static, Result<LogRecord, DriverError>> {
        let (driver, id) = (self.clone(), id.clone());
        let changes = self.shared.changes.subscribe();
        let skipped = {
            let state = self.shared.state.lock();
            let count = state.instances.get(&id).map_or(0, |entry| entry.logs.len());
            let tail = query.tail_lines.and_then(|tail| usize::try_from(tail).ok());
            count.saturating_sub(tail.unwrap_or(usize::MAX))
        };
        stream::unfold(
            (driver, id, changes, skipped),
            move |(driver, id, mut changes, next)| {
                let is_following = query.follow;
                async move {
                    loop {
                        let (record, is_over) = {
                            let state = driver.shared.state.lock();
                            let entry = state.instances.get(&id)?;
                            let is_over = entry.shown.termination.is_some() || !is_following;
                            (entry.logs.get(next).cloned(), is_over)
                        };
                        if let Some(record) = record {
                            return Some((Ok(record), (driver, id, changes, next + 1)));
                        }
                        if is_over {
                            return None;
                        }
                        changes.changed().await.ok()?;
                    }
                }
            },
        )
        .filter(move |record: &Result<LogRecord, DriverError>| {
            let is_wanted = match (record, query.since) {
                (Ok(record), Some(since)) => record.time >= since,
                (Ok(_) | Err(_), _) => true,
            };
            std::future::ready(is_wanted)
        })
        .boxed()
    }

    async fn memory(&self, ids: Vec<InstanceId>) -> BTreeMap<InstanceId, u64> {
        let state = self.shared.state.lock();
        let sample = |id: InstanceId| {
            let bytes = state.instances.get(&id)?.script.memory_bytes;
            Some((id, bytes))
        };
        ids.into_iter().filter_map(sample).collect()
    }
}
