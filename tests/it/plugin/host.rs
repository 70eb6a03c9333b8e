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
    CallResourceRequest, CallResourceResponse, CheckHealthRequest, CheckHealthResponse, CollectMetricsRequest,
    DataQuery, DataSourceInstanceSettings, PluginContext, QueryDataRequest, StringList, TimeRange, User,
    diagnostics_client::DiagnosticsClient, resource_client::ResourceClient,
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

/// The time range of every query: the day of the stored runs.
const RANGE: (i64, i64) = (1_795_478_400_000, 1_795_564_800_000);

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
    /// The data source that is asked.
    pub(super) uid: &'static str,
    pub(super) role: Option<&'static str>,
    /// Headers of queries.
    pub(super) headers: HashMap<String, String>,
    /// Metadata of queries and of resource calls.
    pub(super) traceparent: Option<&'static str>,
    /// Further decrypted settings.
    pub(super) secrets: HashMap<String, String>,
    /// The data source's own address: Loki's.
    pub(super) url: String,
    /// The user of basic authentication there.
    pub(super) basic_auth: Option<&'static str>,
    /// The time range of queries, in milliseconds; without one the hour that ends now.
    pub(super) range: Option<(i64, i64)>,
    pub(super) settings: Value,
    /// When the settings were saved, in milliseconds.
    pub(super) updated: i64,
    pub(super) handshake: String,
    stdout: BufReader<ChildStdout>,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Host {
    /// Starts the plugin as go-plugin does, with the log at its most talkative.
    pub(super) async fn start(settings: Value) -> Self {
        Self::start_in(settings, &[]).await
    }

    /// Starts the plugin as go-plugin does, with the log as it is for people.
    pub(super) async fn start_quietly(settings: Value) -> Self {
        Self::start_in(settings, &[("RUST_LOG", "info")]).await
    }

    /// Starts it with further variables in its environment.
    pub(super) async fn start_in(settings: Value, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gpx_assay"))
            .env("grafana_plugin_type", "datasource")
            .env("PLUGIN_PROTOCOL_VERSIONS", "2")
            .env("RUST_LOG", "trace")
            .envs(variables.iter().copied())
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
        let (headers, secrets) = (HashMap::new(), HashMap::new());
        let (role, traceparent) = (Some("Admin"), None);
        let (url, basic_auth, range) = (String::new(), None, Some(RANGE));
        Self {
            child,
            channel,
            uid: "assay",
            role,
            headers,
            traceparent,
            secrets,
            url,
            basic_auth,
            range,
            settings,
            updated: 1,
            handshake,
            stdout,
            log,
        }
    }

    pub(super) fn context(&self) -> Option<PluginContext> {
        let mut secrets = self.secrets.clone();
        secrets.entry("hashKey".to_owned()).or_insert_with(|| CANARY.to_owned());
        Some(PluginContext {
            org_id: 1,
            plugin_id: "assay-logs-datasource".to_owned(),
            user: self.role.map(|role| User { login: "u".to_owned(), role: role.to_owned(), ..Default::default() }),
            data_source_instance_settings: Some(DataSourceInstanceSettings {
                uid: self.uid.to_owned(),
                url: self.url.clone(),
                basic_auth_enabled: self.basic_auth.is_some(),
                basic_auth_user: self.basic_auth.unwrap_or_default().to_owned(),
                json_data: self.settings.to_string().into_bytes(),
                decrypted_secure_json_data: secrets,
                last_updated_ms: self.updated,
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
        let mut request = Request::new(question);
        if let Some(traceparent) = self.traceparent {
            request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        }
        grpc.unary(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    }

    /// Asks queries `A`, `B`, … and gives their answers in that order.
    pub(super) async fn ask(&self, queries: &[&[u8]]) -> Vec<DataResponse> {
        let queries: Vec<DataQuery> = (0..).zip(queries).map(|(id, json)| query(id, json, self.range)).collect();
        let ids: Vec<String> = queries.iter().map(|query| query.ref_id.clone()).collect();
        let question = QueryDataRequest { plugin_context: self.context(), queries, headers: self.headers.clone() };
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

    /// Calls a resource, with its parameters behind a `?`; gives the status and the body.
    pub(super) async fn resource(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> (i32, Value) {
        let answer = self.call_resource(method, path, body.into()).await;
        (answer.code, serde_json::from_slice(&answer.body).unwrap())
    }

    async fn call_resource(&self, method: &str, path: &str, body: Vec<u8>) -> CallResourceResponse {
        let headers =
            self.headers.iter().map(|(name, value)| (name.clone(), StringList { values: vec![value.clone()] }));
        let request = CallResourceRequest {
            plugin_context: self.context(),
            method: method.to_owned(),
            path: path.split('?').next().unwrap_or_default().to_owned(),
            url: path.to_owned(),
            headers: headers.collect(),
            body: body.into(),
        };
        let client = ResourceClient::new(self.channel.clone()).max_decoding_message_size(16 << 20);
        let mut answer = client.max_encoding_message_size(16 << 20).call_resource(request).await.unwrap().into_inner();
        answer.message().await.unwrap().unwrap()
    }

    /// The plugin's own metrics with their exemplars, and the type that they are given.
    pub(super) async fn openmetrics(&self) -> (String, String) {
        let answer = self.call_resource("GET", "metrics", Vec::new()).await;
        assert_eq!(answer.code, 200);
        (answer.headers["Content-Type"].values[0].clone(), String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// The plugin's own metrics as Grafana collects them.
    pub(super) async fn metrics(&self) -> String {
        let request = CollectMetricsRequest { plugin_context: self.context() };
        let metrics = DiagnosticsClient::new(self.channel.clone()).collect_metrics(request).await.unwrap().into_inner();
        String::from_utf8(metrics.metrics.unwrap().prometheus.to_vec()).unwrap()
    }

    /// Resident memory of the process, in bytes.
    pub(super) fn memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
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

fn query(id: usize, json: &[u8], range: Option<(i64, i64)>) -> DataQuery {
    let (from, to) = range.unwrap_or_else(|| {
        let now = chrono::Utc::now().timestamp_millis();
        (now - 3_600_000, now + 60_000)
    });
    let named: Option<String> =
        serde_json::from_slice::<Value>(json).ok().and_then(|json| Some(json.get("queryType")?.as_str()?.to_owned()));
    DataQuery {
        ref_id: if id < 26 { char::from(b'A' + id as u8).to_string() } else { format!("Q{id}") },
        query_type: named.unwrap_or_default(),
        json: json.to_vec(),
        time_range: Some(TimeRange { from_epoch_ms: from, to_epoch_ms: to }),
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
