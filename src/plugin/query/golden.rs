//! `golden`: what everything is measured on. A row per dataset with its coverage, the agreement of its two readers and
//! its age; or, for one dataset, how many cases there are of what, the labels without any included.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;

use super::{Ask, QueryType, count};
use crate::frame::{Config, Field, Frame, FrameType, Severity, Thresholds};
use crate::golden::{Coverage, Dataset};
use crate::installation::{load_dataset, load_prompts};
use crate::ontology::{Ontology, Severity as Badness};
use crate::plugin::error::{QueryError, one_line};
use crate::plugin::settings::ROOT_PATH;
use crate::problem::did_you_mean;
use crate::score::agreement::{Agreement, agreement};

/// `golden` in the registry.
pub(super) const TYPE: QueryType = QueryType { name: "golden", answer: |ask| Box::pin(answer(ask)) };

/// What rows are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// Datasets.
    #[default]
    Dataset,
    /// Labels of the ontology.
    RootCause,
    /// The user's families of components.
    Family,
    /// What cases test.
    Split,
    /// How hard they were judged.
    Difficulty,
    /// How bad it is.
    Severity,
}

/// The query's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// What rows are.
    #[serde(default)]
    by: By,
}

/// A dataset with what else its folder's installation says of it.
struct Known {
    dataset: Dataset,
    ontology: Ontology,
    agreement: [Agreement; 3],
}

async fn answer(ask: Ask) -> Result<Vec<Frame>, QueryError> {
    let (Query { by }, filter) = ask.filtered()?;
    // Cases are counted of one dataset; without a name, of the last.
    let wanted = filter.values("dataset").to_vec();
    let Some(root) = ask.instance.root()?.map(Path::to_owned) else {
        let text = format!("set `{ROOT_PATH}` to the folder with golden/ and prompts/: datasets are read from there");
        return Ok(vec![Frame::new("golden", FrameType::Table).notice(Severity::Info, text)]);
    };
    // Megabytes are read and parsed.
    let made = tokio::task::spawn_blocking(move || frames(&root, by, &wanted)).await;
    made.map_err(|_| QueryError::Defect("the datasets could not be read".to_owned()))?
}

fn frames(root: &Path, by: By, wanted: &[String]) -> Result<Vec<Frame>, QueryError> {
    let names = names(root);
    if by == By::Dataset {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for name in names.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
            match known(root, name) {
                Ok(known) => found.push(known),
                Err(reason) => unreadable.push(reason),
            }
        }
        let mut frame = datasets(&found, Utc::now());
        for reason in unreadable {
            frame = frame.notice(Severity::Warning, reason);
        }
        if names.is_empty() {
            frame = frame.notice(Severity::Info, "no dataset in golden/: a folder there with dataset.toml is one");
        }
        return Ok(vec![frame]);
    }
    let Some(name) = wanted.first().or(names.last()) else {
        return Err(QueryError::Missing("no dataset in golden/: a folder there with dataset.toml is one".to_owned()));
    };
    if !names.contains(name) {
        let hint = did_you_mean(name, names.iter().map(String::as_str)).unwrap_or_else(|| names.join(", "));
        return Err(QueryError::Missing(format!("no dataset `{name}` in golden/: {hint}")));
    }
    Ok(vec![counts(&known(root, name).map_err(QueryError::Store)?, by)])
}

/// Folders of `golden/` with a manifest, by name.
fn names(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("golden")) else { return Vec::new() };
    let named = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.path().join("dataset.toml").is_file().then(|| entry.file_name().into_string().ok())?
    });
    let mut names: Vec<String> = named.collect();
    names.sort();
    names
}

fn known(root: &Path, name: &str) -> Result<Known, String> {
    let dataset = load_dataset(root, name).map_err(|problem| one_line(&problem))?;
    let prompts = load_prompts(root).map_err(|problem| one_line(&problem))?;
    let version = dataset.manifest.ontology;
    let ontology = prompts.ontologies().get(&version).cloned();
    let ontology = ontology.ok_or_else(|| format!("{name}: there is no prompts/ontology/{version}.toml"))?;
    let agreement = agreement(&dataset, &ontology)?;
    Ok(Known { dataset, ontology, agreement })
}

impl Known {
    fn coverage(&self) -> &Coverage {
        &self.dataset.manifest.counts
    }

    /// When its newest capture was made: the provenance says the day, or only the month.
    fn captured(&self) -> Option<DateTime<Utc>> {
        let day = |text: &str| {
            let whole = if text.len() == 7 { format!("{text}-01") } else { text.get(..10)?.to_owned() };
            NaiveDate::parse_from_str(&whole, "%Y-%m-%d").ok()
        };
        let cases = self.dataset.cases.iter();
        let newest = cases.filter_map(|case| day(&case.provenance.as_ref()?.captured)).max()?;
        Some(newest.and_hms_opt(0, 0, 0)?.and_utc())
    }

    /// Labels of the ontology with at least one case, and all there are.
    fn covered(&self) -> (usize, usize) {
        let labels = self.ontology.labels();
        let covered = labels.iter().filter(|label| self.coverage().root_cause.contains_key(&label.name)).count();
        (covered, labels.len())
    }
}

fn datasets(known: &[Known], now: DateTime<Utc>) -> Frame {
    let number = |name: &str, of: &dyn Fn(&Known) -> usize| Field::int(name, known.iter().map(|k| count(of(k))));
    let share = |name: &str, of: &dyn Fn(&Known) -> f64| {
        Field::float(name, known.iter().map(of)).shown(|config| config.unit("percentunit").range(0.0, 1.0).decimals(0))
    };
    let kappa = |name: &str, field: usize| {
        let values = known.iter().map(|known| known.agreement[field].kappa);
        Field::float_or_null(name, values).shown(kappa)
    };
    let captured = |known: &Known| known.captured();
    let mut frame = Frame::new("golden", FrameType::Table)
        .with(Field::text("dataset", known.iter().map(|known| &known.dataset.manifest.name)))
        .with(Field::int("version", known.iter().map(|known| i64::from(known.dataset.manifest.version))))
        .with(Field::bool("frozen", known.iter().map(|known| known.dataset.manifest.frozen)))
        .with(number("cases", &|known| known.coverage().total))
        .with(number("captures", &|known| known.coverage().clusters))
        .with(number("entries", &|known| known.coverage().entries))
        .with(share("labels_covered", &|known| known.covered().0 as f64 / known.covered().1.max(1) as f64))
        .with(share("reviewed_twice", &|known| {
            known.coverage().reviewed_twice as f64 / known.coverage().total.max(1) as f64
        }))
        .with(kappa("kappa_root_cause", 0))
        .with(kappa("kappa_severity", 1))
        .with(Field::time_or_null("captured", known.iter().map(|known| captured(known)?.timestamp_nanos_opt())))
        .with(
            Field::float_or_null("age", known.iter().map(|known| Some((now - captured(known)?).num_seconds() as f64)))
                .shown(|config| config.unit("s").decimals(0).description("since the newest capture")),
        )
        .with(Field::text("sha256", known.iter().map(|known| &known.dataset.manifest.sha256)));
    frame.meta.row_id_fields = vec![0];
    frame
}

/// Landis & Koch 1977 (Biometrics 33:159-174) call 0.6 and more substantial, 0.8 and more almost perfect.
fn kappa(mut config: Config) -> Config {
    config.thresholds = Some(Thresholds::absolute("red", &[(0.6, "orange"), (0.8, "green")]));
    config.decimals(2).description("agreement of the two passes beyond chance")
}

/// How many cases there are of what; what there could be and is not counts 0.
fn counts(known: &Known, by: By) -> Frame {
    let coverage = known.coverage();
    let (name, found, possible): (_, &BTreeMap<String, usize>, Vec<&str>) = match by {
        By::Family => ("family", &coverage.family, Vec::new()),
        By::Split => ("split", &coverage.split, crate::golden::Split::ALL.iter().map(|split| split.as_str()).collect()),
        By::Difficulty => ("difficulty", &coverage.difficulty, Vec::new()),
        By::Severity => ("severity", &coverage.severity, Badness::ALL.iter().map(|bad| bad.as_str()).collect()),
        By::Dataset | By::RootCause => {
            ("root_cause", &coverage.root_cause, known.ontology.labels().iter().map(|l| l.name.as_str()).collect())
        }
    };
    let mut rows: BTreeMap<&str, usize> = possible.into_iter().map(|value| (value, 0)).collect();
    rows.extend(found.iter().map(|(value, cases)| (value.as_str(), *cases)));
    let mut rows: Vec<(&str, usize)> = rows.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let missing = rows.iter().filter(|(_, cases)| *cases == 0).count();
    let cases = Field::int("cases", rows.iter().map(|(_, cases)| count(*cases)));
    let mut frame = Frame::new("golden", FrameType::NumericLong)
        .with(Field::text(name, rows.iter().map(|(value, _)| *value)))
        .with(cases.shown(|mut config| {
            config.thresholds = Some(Thresholds::absolute("red", &[(1.0, "orange"), (3.0, "green")]));
            config
        }));
    if missing > 0 {
        frame = frame.notice(Severity::Info, format!("{missing} of {} have no case", rows.len()));
    }
    frame.meta.row_id_fields = vec![0];
    frame
}
