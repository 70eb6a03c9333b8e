//! What stays in memory, what is on disk, and what one user's question tells another.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay::live::{Failure, OnBehalf, Origin, Purpose};

use super::rig::{CALM, FULL, Rig, answer, done, look, question};
use crate::canned::{Act, Canned};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn no_word_of_a_line_is_on_disk() {
    let rig = Rig::new();
    let canary = "level=error msg=\"quetzalcoatl write /data/wal: no space left on device\" password=xolotl-7";
    let (desk, logs, loki) = rig.desk(&[CALM[0], canary]).await;
    let question = question("{namespace=\"monitoring\"} |= \"tlaloc\"");
    let kept = done(answer(&desk, &question).await);
    let lines = desk.evidence(&question, &kept).await.unwrap();
    assert!(
        lines[0].line.contains("quetzalcoatl") && lines[0].line.contains("[REDACTED:password]"),
        "{}",
        lines[0].line
    );
    rig.moment.pass(400);
    logs.write(rig.moment.ns() - 1_000_000_000, &[CALM[0], canary]);
    done(answer(&desk, &question).await);
    // A restart reads the line again, and redacts it again.
    let desk = rig.open(rig.source(loki.url()));
    assert_eq!(*desk.evidence(&question, &kept).await.unwrap(), *lines);
    drop(desk);
    let files = files(rig.dir.path());
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["quetzalcoatl", "xolotl", "tlaloc", "no space left", "served"] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[tokio::test]
async fn under_a_users_own_identity_nothing_is_shared_or_kept() {
    let rig = Rig::new();
    let (desk, _, loki) = rig.desk(&[CALM[0], FULL]).await;
    let question = question("{namespace=\"monitoring\"}");
    let on_behalf = OnBehalf {
        loki: desk.source().loki.on_behalf([("X-Grafana-User", "ada"), ("Authorization", "Bearer hers")]).unwrap(),
        identity: "ada",
        deadline: Duration::from_secs(60),
    };
    let origin = Origin { purpose: Purpose::Panel, trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()) };
    let direct = desk.ask_directly(&question, &origin, &on_behalf).await.unwrap();
    assert_eq!(direct.kept.record.verdict.as_ref().unwrap().root_cause, "disk_full");
    assert_eq!(direct.lines[0].line, FULL);
    assert!(loki.requests()[0].head.contains("authorization: bearer hers"), "{}", loki.requests()[0].head);

    assert!(!rig.dir.path().join("verdicts").exists());
    assert!(desk.view(&direct.kept.key).await.is_none());
    let records = rig.ledger().find("4bf92f3577b34da6").await.unwrap().records;
    assert_eq!((records.len(), records[0].purpose), (1, Purpose::Direct));
    assert!(records[0].verdict.is_none() && records[0].components.is_empty(), "{:?}", records[0]);
    let text = std::fs::read_to_string(&files(&rig.dir.path().join("store"))[0]).unwrap();
    assert!(!text.contains("ada\"") && !text.contains("disk_full"), "{text}");
    assert!(look(&desk, &question).await.last.is_none(), "the data source's own question is another");
}

#[tokio::test]
async fn whoever_asks_directly_waits_no_longer_than_they_said() {
    let rig = Rig::new();
    let loki = Canned::acting(vec![Act::AwaitClose]).await;
    let desk = rig.open(rig.source(loki.url()));
    let deadline = Duration::from_millis(300);
    let on_behalf = OnBehalf { loki: desk.source().loki.clone(), identity: "ada", deadline };
    let asked = desk.ask_directly(&question("{a=\"b\"}"), &Origin::new(Purpose::Panel), &on_behalf).await;
    let failure = asked.unwrap_err();
    assert_eq!((failure.clone(), failure.status()), (Failure::Late(deadline), 504));
    assert!(failure.to_string().starts_with("no verdict within 0.3 s"), "{failure}");
    super::rig::until("the connection to be closed", || loki.left() == 1).await;
}
