//! Messages that the SDK's stubs lack or know only in an older form.
//!
//! Field numbers after grafana-plugin-sdk-go 0.296.3 (`proto/backend.proto`), go-plugin 1.8 (`grpc_controller.proto`) and
//! gRPC's health protocol (`grpc.health.v1`). What is not set is not sent, so an older Grafana reads them too.

use std::collections::HashMap;

/// The answers to a request, by the query's refId.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueryDataResponse {
    #[prost(map = "string, message", tag = "1")]
    pub(super) responses: HashMap<String, DataResponse>,
}

/// The answer to one query: frames, or an error.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DataResponse {
    /// Frames as Arrow IPC files.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) frames: Vec<Vec<u8>>,
    /// The error's message; empty for none.
    #[prost(string, tag = "2")]
    pub(super) error: String,
    /// The status, as HTTP has it.
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
    /// Whose fault the error is: `plugin` or `downstream`.
    #[prost(string, tag = "5")]
    pub(super) error_source: String,
}

/// go-plugin's empty message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}

/// Which service is asked after; empty for the server as a whole.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

/// How the service is: 1 for serving.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

#[cfg(test)]
mod tests {
    use grafana_plugin_sdk::pluginv2;
    use prost::Message;

    use super::*;

    /// The SDK's older message reads ours, and the field that it does not know is where Grafana looks for it.
    #[test]
    fn the_answer_is_wire_compatible_with_the_stubs() {
        let ours = DataResponse {
            frames: vec![vec![1, 2]],
            error: "no".to_owned(),
            status: 404,
            error_source: "downstream".to_owned(),
        };
        let answers = QueryDataResponse { responses: HashMap::from([("A".to_owned(), ours)]) };
        let bytes = answers.encode_to_vec();
        let theirs = pluginv2::QueryDataResponse::decode(bytes.as_slice()).unwrap();
        let theirs = &theirs.responses["A"];
        assert_eq!((&theirs.frames[0][..], theirs.error.as_str(), theirs.status), (&[1, 2][..], "no", 404));
        let field_5 = [&[5 << 3 | 2, 10][..], b"downstream"].concat();
        assert!(bytes.windows(field_5.len()).any(|window| window == field_5));
    }
}
