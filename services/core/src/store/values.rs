//! Single values of the store: properties, what ran last, the route table, the authority.

use baetyl_shadow::{Digest, Fence, Properties};

use super::{Store, StoreError, Table, Write, key, meta};

impl Store {
    /// Reads the properties, wanted and reported.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn properties(&self) -> Result<Properties, StoreError> {
        Ok(self.json(key::PROPERTIES)?.unwrap_or_default())
    }

    /// Changes the reported properties and returns them with the wanted ones; an error of the
    /// change leaves them as they were.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn change_properties<E>(
        &self,
        change: impl FnOnce(&mut Properties) -> Result<(), E>,
    ) -> Result<Result<Properties, E>, StoreError> {
        let _writing = self.writing.lock();
        let mut properties = self.properties()?;
        if let Err(error) = change(&mut properties) {
            return Ok(Err(error));
        }
        self.commit_changes(vec![meta(key::PROPERTIES, &properties)])?;
        Ok(Ok(properties))
    }

    /// Reads the newest fence that ran.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn converged(&self) -> Result<Option<Fence>, StoreError> {
        self.json(key::CONVERGED)
    }

    /// Writes the newest fence that ran.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn save_converged(&self, fence: Fence) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        self.commit_changes(vec![meta(key::CONVERGED, &fence)])
    }

    /// Returns the generation of a route table: the stored one when its digest is the same, else
    /// the next, but at least `floor`; it is stored then.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn routes_generation(&self, digest: Digest, floor: u64) -> Result<u64, StoreError> {
        let _writing = self.writing.lock();
        let held: Option<(u64, Digest)> = self.json(key::ROUTES)?;
        let generation = match held {
            Some((generation, same)) if same == digest && generation >= floor => generation,
            Some((generation, _)) => floor.max(generation.saturating_add(1)),
            None => floor.max(1),
        };
        self.commit_changes(vec![meta(key::ROUTES, &(generation, digest))])?;
        Ok(generation)
    }

    /// Reads the node's own authority as it was sealed.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn authority(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.get(Table::Meta, key::AUTHORITY)
    }

    /// Writes the node's own authority as it was sealed.
    ///
    /// # Errors
    /// The tables cannot be written.
    pub fn save_authority(&self, sealed: Vec<u8>) -> Result<(), StoreError> {
        self.commit_changes(vec![Write::put(Table::Meta, key::AUTHORITY, sealed)])
    }
}
