//! The plugin's other side: starts the process, speaks go-plugin's and Grafana's protocol, stops it.

use std::collections::HashMap;
use std::io::Cursor;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use grafana_plugin_sdk::pluginv2::{
    CheckHealthRequest, CheckHealthResponse, DataQuery, DataSourceInstanceSettings, PluginContext, QueryDataRequest,
    TimeRange, User, diagnostics_client::DiagnosticsClient,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tonic::codec::ProstCodec;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Stands in for a credential, which must appear nowhere.
pub(super) const CANARY: &str = "canary-2b7f-never-log-this";

/// go-plugin kills a plugin that is still there after two seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Today's answer message, with the field that the SDK's stubs do not know.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DataResponse {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) frames: Vec<Vec<u8>>,
    #[prost(string, tag = "2")]
    pub(super) error: String,
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
    #[prost(string, tag = "5")]
    pub(super) error_source: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct QueryDataResponse {
    #[prost(map = "string, message", tag = "1")]
    responses: HashMap<String, DataResponse>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}

/// A message of one text, for the health protocol's question.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Text {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

/// A message of one number, for the health protocol's answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Number {
    #[prost(int32, tag = "1")]
    pub(super) number: i32,
}

/// A running plugin.
pub(super) struct Host {
    child: Child,
    pub(super) channel: Channel,
    pub(super) role: Option<&'static str>,
    settings: Value,
    pub(super) handshake: String,
    stdout: BufReader<ChildStdout>,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Host {
    /// Starts the plugin as go-plugin does, with the log at its most talkative.
    pub(super) async fn start(settings: Value) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gpx_assay"))
            .env("grafana_plugin_type", "datasource")
            .env("PLUGIN_PROTOCOL_VERSIONS", "2")
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built for this test");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let log = collect(child.stderr.take().expect("stderr is piped"));
        let mut handshake = String::new();
        stdout.read_line(&mut handshake).await.unwrap();
        let address = handshake.split('|').nth(3).unwrap_or_else(|| panic!("no handshake: {handshake:?}")).to_owned();
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { child, channel, role: Some("Admin"), settings, handshake, stdout, log }
    }

    fn context(&self) -> Option<PluginContext> {
        Some(PluginContext {
            org_id: 1,
            plugin_id: "assay-logs-datasource".to_owned(),
            user: self.role.map(|role| User { login: "u".to_owned(), role: role.to_owned(), ..Default::default() }),
            data_source_instance_settings: Some(DataSourceInstanceSettings {
                uid: "assay".to_owned(),
                json_data: self.settings.to_string().into_bytes(),
                decrypted_secure_json_data: HashMap::from([("hashKey".to_owned(), CANARY.to_owned())]),
                last_updated_ms: 1,
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    /// A call without a generated stub.
    pub(super) async fn call<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = path.parse().unwrap();
        grpc.unary(Request::new(question), path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    }

    /// Asks queries `A`, `B`, … and gives their answers in that order.
    pub(super) async fn ask(&self, queries: &[&[u8]]) -> Vec<DataResponse> {
        let queries: Vec<DataQuery> = (b'A'..).zip(queries).map(|(id, json)| query(id, json)).collect();
        let ids: Vec<String> = queries.iter().map(|query| query.ref_id.clone()).collect();
        let question = QueryDataRequest { plugin_context: self.context(), queries, ..Default::default() };
        let mut answers: QueryDataResponse = self.call("/pluginv2.Data/QueryData", question).await.unwrap();
        ids.iter().map(|id| answers.responses.remove(id).unwrap_or_else(|| panic!("no answer to {id}"))).collect()
    }

    pub(super) async fn ask_one(&self, query: Value) -> DataResponse {
        self.ask(&[query.to_string().as_bytes()]).await.remove(0)
    }

    pub(super) async fn health(&self) -> CheckHealthResponse {
        let request = CheckHealthRequest { plugin_context: self.context(), ..Default::default() };
        DiagnosticsClient::new(self.channel.clone()).check_health(request).await.unwrap().into_inner()
    }

    /// Asks for the end as go-plugin does; gives the exit status, the log, and what was printed on standard output
    /// after the handshake.
    pub(super) async fn stop(mut self) -> (ExitStatus, String, String) {
        let _: Empty = self.call("/plugin.GRPCController/Shutdown", Empty {}).await.unwrap();
        drop(self.channel);
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("go-plugin would have killed it");
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).await.unwrap();
        let log = String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned();
        (status.unwrap(), log, printed)
    }
}

fn query(id: u8, json: &[u8]) -> DataQuery {
    let named: Option<String> =
        serde_json::from_slice::<Value>(json).ok().and_then(|json| Some(json.get("queryType")?.as_str()?.to_owned()));
    DataQuery {
        ref_id: char::from(id).to_string(),
        query_type: named.unwrap_or_default(),
        json: json.to_vec(),
        time_range: Some(TimeRange { from_epoch_ms: 1_700_000_000_000, to_epoch_ms: 1_700_003_600_000 }),
        ..Default::default()
    }
}

fn collect(mut from: impl AsyncRead + Unpin + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&log);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            into.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    });
    log
}

/// The frames of an answer.
pub(super) fn frames(answer: &DataResponse) -> Vec<(SchemaRef, Vec<RecordBatch>)> {
    assert_eq!((answer.status, answer.error.as_str()), (200, ""));
    let read = |bytes: &Vec<u8>| {
        let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
        (reader.schema(), reader.collect::<Result<_, _>>().unwrap())
    };
    answer.frames.iter().map(read).collect()
}
