//! Checks of the store: can it be written, and is every run in it whole?

use std::path::Path;

use super::Finding;
use crate::store::Store;

pub(super) async fn store(url: &str) -> Vec<Finding> {
    if let Some(folder) = super::machine::local(url).filter(|folder| !folder.exists()) {
        return vec![absent(url, &folder)];
    }
    let store = match Store::open(url) {
        Ok(store) => store,
        Err(error) => return vec![Finding::of_error("store", &error, "give --store or ASSAY_STORE")],
    };
    let mut findings: Vec<Finding> =
        super::machine::local(url).and_then(|folder| unwritable(url, &folder)).into_iter().collect();
    let ids = match store.ids().await {
        Ok(ids) => ids,
        Err(error) => {
            findings.push(Finding::of_error("store", &error, "check the folder and its permissions"));
            return findings;
        }
    };
    let (mut published, mut unfinished) = (0, 0);
    for id in &ids {
        match store.record(id).await {
            Ok(Some(_)) => match store.run(id).await {
                Ok(_) => published += 1,
                Err(error) => findings.push(damaged(id, &error)),
            },
            Ok(None) => unfinished += 1,
            Err(error) => findings.push(damaged(id, &error)),
        }
    }
    let detail = format!("{}: {published} runs published and whole", store.url());
    findings.insert(
        0,
        match unfinished {
            0 => Finding::ok("store", detail),
            _ => Finding::warn(
                "store",
                format!("{detail}, {unfinished} unfinished"),
                "`assay eval resume` continues them",
            ),
        },
    );
    findings
}

/// The others are unaffected, so this is no failure of the whole.
fn damaged(id: &str, error: &impl std::fmt::Display) -> Finding {
    let finding = Finding::of_error(format!("run {id}"), error, "remove the run or restore it");
    Finding { state: super::State::Warn, ..finding }
}

fn absent(url: &str, folder: &Path) -> Finding {
    let parent = folder.ancestors().skip(1).find(|parent| parent.exists()).unwrap_or(Path::new("."));
    match unwritable(url, parent) {
        Some(finding) => finding,
        None => Finding::ok("store", format!("{url} is not there yet; the first run makes it")),
    }
}

fn unwritable(url: &str, folder: &Path) -> Option<Finding> {
    let error = tempfile::NamedTempFile::new_in(folder).err()?;
    let fix = "check its permissions, or give --store or ASSAY_STORE";
    Some(Finding::fail("store", format!("{url} cannot be written: {error}"), fix))
}
