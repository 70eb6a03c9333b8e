//! What the store keeps beside runs: results of gates and named baselines.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path as Key;

use super::{Cache, Store, StoreError, key, to_json};
use crate::compare::{Baseline, GateRecord};
use crate::hash;
use crate::run::Run;
use crate::tally::{Tallied, Tally};

impl Store {
    /// Keeps what a gate said under `gates/<id>.json`.
    ///
    /// # Errors
    /// If the storage fails.
    pub async fn put_gate(&self, gate: &GateRecord) -> Result<(), StoreError> {
        self.put(&Key::from(format!("gates/{}.json", gate.id)), to_json(gate)).await
    }

    /// Every gate that was kept, oldest first.
    ///
    /// # Errors
    /// A damaged record, or a failing storage.
    pub async fn gates(&self) -> Result<Vec<GateRecord>, StoreError> {
        self.all("gates").await
    }

    /// Pins a published run as it is now under `name`; what the name meant before is returned.
    ///
    /// # Errors
    /// A damaged run, or a failing storage.
    pub async fn put_baseline(&self, baseline: &Baseline) -> Result<Option<Baseline>, StoreError> {
        let before = self.baseline(&baseline.name).await?;
        self.put(&baseline_key(&baseline.name), to_json(baseline)).await?;
        Ok(before)
    }

    /// The baseline of this name; `None` if there is none.
    ///
    /// # Errors
    /// A damaged file, or a failing storage.
    pub async fn baseline(&self, name: &str) -> Result<Option<Baseline>, StoreError> {
        self.json(&baseline_key(name)).await
    }

    /// All baselines by name.
    ///
    /// # Errors
    /// A damaged file, or a failing storage.
    pub async fn baselines(&self) -> Result<Vec<Baseline>, StoreError> {
        self.all("baselines").await
    }

    /// SHA-256 of a run's `run.json`, as its bytes are.
    ///
    /// # Errors
    /// A record that is gone, or a failing storage.
    pub async fn record_sha256(&self, id: &str) -> Result<String, StoreError> {
        let file = key(id, "run.json");
        match self.get(&file).await? {
            Some(bytes) => Ok(hash::sha256(&bytes)),
            None => Err(self.damaged(&file, "the file is gone".to_owned())),
        }
    }

    /// The run that a baseline names, if it still is what was pinned.
    ///
    /// # Errors
    /// A run that was altered since, a damaged run, or a failing storage.
    pub async fn pinned(&self, baseline: &Baseline) -> Result<Run, StoreError> {
        let run = self.run(&baseline.run).await?;
        let record = self.record_sha256(&baseline.run).await?;
        let pins = [
            ("results.parquet", &baseline.results_sha256, &run.record.results_sha256),
            ("run.json", &baseline.record_sha256, &record),
        ];
        for (file, pinned, found) in pins {
            if pinned != found {
                return Err(StoreError::Altered {
                    name: baseline.name.clone(),
                    file: key(&baseline.run, file).to_string(),
                    pinned: pinned.clone(),
                    found: found.clone(),
                });
            }
        }
        Ok(run)
    }

    async fn all<T: serde::de::DeserializeOwned>(&self, folder: &str) -> Result<Vec<T>, StoreError> {
        let listed: Vec<_> =
            self.objects.list(Some(&Key::from(folder))).try_collect().await.map_err(|source| self.failed(source))?;
        let mut keys: Vec<Key> = listed.into_iter().map(|object| object.location).collect();
        keys.retain(|key| key.extension() == Some("json"));
        keys.sort();
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.extend(self.json(&key).await?);
        }
        Ok(found)
    }
}

impl Cache {
    /// The run that a baseline names, as [`Store::pinned`], as far as figures go and from the cache.
    ///
    /// # Errors
    /// As [`Store::pinned`].
    pub async fn pinned(&self, baseline: &Baseline) -> Result<Arc<Tallied>, StoreError> {
        let run = self.tallied(&baseline.run).await?;
        let record = self.store().record_sha256(&baseline.run).await?;
        if run.record.results_sha256 == baseline.results_sha256 && record == baseline.record_sha256 {
            return Ok(run);
        }
        // It knows how to say what differs.
        let Run { record, results } = self.store().pinned(baseline).await?;
        Ok(Arc::new(Tallied { record, tally: Tally::of(&results) }))
    }
}

fn baseline_key(name: &str) -> Key {
    Key::from(format!("baselines/{name}.json"))
}
