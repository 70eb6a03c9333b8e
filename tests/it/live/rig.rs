//! A desk with a clock that tests move, before a Loki whose logs they write.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay::experiment::{Kind, ModelSpec};
use assay::guard::Guard;
use assay::installation::Installation;
use assay::ledger::Record;
use assay::live::{
    Capacity, Clock, Desk, Kept, Key, Limits, Look, ModelServer, Origin, Purpose, Question, RULES, Source, Span, Stage,
};
use assay::loki::{Client, Settings};
use assay::{llama, store};
use chrono::DateTime;
use serde_json::json;

use crate::canned::{Canned, Request, http};

const S: i64 = 1_000_000_000;
const START: i64 = 1_795_468_000 * S;

pub(super) const CALM: [&str; 2] = ["level=info msg=\"request 1 served\"", "level=info msg=\"compaction finished\""];
pub(super) const FULL: &str = "level=error msg=\"write /data/wal: no space left on device\"";

/// The time of day, moved by hand.
#[derive(Clone)]
pub(super) struct Moment(Arc<AtomicI64>);

impl Moment {
    pub(super) fn ns(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * S, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let moment = self.clone();
        Clock::of(move || DateTime::from_timestamp_nanos(moment.ns()))
    }
}

/// What Loki holds: one stream.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<Vec<(i64, String)>>>);

impl Logs {
    pub(super) fn write(&self, ts: i64, lines: &[&str]) {
        let lines = (ts..).zip(lines).map(|(ts, line)| (ts, (*line).to_owned()));
        self.0.lock().unwrap().extend(lines);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What Loki says to a request.
    pub(super) fn answer(&self, request: &Request) -> Vec<u8> {
        if request.target.contains("/index/stats") {
            return http(200, "application/json", br#"{"streams":1,"chunks":2,"bytes":3000000,"entries":9}"#);
        }
        let url = reqwest::Url::parse(&format!("http://x{}", request.target)).unwrap();
        let param = |name: &str| {
            let value = url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            value.and_then(|value| value.parse::<i64>().ok()).unwrap_or_default()
        };
        let (start, end, limit) = (param("start"), param("end"), param("limit"));
        let mut found: Vec<_> =
            self.0.lock().unwrap().iter().filter(|(ts, _)| (start..end).contains(ts)).cloned().collect();
        found.sort_by_key(|(ts, _)| std::cmp::Reverse(*ts));
        found.truncate(usize::try_from(limit).unwrap());
        http(200, "application/json", body(&found).as_bytes())
    }

    pub(super) async fn serve(&self) -> Canned {
        let logs = self.clone();
        Canned::speaking(move |request| logs.answer(request)).await
    }
}

fn body(entries: &[(i64, String)]) -> String {
    let values: Vec<_> = entries.iter().map(|(ts, line)| json!([ts.to_string(), line, {}])).collect();
    let stream = json!({"stream": {"namespace": "monitoring", "container": "prometheus"}, "values": values});
    let result = if entries.is_empty() { json!([]) } else { json!([stream]) };
    json!({"status": "success", "data":
        {"resultType": "streams", "encodingFlags": ["categorize-labels"], "result": result, "stats": {}}})
    .to_string()
}

/// A response with these lines, a second old.
pub(super) fn response(lines: &[&str]) -> Vec<u8> {
    let entries: Vec<_> = (START - S..).zip(lines).map(|(ts, line)| (ts, (*line).to_owned())).collect();
    http(200, "application/json", body(&entries).as_bytes())
}

/// What a desk is opened with.
pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) moment: Moment,
    pub(super) capacity: Capacity,
}

impl Rig {
    pub(super) fn new() -> Self {
        let moment = Moment(Arc::new(AtomicI64::new(START)));
        Self { dir: tempfile::tempdir().unwrap(), moment, capacity: Capacity::default() }
    }

    /// A data source before this Loki: the rules answer, verdicts and ledger are in the rig's folder.
    pub(super) fn source(&self, loki: &str) -> Source {
        let loki = Client::new(&Settings { timeout: Duration::from_secs(20), ..Settings::new(loki) }).unwrap();
        Source {
            org: 1,
            uid: "assay".to_owned(),
            tenant: None,
            installation: Arc::new(Installation::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()),
            loki,
            models: Vec::new(),
            default_model: RULES.to_owned(),
            guard: Guard::default(),
            limits: Limits { digest_tokens: 300, patience: Duration::from_millis(300), ..Limits::default() },
            cache: Some(self.dir.path().join("verdicts")),
            ledger: Some(self.ledger()),
            standing: Vec::new(),
            scheduled: true,
            clock: self.moment.clock(),
        }
    }

    pub(super) fn ledger(&self) -> store::Ledger {
        let store = store::Store::open(&self.dir.path().join("store").display().to_string()).unwrap();
        store::Ledger::new(&store, 1, "assay")
    }

    /// The ledger's lines of a question, once there are `many` or more: a verdict is told before its line is written.
    pub(super) async fn lines(&self, question: &str, many: usize) -> Vec<Arc<Record>> {
        let ledger = self.ledger();
        for _ in 0..6000 {
            let records = ledger.find(question).await.unwrap().records;
            if records.len() >= many {
                return records;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited a minute for {many} lines of {question}");
    }

    pub(super) fn open(&self, source: Source) -> Desk {
        Desk::open(source, &self.capacity).unwrap()
    }

    /// A desk before a Loki that holds these lines, which are a second old.
    pub(super) async fn desk(&self, lines: &[&str]) -> (Desk, Logs, Canned) {
        let logs = Logs::default();
        logs.write(self.moment.ns() - S, lines);
        let loki = logs.serve().await;
        (self.open(self.source(loki.url())), logs, loki)
    }
}

/// A model at a server; its tokens are bytes, nearly.
pub(super) fn tiny(client: llama::Client) -> ModelServer {
    let spec = ModelSpec {
        name: "tiny".to_owned(),
        description: "random weights".to_owned(),
        quantization: "F32".to_owned(),
        bytes_per_token: 1.2,
        demo: false,
        kind: Kind::External { url: client.url().to_owned(), fingerprint: None },
    };
    ModelServer { spec, client }
}

pub(super) fn question(expr: &str) -> Question {
    let prompt = Some("triage@1".parse().unwrap());
    Question { expr: expr.to_owned(), span: Span::latest(Duration::from_secs(900)), prompt, model: None }
}

pub(super) async fn look(desk: &Desk, question: &Question) -> Look {
    desk.look(question, &Origin::new(Purpose::Panel)).await.unwrap()
}

/// Asks and waits for the end.
pub(super) async fn answer(desk: &Desk, question: &Question) -> Stage {
    let look = look(desk, question).await;
    end(desk, &look.key).await
}

pub(super) async fn end(desk: &Desk, key: &Key) -> Stage {
    let viewer = desk.view(key).await.expect("it is on its way or answered");
    let last = tokio::time::timeout(Duration::from_secs(120), viewer.last()).await;
    last.expect("it ends").unwrap().stage
}

pub(super) fn done(stage: Stage) -> Arc<Kept> {
    match stage {
        Stage::Done(kept) => kept,
        other => panic!("{other:?}"),
    }
}

pub(super) fn failed(stage: Stage) -> assay::live::Failure {
    match stage {
        Stage::Failed(failed) => failed.failure.clone(),
        other => panic!("{other:?}"),
    }
}

/// Waits for something that is sure to come if the code is right, so that a defect fails instead of hanging.
pub(super) async fn until(what: &str, mut come: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if come() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited a minute for {what}");
}

/// How often Loki was asked for entries.
pub(super) fn reads(loki: &Canned) -> usize {
    loki.requests().iter().filter(|request| request.target.contains("/query_range")).count()
}
