//! A disk that remembers every write, so that a power cut can be played at each of them.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use redb::StorageBackend;

/// What the database asked of the disk.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Write { offset: u64, bytes: Vec<u8> },
    Resize(u64),
    Sync,
}

/// How the disk treats what was not flushed when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// All of it arrived.
    Cut,
    /// Nothing of it arrived.
    Lost,
    /// Some of it arrived, in another order.
    Reordered,
    /// All of it arrived, of the last write only the beginning.
    Torn,
    /// Some of it arrived, in another order, each perhaps in part.
    ReorderedAndTorn,
}

impl Fault {
    pub(super) const ALL: [Self; 5] = [
        Self::Cut,
        Self::Lost,
        Self::Reordered,
        Self::Torn,
        Self::ReorderedAndTorn,
    ];
}

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultBackend {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    image: Vec<u8>,
    log: Vec<Operation>,
}

impl FaultBackend {
    pub(super) fn new(image: Vec<u8>) -> Self {
        let log = Vec::new();
        let state = Arc::new(Mutex::new(State { image, log }));
        Self { state }
    }

    pub(super) fn image(&self) -> Vec<u8> {
        self.state.lock().image.clone()
    }

    pub(super) fn log(&self) -> Vec<Operation> {
        self.state.lock().log.clone()
    }

    pub(super) fn operations(&self) -> usize {
        self.state.lock().log.len()
    }

    fn run(&self, operation: Operation) {
        let mut state = self.state.lock();
        apply(&mut state.image, &operation);
        state.log.push(operation);
    }
}

impl StorageBackend for FaultBackend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = state.image.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.run(Operation::Resize(length));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.run(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let bytes = data.to_vec();
        self.run(Operation::Write { offset, bytes });
        Ok(())
    }
}

fn apply(image: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Sync => {}
        Operation::Resize(length) => image.resize(usize::try_from(*length).unwrap(), 0),
        Operation::Write { offset, bytes } => {
            let start = usize::try_from(*offset).unwrap();
            let end = start + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[start..end].copy_from_slice(bytes);
        }
    }
}

/// What the disk holds when the power went after the first `count` operations.
pub(super) fn image_after(
    base: &[u8],
    log: &[Operation],
    count: usize,
    fault: Fault,
    rng: &mut StdRng,
) -> Vec<u8> {
    let done = &log[..count];
    let synced = done
        .iter()
        .rposition(|operation| matches!(operation, Operation::Sync))
        .map_or(0, |at| at + 1);
    let mut image = base.to_vec();
    for operation in &done[..synced] {
        apply(&mut image, operation);
    }
    let mut pending = done[synced..].to_vec();
    match fault {
        Fault::Cut => {}
        Fault::Lost => pending.clear(),
        Fault::Reordered => reorder(&mut pending, rng),
        Fault::Torn => {
            if let Some(last) = pending.last_mut() {
                tear(last, rng);
            }
        }
        Fault::ReorderedAndTorn => {
            reorder(&mut pending, rng);
            pending
                .iter_mut()
                .for_each(|operation| tear(operation, rng));
        }
    }
    for operation in &pending {
        apply(&mut image, operation);
    }
    image
}

fn reorder(pending: &mut Vec<Operation>, rng: &mut StdRng) {
    pending.retain(|_| rng.random());
    pending.shuffle(rng);
}

fn tear(operation: &mut Operation, rng: &mut StdRng) {
    if let Operation::Write { bytes, .. } = operation {
        let kept = rng.random_range(0..=bytes.len());
        bytes.truncate(kept);
    }
}
