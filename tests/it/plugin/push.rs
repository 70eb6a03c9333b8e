//! A finished run over HTTP: who may send it, what is refused, and that nothing half done is ever seen.

use assay::store::{Parcel, Store};
use serde_json::json;

use super::host::{Host, frames};
use super::store::{empty_store, plan, run, text};

pub(super) async fn parcel(id: &str) -> Vec<u8> {
    let (folder, _) = empty_store();
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    store.commit(&mut run(plan(id, "pushed"), 30)).await.unwrap();
    Parcel::of(&store, id).await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_finished_run_is_taken_in_once_and_from_an_editor() {
    let (folder, settings) = empty_store();
    let mut host = Host::start(settings).await;
    let bytes = parcel("r1").await;
    for role in [None, Some("Viewer"), Some("None"), Some("")] {
        host.role = role;
        assert_eq!(host.resource("POST", "runs", bytes.clone()).await.0, 403, "{role:?}");
    }
    assert!(!folder.path().join("runs").exists());
    host.role = Some("Editor");
    assert_eq!(host.resource("POST", "runs", bytes.clone()).await, (201, json!({"run": "r1"})));
    let (_, batches) = frames(&host.ask_one(json!({"queryType": "runs"})).await).remove(0);
    assert_eq!(text(&batches, "status"), ["published"]);
    let (status, body) = host.resource("POST", "runs", bytes).await;
    assert_eq!((status, body["message"].as_str().unwrap().contains("exists already")), (409, true));
    let compared = host.ask_one(json!({"queryType": "cases", "run": "pushed"})).await;
    assert_eq!(text(&frames(&compared)[0].1, "case").len(), 40);
}

#[tokio::test]
async fn a_damaged_parcel_leaves_no_trace() {
    let (folder, settings) = empty_store();
    let host = Host::start(settings).await;
    let whole = parcel("r1").await;
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).step_by(whole.len() / 60).map(|at| whole[..at].to_vec()).collect();
    damaged.extend((0..whole.len()).step_by(whole.len() / 60).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        bytes
    }));
    damaged.push([&whole[..], b"more"].concat());
    for bytes in damaged {
        let (status, body) = host.resource("POST", "runs", bytes).await;
        assert_eq!(status, 400, "{body}");
    }
    assert!(!folder.path().join("runs").exists());
    // An id that would lead out of the store, in a parcel that is sound otherwise.
    for id in ["..", "a/b", "", "x y"] {
        let header_and_files = relabelled(&whole, id);
        assert_eq!(host.resource("POST", "runs", header_and_files).await.0, 400, "{id}");
    }
    assert!(!folder.path().join("runs").exists());
}

/// The same parcel with another id in its record, all hashes put right.
fn relabelled(whole: &[u8], id: &str) -> Vec<u8> {
    let line = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&whole[..line]).unwrap();
    let results = header["files"][0]["bytes"].as_u64().unwrap() as usize;
    let (results, record) = whole[line + 1..].split_at(results);
    let record =
        String::from_utf8(record.to_vec()).unwrap().replacen("\"id\": \"r1\"", &format!("\"id\": {}", json!(id)), 1);
    header["files"][1]["bytes"] = json!(record.len());
    header["files"][1]["sha256"] = json!(assay::hash::sha256(&record));
    [header.to_string().as_bytes(), b"\n", results, record.as_bytes()].concat()
}

#[tokio::test]
async fn an_interrupted_push_can_be_repeated_and_another_run_of_that_id_cannot() {
    let (folder, settings) = empty_store();
    let host = Host::start(settings).await;
    let store = Store::open(&folder.path().display().to_string()).unwrap();
    store.put_plan(&plan("r1", "pushed")).await.unwrap();
    assert_eq!(host.resource("POST", "runs", parcel("r1").await).await.0, 201);
    store.put_plan(&plan("r2", "mine, and still running")).await.unwrap();
    assert_eq!(host.resource("POST", "runs", parcel("r2").await).await.0, 409);
}
