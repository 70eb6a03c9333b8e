//! Recall of the decisive entry under a budget: the digest against simple sampling.

use anyhow::Result;
use assay::digest::{Budget, Digest, digest};
use assay::stream::Window;

use super::{Case, cases};

const BUDGETS: [usize; 4] = [500, 1000, 2000, 4000];

/// Ways to choose lines under a budget: what a reader has without a digest.
const SAMPLERS: [&str; 4] = ["head", "tail", "random", "errors only"];

pub(super) fn recall(files: &[String]) -> Result<()> {
    let mut all = Vec::new();
    for file in files {
        all.extend(cases(file)?.into_iter().filter(|case| !case.target.decisive.is_empty()));
    }
    let windows: Vec<Window> = all.iter().map(Case::window).collect();
    println!("{} cases with a decisive entry, of {} captures", all.len(), {
        let mut clusters: Vec<&str> = all.iter().map(|case| case.cluster.as_str()).collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters.len()
    });
    println!("tokens | digest: line shown | digest: template shown | {}", SAMPLERS.join(" | "));
    println!("---: | ---: | ---: | {}", ["---:"; SAMPLERS.len()].join(" | "));
    let mut missed = Vec::new();
    for budget in BUDGETS {
        let digests: Vec<Digest> = windows.iter().map(|window| digest(window, Budget::new(budget))).collect();
        let pairs = || all.iter().map(|case| &case.target.decisive).zip(&digests);
        let share = |hits: usize| format!("{:.1} %", 100.0 * hits as f64 / all.len().max(1) as f64);
        let mut row = vec![
            budget.to_string(),
            share(all.iter().zip(&digests).filter(|(case, digest)| line_shown(case, digest)).count()),
            share(
                pairs().filter(|(decisive, digest)| decisive.iter().any(|&e| digest.template_of(e).is_some())).count(),
            ),
        ];
        for sampler in SAMPLERS {
            let hits = all.iter().zip(&windows).filter(|(case, window)| {
                let kept = sample(sampler, window, budget);
                case.target.decisive.iter().any(|entry| kept.contains(entry))
            });
            row.push(share(hits.count()));
        }
        println!("{}", row.join(" | "));
        for (case, _) in all.iter().zip(&digests).filter(|(case, digest)| !line_shown(case, digest)) {
            missed.push(format!("{budget}: {}", case.id));
        }
    }
    println!("\nline not shown, by budget: {}", missed.join(", "));
    Ok(())
}

/// Whether a line that shows the cause is itself printed, not only counted under a template that prints another: it is
/// the exemplar or a further line, or the text holds it, as it does the last line of a stack trace.
fn line_shown(case: &Case, digest: &Digest) -> bool {
    let decisive = &case.target.decisive;
    let whole = |&entry: &usize| {
        let line = case.entries[entry].2.trim();
        line.len() > 8 && digest.text.contains(line)
    };
    let printed = digest.templates.iter().flat_map(|shown| shown.further.iter().chain([&shown.exemplar]));
    printed.into_iter().any(|entry| decisive.contains(entry)) || decisive.iter().any(whole)
}

/// The entries that `sampler` keeps within the budget.
fn sample(sampler: &str, window: &Window, budget: usize) -> Vec<usize> {
    let count = window.entries.len();
    let mut order: Vec<usize> = (0..count).collect();
    match sampler {
        "tail" => order.reverse(),
        "random" => order.sort_by_key(|&n| {
            (n as u64)
                .wrapping_add(1)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
                .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        }),
        "errors only" => order.retain(|&n| {
            let line = window.entries[n].line.to_lowercase();
            ["error", "fatal", "panic", "fail", "crit", "emerg"].iter().any(|word| line.contains(word))
        }),
        _ => {}
    }
    let mut left = budget * 3;
    let fits = |&n: &usize| {
        let len = window.entries[n].line.len() + 1;
        let fits = len <= left;
        left = left.saturating_sub(len);
        fits
    };
    order.into_iter().take_while(fits).collect()
}
