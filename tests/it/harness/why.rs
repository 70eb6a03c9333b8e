//! `assay why`: from what a trace or a record shows back to everything that made the answer.

use super::faults::external;
use super::folder::stderr;
use super::telemetry::model;
use crate::otlp::{Manner, Receiver};

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_a_hash_and_a_case_lead_to_the_prompt_and_rebuild_it() {
    let (model, receiver) = (model().await, Receiver::http(Manner::Takes).await);
    let (folder, endpoint) = (external(model.url()), receiver.url());
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = folder.command(&["eval", "run", "experiment.toml"]);
        let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        folder
    });
    let folder = ran.await.unwrap();
    tokio::task::spawn_blocking(move || {
        let by_case = folder.json(&["why", "a/s-000", "--json"]);
        let answer = &by_case[0];
        assert_eq!((&answer["prompt"], &answer["rebuilt"]["same"]), (&"triage@1".into(), &true.into()), "{answer}");
        assert_eq!(answer["model"]["spec"]["name"], "tiny");
        let trace = answer["trace_id"].as_str().unwrap();
        let hash = answer["rendered_hash"].as_str().unwrap();
        for what in [trace, hash, &hash[..20]] {
            let found = folder.json(&["why", what, "--json"]);
            assert!(found.as_array().unwrap().iter().any(|found| found == answer), "{what}: {found}");
        }
        assert_eq!(folder.json(&["why", trace, "--json"]).as_array().unwrap().len(), 1, "a trace is one answer");

        let output = folder.assay(&["why", trace]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        for part in ["triage@1 (sha256 ", "the same hash", "tiny", "temperature 0", trace, "small (sha256 "] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
        // Another prompt under the same name is told, and ends otherwise.
        std::fs::remove_file(folder.path("prompts/prompts.lock")).ok();
        folder.edit("prompts/triage/1.md", "You read logs", "You study logs");
        let output = folder.assay(&["why", "a/s-000"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(6), "{told}");
        assert!(told.contains("ANOTHER HASH; the prompt's file was "), "{told}");

        for (what, expected) in [
            ("nonsense", "neither a trace id"),
            ("0123456789abcdef", "no answer in"),
            ("a/x", "has no answer to a case `x`"),
        ] {
            let output = folder.assay(&["why", what]);
            assert_eq!(output.status.code(), Some(1));
            assert!(stderr(&output).contains(expected), "{what}: {}", stderr(&output));
        }
    })
    .await
    .unwrap();
}
