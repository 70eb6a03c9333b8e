//! Grafana Live: the progress of a question about live logs, on the channel `analyze/<key>`.
//!
//! Who asks a question is told its channel in the answer; whoever knows no question of the data source gets no channel.
//! A packet is a frame as JSON with one row. The stream ends with the question; when Grafana ends it, because the last
//! viewer has left, the question is dropped unless an alert or a schedule wants it too.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream as Futures;
use futures::stream;
use grafana_plugin_sdk::pluginv2::{self, PluginContext};
use pluginv2::{publish_stream_response, subscribe_stream_response};
use tonic::{Request, Response, Status};

use super::instance::Instances;
use crate::frame::{Field, Frame, FrameType};
use crate::live::{Desk, Key, Progress, Stage, Viewer};

/// The least time between two packets: a person sees no more, and a model tells of every token.
const PAUSE: Duration = Duration::from_millis(200);

/// The Stream service.
pub(super) struct Stream {
    instances: Arc<Instances>,
}

type Packet = Result<pluginv2::StreamPacket, Status>;

impl Stream {
    pub(super) fn new(instances: Arc<Instances>) -> Self {
        Self { instances }
    }

    /// The desk and the question that a channel is about, if the desk knows it.
    async fn question(&self, context: Option<PluginContext>, path: &str) -> Option<(Arc<Desk>, Key)> {
        let key: Key = path.strip_prefix("analyze/")?.parse().ok()?;
        let instance = self.instances.get(context);
        // Under forwarded identities nothing is shared.
        if instance.forwards_identity() {
            return None;
        }
        let desk = instance.desk().await.ok()?;
        desk.knows(&key).await.then_some((desk, key))
    }
}

#[tonic::async_trait]
impl pluginv2::stream_server::Stream for Stream {
    type RunStreamStream = Pin<Box<dyn Futures<Item = Packet> + Send>>;

    async fn subscribe_stream(
        &self,
        request: Request<pluginv2::SubscribeStreamRequest>,
    ) -> Result<Response<pluginv2::SubscribeStreamResponse>, Status> {
        let request = request.into_inner();
        let known = self.question(request.plugin_context, &request.path).await.is_some();
        let status = match known {
            true => subscribe_stream_response::Status::Ok,
            false => subscribe_stream_response::Status::NotFound,
        };
        Ok(Response::new(pluginv2::SubscribeStreamResponse { status: status.into(), ..Default::default() }))
    }

    async fn run_stream(
        &self,
        request: Request<pluginv2::RunStreamRequest>,
    ) -> Result<Response<Self::RunStreamStream>, Status> {
        let request = request.into_inner();
        let gone = || Status::not_found("no such channel: ask the question first");
        let (desk, key) = self.question(request.plugin_context, &request.path).await.ok_or_else(gone)?;
        let viewer = desk.view(&key).await.ok_or_else(gone)?;
        Ok(Response::new(Box::pin(packets(viewer))))
    }

    async fn publish_stream(
        &self,
        _: Request<pluginv2::PublishStreamRequest>,
    ) -> Result<Response<pluginv2::PublishStreamResponse>, Status> {
        let status = publish_stream_response::Status::PermissionDenied.into();
        Ok(Response::new(pluginv2::PublishStreamResponse { status, ..Default::default() }))
    }
}

/// What a viewer sees, a packet each; whoever drops it leaves.
fn packets(viewer: Viewer) -> impl Futures<Item = Packet> + Send {
    stream::unfold((viewer, false), |(mut viewer, again)| async move {
        if again {
            tokio::time::sleep(PAUSE).await;
        }
        let progress = viewer.next().await?;
        let data = progress_frame(&progress).to_json().to_string().into();
        Some((Ok(pluginv2::StreamPacket { data }), (viewer, true)))
    })
}

/// One row: what happens, for how long, how many tokens of the answer there are, and words for a person.
fn progress_frame(progress: &Progress) -> Frame {
    let (tokens, message) = told(&progress.stage);
    Frame::new("progress", FrameType::Table)
        .with(Field::text("state", [progress.stage.word()]))
        .with(Field::float("elapsed", [progress.elapsed.as_secs_f64() * 1e3]).shown(|config| config.unit("ms")))
        .with(Field::float("tokens", [f64::from(tokens)]))
        .with(Field::text("message", [message]))
}

fn told(stage: &Stage) -> (u32, String) {
    match stage {
        Stage::Queued { ahead: 0 } => (0, "next in turn".to_owned()),
        Stage::Queued { ahead } => (0, format!("{ahead} questions are before it")),
        Stage::Reading => (0, "reading the logs".to_owned()),
        Stage::Digested { lines, templates } => (0, format!("{lines} lines in {templates} templates")),
        Stage::Asking { model, prompt_done, prompt_total, tokens } if *tokens == 0 && *prompt_total > 0 => {
            (0, format!("{model} has read {prompt_done} of {prompt_total} tokens"))
        }
        Stage::Asking { model, tokens, .. } => (*tokens, format!("{model} answers")),
        Stage::Done(_) => (0, String::new()),
        Stage::Failed(failed) => (0, failed.failure.to_string()),
    }
}
