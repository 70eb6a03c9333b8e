//! Arbitrary bytes as requests: whatever arrives, the plugin answers the next question.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::host::Host;
use super::store::store_of_two_runs;

const PATHS: [&str; 6] = [
    "/pluginv2.Data/QueryData",
    "/pluginv2.Resource/CallResource",
    "/pluginv2.Diagnostics/CheckHealth",
    "/pluginv2.Diagnostics/CollectMetrics",
    "/pluginv2.Stream/SubscribeStream",
    "/grpc.health.v1.Health/Check",
];

/// Sends bytes as they are, and takes whatever comes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length).to_vec()))
    }
}

async fn send(host: &Host, path: &'static str, message: Vec<u8>) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(host.channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let sent = grpc.server_streaming(Request::new(message), path.parse().unwrap(), Raw);
    let answer = tokio::time::timeout(Duration::from_secs(20), sent).await;
    answer.map_err(|_| Status::deadline_exceeded("no answer"))?.map(drop)
}

#[test]
fn raw_frames_never_end_the_plugin() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_store, settings) = runtime.block_on(store_of_two_runs());
    let host = runtime.block_on(Host::start(settings));
    // Arbitrary bytes, and bytes that begin as a message does, so that the fields behind the first are reached.
    let field = (1_u8..8, 0_u8..6, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(tag, kind, rest)| {
        let length = u8::try_from(rest.len()).unwrap();
        [&[tag << 3 | kind, length][..], &rest].concat()
    });
    let message = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(field, 0..6).prop_map(|fields| fields.concat()),
    ];
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(0..PATHS.len(), message), |(path, message)| {
        if let Err(status) = runtime.block_on(send(&host, PATHS[path], message)) {
            prop_assert_ne!(status.code(), tonic::Code::DeadlineExceeded);
            prop_assert_ne!(status.code(), tonic::Code::Unavailable, "{}", status.message());
        }
        Ok(())
    });
    outcome.unwrap();
    let answer = runtime.block_on(host.ask_one(json!({"queryType": "runs"})));
    assert_eq!(answer.status, 200, "{}", answer.error);
    let (_, log, _) = runtime.block_on(host.stop());
    assert!(!log.contains("a defect of the plugin was caught"), "{log}");
}
