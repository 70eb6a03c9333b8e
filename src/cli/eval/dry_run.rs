//! `assay eval run --dry-run`: what would run, and for how long.

use std::collections::BTreeSet;

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use crate::experiment::Experiment;
use crate::harness::{Forecast, forecast};
use crate::installation::Installation;
use crate::store::Store;

pub(super) async fn dry_run(
    installation: &Installation,
    store: Option<&Store>,
    experiment: &Experiment,
    json: bool,
) -> Result<()> {
    let arms = forecast(installation, store, experiment).await?;
    let questions: usize = arms.iter().map(|arm| arm.questions).sum();
    let seconds: Option<f64> = arms.iter().map(|arm| arm.seconds).sum();
    let missing = arms.iter().filter_map(|arm| Some((&arm.model, arm.missing_file.as_ref()?)));
    for (model, file) in missing.collect::<BTreeSet<_>>() {
        eprintln!("warning: model `{model}`: {file} is not there");
    }
    if json {
        let value = json!({ "experiment": experiment, "arms": arms, "questions": questions, "seconds": seconds });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    println!("{}: {}", experiment.name, experiment.question);
    println!("dataset {}, profile {}, {} arms\n", experiment.dataset, experiment.profile.as_str(), arms.len());
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["ARM", "PROMPT", "MODEL", "QUESTIONS", "PROMPT TOKENS", "TIME", "FROM"]);
    for arm in &arms {
        let tokens = format!("{:.0}, at most {:.0}", arm.prompt_tokens_mean, arm.prompt_tokens_most);
        table.add_row([
            arm.arm.clone(),
            arm.prompt.clone(),
            arm.model.clone(),
            arm.questions.to_string(),
            tokens,
            duration(arm.seconds),
            basis(arm),
        ]);
    }
    println!(
        "{}\n\n{questions} questions in all; time: {}. Tokens are estimated.",
        table.trim_fmt(),
        duration(seconds)
    );
    Ok(())
}

fn basis(arm: &Forecast) -> String {
    match (&arm.from, arm.same_questions) {
        (None, _) => "no earlier run".to_owned(),
        (Some(run), true) => run.clone(),
        (Some(run), false) => format!("{run} (other questions)"),
    }
}

fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "unknown".to_owned(),
        Some(seconds) if seconds < 90.0 => format!("about {seconds:.0} s"),
        Some(seconds) if seconds < 5400.0 => format!("about {:.0} min", seconds / 60.0),
        Some(seconds) => format!("about {:.1} h", seconds / 3600.0),
    }
}
