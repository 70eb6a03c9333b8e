//! The frozen configuration of a run: what its plan says, refused where it no longer is there.

use super::error::HarnessError;
use super::plan;
use crate::experiment::Experiment;
use crate::installation::Installation;
use crate::run::Plan;

/// The experiment that asks `plan`'s questions again: its one arm, everything else as it was resolved then.
///
/// Versions of redaction, digest and scorer may have moved on: the new run's plan says so.
///
/// # Errors
/// A dataset, an ontology, a prompt or routing rules that are gone or have changed.
pub fn frozen(installation: &Installation, plan: &Plan) -> Result<Experiment, HarnessError> {
    let dataset = installation.shelf(&plan.experiment.dataset)?.manifest;
    let now = plan::pipeline(installation, &dataset, &plan.arm)?;
    let same = |field, planned: &str, found: &str| {
        let (id, wanted) = (plan.id.clone(), "reproduced");
        let (planned, now) = (planned.to_owned(), found.to_owned());
        if planned == now { Ok(()) } else { Err(HarnessError::Changed { id, wanted, field, planned, found: now }) }
    };
    let prompts = |prompts| serde_json::to_string(prompts).unwrap_or_default();
    let routes = |routes: &Option<String>| routes.clone().unwrap_or_else(|| "-".to_owned());
    let then = &plan.pipeline;
    same("dataset.sha256", &plan.dataset.sha256, &plan::identify(&dataset).sha256)?;
    same("pipeline.ontology_sha256", &then.ontology_sha256, &now.ontology_sha256)?;
    same("pipeline.routes_sha256", &routes(&then.routes_sha256), &routes(&now.routes_sha256))?;
    same("pipeline.prompts", &prompts(&then.prompts), &prompts(&now.prompts))?;
    Ok(Experiment { arms: vec![plan.arm.clone()], contrasts: Vec::new(), ..plan.experiment.clone() })
}
