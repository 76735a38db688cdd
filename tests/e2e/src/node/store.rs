//! Records in files, one per application, each replaced at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use baetyl_engine::{DependencyError, StateStore, StoredRecord};

/// Keeps records in a folder.
#[derive(Debug)]
pub(super) struct FileStore {
    folder: PathBuf,
}

/// The ending of finished files.
const ENDING: &str = "record";

impl FileStore {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    fn path(&self, application: &str) -> PathBuf {
        // Names of applications have dots, so that the ending is put behind, not in place.
        self.folder.join(format!("{application}.{ENDING}"))
    }

    fn read(path: &Path) -> io::Result<StoredRecord> {
        let application = path.file_stem().and_then(|name| name.to_str());
        Ok(StoredRecord {
            application: application.unwrap_or_default().to_owned(),
            bytes: fs::read(path)?,
            // Bodies are never removed here.
            references: Vec::new(),
        })
    }

    fn read_all(&self) -> io::Result<Vec<StoredRecord>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                records.push(Self::read(&path)?);
            }
        }
        Ok(records)
    }

    fn write(&self, record: &StoredRecord) -> io::Result<()> {
        let path = self.path(&record.application);
        let draft = self.folder.join(format!("{}.draft", record.application));
        fs::write(&draft, &record.bytes)?;
        fs::rename(draft, path)
    }
}

#[async_trait]
impl StateStore for FileStore {
    async fn load(&self) -> Result<Vec<StoredRecord>, DependencyError> {
        self.read_all()
            .map_err(|error| DependencyError::new("read the records", error))
    }

    async fn save(&self, record: &StoredRecord) -> Result<(), DependencyError> {
        self.write(record)
            .map_err(|error| DependencyError::new("write a record", error))
    }

    async fn remove(&self, application: &str) -> Result<(), DependencyError> {
        match fs::remove_file(self.path(application)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DependencyError::new("remove a record", error))
            }
            _ => Ok(()),
        }
    }
}
