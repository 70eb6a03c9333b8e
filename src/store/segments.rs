//! The journal of a run in a bucket: `runs/<id>/journal/000001.jsonl` and so on.
//!
//! A bucket cannot append, so lines go there some at a time. A segment is created and never written again: of two
//! machines that work on one run both want the next number, and the second is turned away.

use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Store, StoreError, key};

/// The segments of one run's journal.
#[derive(Debug)]
pub struct Segments {
    store: Store,
    run: String,
    /// How many there are.
    written: u32,
}

impl Store {
    /// The segments of a run's journal, and what they hold; `None` where the journal itself is in the store.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn segments(&self, run: &str) -> Result<Option<(Segments, Vec<u8>)>, StoreError> {
        if !self.bucket {
            return Ok(None);
        }
        let mut segments = Segments { store: self.clone(), run: run.to_owned(), written: 0 };
        let mut lines = Vec::new();
        while let Some(bytes) = self.get(&segments.key(segments.written + 1)).await? {
            lines.extend_from_slice(&bytes);
            segments.written += 1;
        }
        Ok(Some((segments, lines)))
    }
}

impl Segments {
    fn key(&self, number: u32) -> Key {
        key(&self.run, &format!("journal/{number:06}.jsonl"))
    }

    /// Writes the next segment.
    ///
    /// # Errors
    /// A segment of this number that another machine has written, a run that it has published, or a failing storage.
    pub async fn write(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        // Another machine may have finished it, and removed the segments that would have turned this one away.
        self.store.unpublished(&self.run).await?;
        let number = self.written + 1;
        if !self.store.create_once(&self.key(number), lines.to_vec()).await? {
            return Err(StoreError::Taken { run: self.run.clone(), url: self.store.url.clone() });
        }
        self.written = number;
        Ok(())
    }

    /// Removes all of them: the run was published.
    ///
    /// # Errors
    /// If the storage fails; what is left over then says nothing that the run does not.
    pub async fn remove(self) -> Result<(), StoreError> {
        let failed = |source| self.store.failed(source);
        let folder = key(&self.run, "journal");
        let segments: Vec<_> = self.store.objects.list(Some(&folder)).try_collect().await.map_err(failed)?;
        for segment in segments {
            self.store.objects.delete(&segment.location).await.map_err(failed)?;
        }
        Ok(())
    }
}
