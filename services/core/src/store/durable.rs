//! Tables in one redb file.
//!
//! Each commit is two-phase: the pages are flushed before the header points to them, so that
//! nothing depends on the order in which a disk writes. The file is made beside its place and
//! moved there, since a file whose making was cut short could not be opened.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend};
use redb::{TableDefinition, WriteTransaction};

use super::{StoreError, Table, Tables, Write};

/// Pages kept in memory; bodies are read seldom.
const CACHE_BYTES: usize = 1024 * 1024;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const BODIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("bodies");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    match table {
        Table::Meta => META,
        Table::Bodies => BODIES,
        Table::Records => RECORDS,
    }
}

/// Tables that are on disk when a commit returns.
pub struct Durable {
    database: Database,
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable").finish_non_exhaustive()
    }
}

impl Durable {
    /// Opens the file, or makes it (mode 0600). The file is locked: a second process is refused.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open; the file cannot be made or read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.try_exists()? {
            create(path)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::with_backend(FileBackend::new(file)?)
    }

    /// Opens the tables over any storage: the seam for one that fails.
    ///
    /// # Errors
    /// As [`Durable::open`].
    pub fn with_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)?;
        let durable = Self { database };
        durable.make_tables()?;
        Ok(durable)
    }

    fn make_tables(&self) -> Result<(), StoreError> {
        let count = self.database.begin_read()?.list_tables()?.count();
        if count == Table::ALL.len() {
            return Ok(());
        }
        let transaction = self.begin()?;
        for table in Table::ALL {
            transaction.open_table(definition(table))?;
        }
        Ok(transaction.commit()?)
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        Ok(transaction)
    }
}

/// Makes a whole empty file, then gives it its name.
fn create(path: &Path) -> Result<(), StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    match std::fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    drop(Durable::with_backend(FileBackend::new(file)?)?);
    File::open(beside)?.sync_all()?;
    std::fs::rename(beside, path)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    Ok(())
}

impl Tables for Durable {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read()?;
        let opened = transaction.open_table(definition(table))?;
        Ok(opened.get(key)?.map(|value| value.value().to_vec()))
    }

    fn keys(&self, table: Table) -> Result<Vec<String>, StoreError> {
        let transaction = self.database.begin_read()?;
        let opened = transaction.open_table(definition(table))?;
        let mut keys = Vec::new();
        for row in opened.iter()? {
            keys.push(row?.0.value().to_owned());
        }
        Ok(keys)
    }

    fn list(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let opened = transaction.open_table(definition(table))?;
        let mut rows = Vec::new();
        for row in opened.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(rows)
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        for table in Table::ALL {
            let mut opened = transaction.open_table(definition(table))?;
            for write in writes.iter().filter(|write| write.table == table) {
                match &write.value {
                    Some(value) => opened.insert(write.key.as_str(), value.as_slice())?,
                    None => opened.remove(write.key.as_str())?,
                };
            }
        }
        Ok(transaction.commit()?)
    }
}
