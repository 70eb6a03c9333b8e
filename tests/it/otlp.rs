//! The receiving end of OTLP, over HTTP and over gRPC: keeps what arrives, decoded and byte for byte.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost_otlp::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response};

use crate::tls;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes what comes.
    Takes,
    /// Says that it cannot.
    Refuses,
    /// Never says anything.
    Hangs,
}

/// What has arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) resources: Vec<BTreeMap<String, String>>,
    pub(crate) spans: Vec<Span>,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) metrics: Vec<Metric>,
    /// Every message, byte for byte.
    pub(crate) bytes: Vec<u8>,
    /// Headers of every request.
    pub(crate) headers: Vec<String>,
    pub(crate) requests: usize,
}

/// A receiver on a free port.
pub(crate) struct Receiver {
    scheme: &'static str,
    address: String,
    arrived: Arc<Mutex<Arrived>>,
}

impl Receiver {
    pub(crate) async fn http(manner: Manner) -> Self {
        let (receiver, listener) = Self::bound().await;
        let arrived = Arc::clone(&receiver.arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(http(stream, manner, Arc::clone(&arrived)));
            }
        });
        receiver
    }

    pub(crate) async fn grpc(manner: Manner) -> Self {
        let (receiver, listener) = Self::bound().await;
        let arrived = Arc::clone(&receiver.arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(grpc(stream, manner, Arc::clone(&arrived)));
            }
        });
        receiver
    }

    /// One that takes what comes over TLS, with the certificate of `tests/tls`, and may want to see one too.
    pub(crate) async fn secure(protocol: &str, wants_certificate: bool) -> Self {
        let (mut receiver, listener) = Self::bound().await;
        receiver.scheme = "https";
        let (grpc_is_spoken, arrived) = (protocol == "grpc", Arc::clone(&receiver.arrived));
        let mut config = tls::server("server", wants_certificate);
        config.alpn_protocols = if grpc_is_spoken { vec![b"h2".to_vec()] } else { Vec::new() };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let arrived = Arc::clone(&arrived);
                match grpc_is_spoken {
                    true => tokio::spawn(grpc(stream, Manner::Takes, arrived)),
                    false => tokio::spawn(http(stream, Manner::Takes, arrived)),
                };
            }
        });
        receiver
    }

    async fn bound() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (Self { scheme: "http", address, arrived: Arc::default() }, listener)
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What has arrived since it was last asked for.
    pub(crate) fn arrived(&self) -> Arrived {
        std::mem::take(&mut *self.arrived.lock().unwrap())
    }
}

impl Arrived {
    fn take(&mut self, path: &str, message: &[u8]) {
        self.requests += 1;
        self.bytes.extend_from_slice(message);
        match path {
            "/v1/traces" | "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
                for part in ExportTraceServiceRequest::decode(message).unwrap().resource_spans {
                    self.resources.push(attributes(&part.resource.unwrap().attributes));
                    self.spans.extend(part.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            "/v1/logs" | "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
                for part in ExportLogsServiceRequest::decode(message).unwrap().resource_logs {
                    self.resources.push(attributes(&part.resource.unwrap().attributes));
                    self.logs.extend(part.scope_logs.into_iter().flat_map(|scope| scope.log_records));
                }
            }
            "/v1/metrics" | "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
                for part in ExportMetricsServiceRequest::decode(message).unwrap().resource_metrics {
                    self.resources.push(attributes(&part.resource.unwrap().attributes));
                    self.metrics.extend(part.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
                }
            }
            other => panic!("{other} is no place for OTLP"),
        }
    }

    /// Spans of a name.
    pub(crate) fn named(&self, name: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.name == name).collect()
    }

    /// The only span of a name.
    pub(crate) fn one(&self, name: &str) -> &Span {
        let found = self.named(name);
        let names: Vec<&str> = self.spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(found.len(), 1, "spans `{name}` among {names:?}");
        found[0]
    }
}

/// Attributes with their values as text.
pub(crate) fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    of.iter().map(|pair| (pair.key.clone(), pair.value.as_ref().map(text).unwrap_or_default())).collect()
}

/// An attribute of a span, as text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    attributes(&span.attributes).remove(key)
}

fn text(value: &AnyValue) -> String {
    match value.value.as_ref() {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::ArrayValue(values)) => format!("{:?}", values.values.iter().map(text).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, manner: Manner, arrived: Arc<Mutex<Arrived>>) {
    let mut bytes = Vec::new();
    loop {
        let (head, body) = loop {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let head = end.map(|end| String::from_utf8(bytes[..end].to_vec()).unwrap());
            let length = |head: &str| {
                let line = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                line.unwrap_or(0_usize)
            };
            if let (Some(end), Some(head)) = (end, head)
                && bytes.len() >= end + 4 + length(&head)
            {
                let body = bytes[end + 4..end + 4 + length(&head)].to_vec();
                bytes.drain(..end + 4 + body.len());
                break (head, body);
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return;
            }
        };
        if manner == Manner::Hangs {
            std::future::pending::<()>().await;
        }
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let status = if manner == Manner::Takes { "200 OK" } else { "503 Service Unavailable" };
        {
            let mut arrived = arrived.lock().unwrap();
            arrived.headers.push(head.to_ascii_lowercase());
            if manner == Manner::Takes {
                arrived.take(&path, &body);
            } else {
                arrived.requests += 1;
            }
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn grpc<S: AsyncRead + AsyncWrite + Unpin>(stream: S, manner: Manner, arrived: Arc<Mutex<Arrived>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let arrived = Arc::clone(&arrived);
        tokio::spawn(async move {
            let (head, mut body) = request.into_parts();
            let mut bytes = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                bytes.extend_from_slice(&piece);
            }
            if manner == Manner::Hangs {
                std::future::pending::<()>().await;
            }
            {
                let mut arrived = arrived.lock().unwrap();
                arrived.headers.push(format!("{:?}", head.headers));
                if manner == Manner::Takes {
                    // A flag and a length stand before the message.
                    arrived.take(head.uri.path(), &bytes[5..]);
                } else {
                    arrived.requests += 1;
                }
            }
            let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let Ok(mut stream) = respond.send_response(response, false) else { return };
            let _ = stream.send_data(vec![0; 5].into(), false);
            let status = if manner == Manner::Takes { "0" } else { "14" };
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
            let _ = stream.send_trailers(trailers);
        });
    }
}
