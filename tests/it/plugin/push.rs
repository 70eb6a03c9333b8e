//! A finished run over HTTP: who may send it, what is refused, and that nothing half done is ever seen.

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use assay::store::{Parcel, Store};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

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

/// A file of two hundred thousand equal rows is small: it is refused before they are made, and says why.
#[tokio::test]
async fn a_parcel_of_more_rows_than_its_record_says_is_not_decoded() {
    let (folder, settings) = empty_store();
    let host = Host::start(settings).await;
    let whole = parcel("r1").await;
    let many = repeated(&whole, 200);
    assert!(many.len() < 1 << 20, "{} bytes", many.len());
    let before = host.memory();
    let (status, body) = host.resource("POST", "runs", many).await;
    assert!(status == 400 && body["message"].as_str().unwrap().contains("200000 rows"), "{status} {body}");
    assert!(host.memory() < before + (64 << 20), "{} bytes", host.memory());
    let claimed = edited(&whole, |results, record| {
        let record = record.replacen("\"cases\": 40", "\"cases\": 3000000", 1);
        (results.to_vec(), record.replacen("\"ok\": 40", "\"ok\": 3000000", 1))
    });
    let (status, body) = host.resource("POST", "runs", claimed).await;
    assert!(status == 400 && body["message"].as_str().unwrap().contains("at most 100000"), "{status} {body}");
    assert!(!folder.path().join("runs").exists());
}

/// The same parcel with its results' first row a thousand times as often.
fn repeated(whole: &[u8], thousands: usize) -> Vec<u8> {
    edited(whole, |results, record| {
        let bytes = bytes::Bytes::copy_from_slice(results);
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let batch = reader.next().unwrap().unwrap();
        let first = UInt32Array::from(vec![0; 1000]);
        let rows = take_record_batch(&batch, &first).unwrap();
        let mut results = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut results, rows.schema(), None).unwrap();
        (0..thousands).for_each(|_| writer.write(&rows).unwrap());
        writer.close().unwrap();
        let known = serde_json::from_str::<serde_json::Value>(record).unwrap()["results_sha256"].to_string();
        let record = record.replacen(&known, &json!(assay::hash::sha256(&results)).to_string(), 1);
        (results, record)
    })
}

/// The same parcel with another id in its record.
fn relabelled(whole: &[u8], id: &str) -> Vec<u8> {
    edited(whole, |results, record| {
        (results.to_vec(), record.replacen("\"id\": \"r1\"", &format!("\"id\": {}", json!(id)), 1))
    })
}

/// The same parcel with other files, all hashes put right.
fn edited(whole: &[u8], edit: impl Fn(&[u8], &str) -> (Vec<u8>, String)) -> Vec<u8> {
    let line = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&whole[..line]).unwrap();
    let results = header["files"][0]["bytes"].as_u64().unwrap() as usize;
    let (results, record) = whole[line + 1..].split_at(results);
    let (results, record) = edit(results, std::str::from_utf8(record).unwrap());
    for (file, bytes) in header["files"].as_array_mut().unwrap().iter_mut().zip([&results[..], record.as_bytes()]) {
        file["bytes"] = json!(bytes.len());
        file["sha256"] = json!(assay::hash::sha256(bytes));
    }
    [header.to_string().as_bytes(), b"\n", &results, record.as_bytes()].concat()
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

/// Grafana's part: one HTTP request of a bearer of `token` becomes a resource call.
async fn forward(host: &Host, mut connection: TcpStream, token: &str) {
    let mut request = Vec::new();
    let head = loop {
        assert!(connection.read_buf(&mut request).await.unwrap() > 0, "the request ended early");
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    while request.len() < head + length {
        assert!(connection.read_buf(&mut request).await.unwrap() > 0, "the body ended early");
    }
    assert!(text.starts_with("post /api/datasources/uid/assay/resources/runs "), "{text}");
    let (status, body) = match text.contains(&format!("authorization: bearer {token}\r\n")) {
        true => host.resource("POST", "runs", &request[head..]).await,
        false => (401, json!({"message": "Unauthorized"})),
    };
    let body = body.to_string();
    let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    connection.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn the_command_line_sends_a_run_once_and_says_what_is_wrong() {
    let (from, _) = empty_store();
    let store = Store::open(&from.path().display().to_string()).unwrap();
    store.commit(&mut run(plan("r1", "pushed"), 30)).await.unwrap();
    let (_folder, settings) = empty_store();
    let mut host = Host::start(settings).await;
    host.role = Some("Editor");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/api/datasources/uid/assay/resources/", listener.local_addr().unwrap());
    for (token, succeeds, said) in
        [("wrong", false, "ASSAY_GRAFANA_TOKEN"), ("right", true, "r1: "), ("right", false, "exists already")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.args(["eval", "push", "pushed", "--to", &to, "--store"]).arg(from.path());
        command.env("ASSAY_GRAFANA_TOKEN", token).kill_on_drop(true);
        let served = async { forward(&host, listener.accept().await.unwrap().0, "right").await };
        let (output, ()) = tokio::join!(command.output(), served);
        let output = output.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), succeeds, "{told}");
        assert!(told.contains(said) && !told.contains("wrong"), "{told}");
    }
}
