//! How a run comes into the store: its plan first, its record last and once.

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStoreExt};

use super::{NEXT_RESULTS, RESULTS, Store, StoreError, TableFile, key, table, to_json};
use crate::hash;
use crate::run::{Plan, Run, RunRecord};
use crate::tally::Tally;

impl Store {
    /// Writes a run's plan.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn put_plan(&self, plan: &Plan) -> Result<(), StoreError> {
        self.put(&key(&plan.id, "plan.json"), to_json(plan)).await
    }

    /// Writes the plan of a run that must not exist yet; `false` if it does.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn claim_plan(&self, plan: &Plan) -> Result<bool, StoreError> {
        match self.create(&key(&plan.id, "plan.json"), to_json(plan)).await {
            Err(StoreError::Storage { source: Error::AlreadyExists { .. } | Error::Precondition { .. }, .. }) => {
                Ok(false)
            }
            made => made.map(|()| true),
        }
    }

    /// Publishes a finished run: its results, then the record that commits it. The record's hash of the results is
    /// filled in here.
    ///
    /// # Errors
    /// A run that was published already, or a failing storage; the run is then still unpublished and can be finished
    /// again.
    pub async fn commit(&self, run: &mut Run) -> Result<(), StoreError> {
        let table = table::encode(&run.results);
        run.record.results_sha256 =
            self.put_results(&run.record.plan.id, self.encoded(&run.record.plan.id, table)?).await?;
        self.publish(&run.record).await
    }

    /// The first half of [`Store::commit`], of so many rows that were turned into a table as they came. Gives the hash of
    /// the results and what the figures are made of; the table is gone then.
    ///
    /// # Errors
    /// As [`Store::commit`], and more rows than are read of one run.
    pub async fn put_table(&self, id: &str, table: TableFile, rows: usize) -> Result<(String, Tally), StoreError> {
        let bytes = self.encoded(id, table)?;
        let tally =
            table::decode::tally(bytes.clone(), rows).map_err(|reason| self.damaged(&key(id, RESULTS), reason))?;
        Ok((self.put_results(id, bytes).await?, tally))
    }

    /// The other half: the record that commits a run whose results are there.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn publish(&self, record: &RunRecord) -> Result<(), StoreError> {
        let id = &record.plan.id;
        // Of two that got here at once, one makes the record.
        if self.create_once(&key(id, "run.json"), to_json(record)).await? { Ok(()) } else { Err(self.published(id)) }
    }

    fn encoded(&self, id: &str, table: TableFile) -> Result<Bytes, StoreError> {
        table.0.map_err(|reason| self.damaged(&key(id, RESULTS), reason))
    }

    async fn put_results(&self, id: &str, bytes: Bytes) -> Result<String, StoreError> {
        let sha256 = hash::sha256(&bytes);
        self.unpublished(id).await?;
        self.put(&key(id, RESULTS), bytes).await?;
        Ok(sha256)
    }

    /// Refuses a run that was published.
    ///
    /// # Errors
    /// As said, or a failing storage.
    pub async fn unpublished(&self, id: &str) -> Result<(), StoreError> {
        match self.objects.head(&key(id, "run.json")).await {
            Ok(_) => Err(self.published(id)),
            Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn published(&self, id: &str) -> StoreError {
        StoreError::Published { run: id.to_owned(), url: self.url.clone() }
    }

    /// Replaces the results and the record of a published run. The record stays the commit: until it is replaced the old
    /// state is the run, and from then on the new one, whatever is interrupted.
    ///
    /// # Errors
    /// If the storage fails; the run is then in one of its two states.
    pub async fn recommit(&self, run: &mut Run) -> Result<(), StoreError> {
        let id = run.record.plan.id.clone();
        let table = self.encoded(&id, table::encode(&run.results))?;
        run.record.results_sha256 = hash::sha256(&table);
        // What an interrupted one left under this name may be the only copy of what the record names.
        if let (Some(stored), Some(bytes)) = (self.record(&id).await?, self.get(&key(&id, NEXT_RESULTS)).await?)
            && hash::sha256(&bytes) == stored.results_sha256
        {
            self.put(&key(&id, RESULTS), bytes).await?;
        }
        self.put(&key(&id, NEXT_RESULTS), table.clone()).await?;
        self.put(&key(&id, "run.json"), to_json(&run.record)).await?;
        self.put(&key(&id, RESULTS), table).await?;
        self.objects.delete(&key(&id, NEXT_RESULTS)).await.map_err(|source| self.failed(source))
    }

    /// Writes a file that must not be there yet; `false` if another one is. The same bytes are our own: the reply to a
    /// first attempt was lost.
    pub(super) async fn create_once(&self, key: &Key, bytes: Vec<u8>) -> Result<bool, StoreError> {
        match self.create(key, bytes.clone()).await {
            Err(StoreError::Storage { source: Error::AlreadyExists { .. } | Error::Precondition { .. }, .. }) => {
                Ok(self.get(key).await?.as_deref() == Some(&bytes[..]))
            }
            made => made.map(|()| true),
        }
    }
}
