//! The catalogue of a store, in a folder and in a bucket: what it saves, and that nothing depends on it.

use std::sync::Arc;

use assay::run::Run;
use assay::store::{Cache, Catalogued, Counts, Records, Store};
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};

use super::store::{plan, run};
use crate::s3::Server;

const RUNS: usize = 30;

/// A store of runs, and the files beneath it.
struct Bed {
    store: Store,
    objects: Arc<dyn ObjectStore>,
    sample: Run,
    _folder: Option<tempfile::TempDir>,
    _server: Option<Server>,
}

impl Bed {
    async fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().display().to_string()).unwrap();
        let objects = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        Self { store, objects, sample: run(plan("r", "a"), 10), _folder: Some(folder), _server: None }.filled().await
    }

    async fn bucket() -> Option<Self> {
        let server = Server::start().await?;
        let store = Store::attach("s3://assay/team", &server.access()).unwrap();
        let bucket = AmazonS3Builder::new()
            .with_endpoint(&server.endpoint)
            .with_allow_http(true)
            .with_bucket_name("assay")
            .with_access_key_id("key")
            .with_secret_access_key("canary-of-a-secret-key");
        let objects = Arc::new(PrefixStore::new(bucket.build().unwrap(), "team"));
        let bed = Self { store, objects, sample: run(plan("r", "a"), 10), _folder: None, _server: Some(server) };
        Some(bed.filled().await)
    }

    async fn filled(self) -> Self {
        self.add(0..RUNS).await;
        self
    }

    async fn add(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let mut run = self.sample.clone();
            run.record.plan.id = format!("r{number:03}");
            self.store.put_plan(&run.record.plan).await.unwrap();
            self.store.commit(&mut run).await.unwrap();
        }
    }

    /// What a reader that knows nothing yet reads, and how many records it reads one by one.
    async fn read(&self) -> (Records, u64) {
        let counts = Counts::default();
        let cache = Cache::new(self.store.clone(), counts.clone());
        let records = cache.records(usize::MAX, |_| true).await.unwrap();
        (records, counts.records.miss.get())
    }

    async fn segments(&self) -> Vec<Key> {
        let listed: Vec<_> = self.objects.list(Some(&Key::from("catalogue"))).try_collect().await.unwrap();
        listed.into_iter().map(|object| object.location).collect()
    }

    /// Breaks a byte of the only segment.
    async fn damage(&self) {
        let key = self.segments().await.remove(0);
        let mut bytes = self.objects.get(&key).await.unwrap().bytes().await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.objects.put(&key, bytes.into()).await.unwrap();
    }
}

/// All of it, wherever the store lies.
async fn holds(bed: &Bed) {
    let (plain, one_by_one) = bed.read().await;
    assert_eq!((plain.records.len(), one_by_one), (RUNS, RUNS as u64), "a store without a catalogue");
    let made = bed.store.catalogue(RUNS + 1).await.unwrap();
    assert_eq!((made, bed.segments().await.len()), (Catalogued::default(), 0), "too few for a segment");
    let made = bed.store.catalogue(RUNS).await.unwrap();
    assert_eq!(made, Catalogued { runs: RUNS, added: RUNS, segments: 1 });
    let (read, one_by_one) = bed.read().await;
    assert_eq!((&read.records, one_by_one), (&plain.records, 0), "the same from the catalogue");

    // A run that is new, one that is gone and one that was scored anew: none of them is what the catalogue says.
    bed.add(RUNS..RUNS + 1).await;
    for file in ["run.json", "plan.json", "results.parquet"] {
        bed.objects.delete(&Key::from(format!("runs/r003/{file}"))).await.unwrap();
    }
    let mut other = bed.store.run("r004").await.unwrap();
    other.record.resumed = 7;
    bed.store.recommit(&mut other).await.unwrap();
    let (read, one_by_one) = bed.read().await;
    assert_eq!((read.records.len(), one_by_one), (RUNS, 2));
    assert!(read.damaged.is_empty(), "{:?}", read.damaged);
    let resumed: Vec<&str> =
        read.records.iter().filter(|record| record.resumed == 7).map(|record| record.plan.id.as_str()).collect();
    assert_eq!(resumed, ["r004"]);
    let made = bed.store.catalogue(1).await.unwrap();
    assert_eq!(made, Catalogued { runs: RUNS, added: 2, segments: 1 });
    assert_eq!((bed.read().await.1, bed.segments().await.len()), (0, 1), "the smaller segment was taken over");
    assert_eq!(bed.store.catalogue(1).await.unwrap().added, 0, "there is nothing to do");

    bed.damage().await;
    let (read, one_by_one) = bed.read().await;
    assert_eq!((read.records.len(), one_by_one), (RUNS, RUNS as u64), "the runs are read themselves");
    let [loss] = &read.damaged[..] else { panic!("{:?}", read.damaged) };
    assert!(loss.contains("catalogue/") && loss.contains("`assay store catalogue`"), "{loss}");
    assert_eq!(bed.store.catalogue(1).await.unwrap(), Catalogued { runs: RUNS, added: RUNS, segments: 1 });
    let (read, one_by_one) = bed.read().await;
    assert_eq!((read.damaged.len(), one_by_one, bed.segments().await.len()), (0, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_depends_on_the_catalogue_of_a_folder() {
    holds(&Bed::folder().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_depends_on_the_catalogue_of_a_bucket() {
    let Some(bed) = Bed::bucket().await else { return };
    holds(&bed).await;
}

/// Fault: two machines write the catalogue while others read it. Injected: writers at once, again and again, each taking over what is there. Outcome: every reader has every run and no complaint; in the end there is one segment.
#[tokio::test(flavor = "multi_thread")]
async fn writers_and_readers_of_one_catalogue_do_each_other_no_harm() {
    let Some(bed) = Bed::bucket().await else { return };
    for round in 1..=5 {
        bed.add(RUNS * round..RUNS * round + 3).await;
        let (one, two, three) = tokio::join!(bed.store.catalogue(1), bed.store.catalogue(1), bed.read());
        assert_eq!((one.unwrap().runs, two.unwrap().runs), (RUNS + 3 * round, RUNS + 3 * round));
        let (read, _) = three;
        assert_eq!((read.records.len(), read.damaged.len()), (RUNS + 3 * round, 0), "{:?}", read.damaged);
    }
    bed.add(RUNS * 6..RUNS * 6 + 1).await;
    bed.store.catalogue(1).await.unwrap();
    assert_eq!((bed.segments().await.len(), bed.read().await.1), (1, 0));
}

/// A program that is later than this one may write what this one cannot read.
#[tokio::test]
async fn what_is_not_a_segment_is_left_alone() {
    let bed = Bed::folder().await;
    bed.store.catalogue(1).await.unwrap();
    bed.objects.put(&Key::from("catalogue/README.md"), b"mine".to_vec().into()).await.unwrap();
    let later = b"{\"id\":\"r001\",\"tag\":7}\n";
    let key = Key::from(format!("catalogue/{}.jsonl", assay::hash::sha256(later)));
    bed.objects.put(&key, later.to_vec().into()).await.unwrap();
    let (read, one_by_one) = bed.read().await;
    assert_eq!((read.records.len(), read.damaged.len(), one_by_one), (RUNS, 0, 0));
    bed.add(RUNS..RUNS + 1).await;
    assert_eq!(bed.store.catalogue(1).await.unwrap().added, 1);
    for key in [key, Key::from("catalogue/README.md")] {
        assert!(bed.objects.head(&key).await.is_ok(), "{key}");
    }
}
