//! Plans and records of runs, and all published records as one list.
//!
//! A query walks a thousand records. They are gathered once per state of the store, and every query walks the same list:
//! no lock and no copy for each of them.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;

use super::{Cache, KEPT_RECORDS, Listed, Listing, Version, keep, kept};
use crate::run::{Plan, RunRecord};
use crate::store::{StoreError, key};

/// Records that are fetched at a time.
const FETCHES: usize = 64;
/// Records that are looked for in the catalogue first, where so many are missing.
const CATALOGUED: usize = 16;
/// Bytes of `run.json` or `plan.json` beyond which it is not read.
const LARGEST_RECORD: u64 = 16 << 20;

/// Published runs of a store.
#[derive(Debug, Default)]
pub struct Records {
    /// Newest first.
    pub records: Vec<Arc<RunRecord>>,
    /// Why others, or a part of the catalogue, could not be read, a line each.
    pub damaged: Vec<String>,
}

/// Whether all records of a listing can be kept.
fn all_fit(listing: &[Listed]) -> bool {
    let bytes: u64 = listing.iter().filter_map(|listed| Some(listed.record.as_ref()?.size)).sum();
    bytes <= KEPT_RECORDS as u64
}

impl Records {
    fn add(&mut self, read: &Read, wanted: impl Fn(&RunRecord) -> bool) {
        match read {
            Ok(record) if wanted(record) => self.records.push(Arc::clone(record)),
            Ok(_) => {}
            Err(reason) => self.damaged.push(reason.clone()),
        }
    }
}

/// A record, or why it cannot be read.
pub(super) type Read = Result<Arc<RunRecord>, String>;

/// The published records of one listing, newest first.
#[derive(Debug)]
pub(super) struct Published {
    listing: Listing,
    records: Vec<Read>,
    /// What is wrong with the catalogue.
    losses: Vec<String>,
}

impl Cache {
    /// The record of a listed run; `None` if it was never published.
    ///
    /// # Errors
    /// A damaged record, or a failing storage.
    pub async fn record(&self, listed: &Listed) -> Result<Option<Arc<RunRecord>>, StoreError> {
        let Some(version) = &listed.record else { return Ok(None) };
        let file = key(&listed.id, "run.json");
        if let Some(kept) = self.counts.records.count(kept(&self.records, &listed.id, version)) {
            return kept.map(Some).map_err(|reason| self.store.damaged(&file, reason));
        }
        self.small(&file, version)?;
        let found = match self.store.record(&listed.id).await {
            Ok(Some(record)) => Ok(Arc::new(record)),
            Ok(None) => return Ok(None),
            Err(StoreError::Damaged { reason, .. }) => Err(reason),
            Err(error) => return Err(error),
        };
        keep(&self.records, &listed.id, version, found.clone(), version.size as usize);
        found.map(Some).map_err(|reason| self.store.damaged(&file, reason))
    }

    /// The plan of a listed run, published or not.
    ///
    /// # Errors
    /// A damaged plan, or a failing storage.
    pub async fn plan(&self, listed: &Listed) -> Result<Option<Arc<Plan>>, StoreError> {
        let Some(version) = &listed.plan else { return Ok(None) };
        let file = key(&listed.id, "plan.json");
        if let Some(kept) = kept(&self.plans, &listed.id, version) {
            return kept.map(Some).map_err(|reason| self.store.damaged(&file, reason));
        }
        self.small(&file, version)?;
        let found = match self.store.plan(&listed.id).await {
            Ok(Some(plan)) => Ok(Arc::new(plan)),
            Ok(None) => return Ok(None),
            Err(StoreError::Damaged { reason, .. }) => Err(reason),
            Err(error) => return Err(error),
        };
        keep(&self.plans, &listed.id, version, found.clone(), version.size as usize);
        found.map(Some).map_err(|reason| self.store.damaged(&file, reason))
    }

    fn small(&self, file: &Key, version: &Version) -> Result<(), StoreError> {
        if version.size <= LARGEST_RECORD {
            return Ok(());
        }
        Err(self.store.damaged(file, format!("it has {} bytes, more than any record", version.size)))
    }

    /// The newest published runs that `wanted` takes, at most `limit`.
    ///
    /// # Errors
    /// If the storage fails. A damaged run is told in the result.
    pub async fn records(&self, limit: usize, wanted: impl Fn(&RunRecord) -> bool) -> Result<Records, StoreError> {
        let listing = self.listing().await?;
        let mut found = Records::default();
        if let Some(published) = self.published(&listing).await? {
            found.damaged.clone_from(&published.losses);
            let mut reads = published.records.iter();
            while found.records.len() < limit
                && let Some(read) = reads.next()
            {
                found.add(read, &wanted);
            }
            return Ok(found);
        }
        let mut reads = self.reads(&listing);
        while found.records.len() < limit
            && let Some(read) = reads.next().await
        {
            found.add(&read?, &wanted);
        }
        Ok(found)
    }

    /// All published records of a listing; `None` if there are more than are kept.
    async fn published(&self, listing: &Listing) -> Result<Option<Arc<Published>>, StoreError> {
        if !all_fit(listing) {
            return Ok(None);
        }
        let mut published = self.published.lock().await;
        if let Some(published) = published.as_ref().filter(|published| Arc::ptr_eq(&published.listing, listing)) {
            return Ok(Some(Arc::clone(published)));
        }
        let losses = self.gather(listing).await;
        let records = self.reads(listing).try_collect().await?;
        let made = Arc::new(Published { listing: Arc::clone(listing), records, losses });
        *published = Some(Arc::clone(&made));
        Ok(Some(made))
    }

    /// Takes the records of a listing out of the catalogue, if many of them are missing here, so that few have to be read
    /// one by one. Returns what is wrong with the catalogue: it costs time and nothing else.
    pub async fn gather(&self, listing: &[Listed]) -> Vec<String> {
        let _turn = self.gathering.lock().await;
        let missing = listing.iter().filter_map(|listed| Some((&listed.id, listed.record.as_ref()?)));
        let missing = missing.filter(|(id, version)| kept(&self.records, id, version).is_none());
        let missing: HashMap<String, Version> = missing.map(|(id, version)| (id.clone(), version.clone())).collect();
        if missing.len() < CATALOGUED || !all_fit(listing) {
            return Vec::new();
        }
        let tags = missing.iter().map(|(id, version)| (id.clone(), version.tag.clone())).collect();
        let found = |id: String, record| {
            if let Some(version) = missing.get(&id) {
                keep(&self.records, &id, version, Ok(Arc::new(record)), version.size as usize);
            }
        };
        self.store.read_catalogue(tags, found).await
    }

    /// Reads the published records of a listing, newest first and several at a time.
    fn reads<'a>(&'a self, listing: &'a Listing) -> BoxStream<'a, Result<Read, StoreError>> {
        let published = listing.iter().rev().filter(|listed| listed.record.is_some());
        let reads: Vec<_> = published.map(|listed| self.read(listed).boxed()).collect();
        stream::iter(reads).buffered(FETCHES).boxed()
    }

    async fn read(&self, listed: &Listed) -> Result<Read, StoreError> {
        match self.record(listed).await {
            Ok(Some(record)) => Ok(Ok(record)),
            Ok(None) => Ok(Err(format!("run {} went away while it was read", listed.id))),
            Err(error @ StoreError::Damaged { .. }) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }
}
