//! Tables in memory: the fake that passes the durable form's suite.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{StoreError, Table, Tables, Write};

/// Tables that end with the process.
#[derive(Debug, Default)]
pub struct Memory {
    values: Mutex<BTreeMap<(Table, String), Vec<u8>>>,
}

impl Memory {
    /// Makes empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Tables for Memory {
    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.values.lock().get(&(table, key.to_owned())).cloned())
    }

    fn keys(&self, table: Table) -> Result<Vec<String>, StoreError> {
        let values = self.values.lock();
        let rows = values.keys().filter(|(of, _)| *of == table);
        Ok(rows.map(|(_, key)| key.clone()).collect())
    }

    fn list(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let values = self.values.lock();
        let rows = values.iter().filter(|((of, _), _)| *of == table);
        Ok(rows
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut values = self.values.lock();
        for write in writes {
            let place = (write.table, write.key.clone());
            match &write.value {
                Some(value) => values.insert(place, value.clone()),
                None => values.remove(&place),
            };
        }
        Ok(())
    }
}
