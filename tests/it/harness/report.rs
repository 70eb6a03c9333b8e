//! The report page from outside: whole, readable, harmless, and refused where it would mislead.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;

use super::crashes::RULES;
use super::folder::{Folder, stderr};
use crate::gguf::Habit;

/// A log line that would run, and one whose order is not what it seems.
const HOSTILE: &str = "<script>alert(1)</script> & <b>bold</b> | \u{202e}desrever";

/// An installation with `arms` runs of the rule baseline, the last of them under a demo model's name, over cases of
/// which the first has a hostile line in place of its fault.
fn installation(arms: usize) -> Folder {
    let folder = Folder::new(8, Habit::Brief);
    folder.edit("golden/small/cases.jsonl", "write /data/wal: no space left on device", HOSTILE);
    folder.edit("golden/small/cases.jsonl", "Made for a test.", "Made \u{202e}for a test.");
    rehash(&folder);
    let models = std::fs::read_to_string(folder.path("models/models.toml")).unwrap();
    let demo = "\n[[model]]\nname = 'toy'\ndescription = 'rules under another name'\nkind = 'rules'\ndemo = true\n";
    folder.write("models/models.toml", &format!("{models}{demo}"));
    let mut experiment = "name = 'small <i>'\nquestion = 'is a|b & c?'\ndataset = 'small'\nprimary = 'root_cause'\n\
                          margin = 0.05\ndigest_tokens = 300\n"
        .to_owned();
    for arm in 0..arms {
        let model = if arm > 0 && arm + 1 == arms { "toy" } else { "rules" };
        let budget = 300 + 50 * arm;
        writeln!(
            experiment,
            "[[arm]]\nname = 'arm{arm}'\nprompt = 'triage@1'\nmodel = '{model}'\ndigest_tokens = {budget}"
        )
        .unwrap();
    }
    folder.write("experiment.toml", &experiment);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    folder
}

fn rehash(folder: &Folder) {
    let cases = std::fs::read_to_string(folder.path("golden/small/cases.jsonl")).unwrap();
    let manifest = std::fs::read_to_string(folder.path("golden/small/dataset.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("sha256 = ")).unwrap().to_owned();
    folder.edit("golden/small/dataset.toml", &line, &format!("sha256 = \"{}\"", assay::hash::sha256(&cases)));
}

fn page(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.assay(&[&["eval", "report"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(folder: &Folder, runs: &[&str]) -> String {
    let output = folder.assay(&[&["eval", "report"], runs].concat());
    assert!(!output.status.success() && output.stdout.is_empty(), "{runs:?} was not refused");
    stderr(&output)
}

#[test]
fn a_reader_who_closes_the_page_early_is_no_error() {
    let folder = installation(2);
    let mut command = folder.command(&["eval", "report", "arm0", "arm1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn a_margin_that_no_share_can_lose_is_refused() {
    let folder = installation(2);
    for command in [&["compare", "arm0", "arm1"][..], &["gate", "arm1", "--baseline", "arm0"]] {
        let output = folder.assay(&[&["eval"], command, &["--margin", "5"]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("0.05 is 5 percentage points"), "{}", stderr(&output));
    }
}

#[test]
fn log_lines_come_from_the_dataset_that_the_experiment_names() {
    let folder = Folder::new(4, Habit::Brief);
    std::fs::rename(folder.path("golden/small"), folder.path("golden/elsewhere")).unwrap();
    folder.write("experiment.toml", &RULES.replace("dataset = 'small'", "dataset = 'golden/elsewhere'"));
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let output = folder.assay(&["eval", "report", "rules"]);
    assert!(output.status.success() && !stderr(&output).contains("no log lines"), "{}", stderr(&output));
}

/// Opening tags in order, without their attributes; every element must be closed where it belongs.
fn elements(html: &str) -> Vec<String> {
    let body = html.split_once("</style>").unwrap();
    let (mut open, mut all) = (vec!["html".to_owned(), "head".to_owned()], Vec::new());
    for piece in body.1.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("a tag without end: {piece}"));
        let name = |tag: &str| tag.split([' ', '/', '\n']).next().unwrap().to_owned();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop().as_deref(), Some(closed), "before {piece}"),
            None if tag.ends_with('/') || name(tag) == "br" => all.push(name(tag)),
            None => {
                all.push(name(tag));
                open.push(name(tag));
            }
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    all
}

/// Values of an attribute.
fn attributes<'h>(html: &'h str, name: &str) -> BTreeSet<&'h str> {
    let start = format!(" {name}=\"");
    html.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_page_of_one_two_and_five_runs_is_whole_and_asks_for_nothing() {
    let folder = installation(5);
    for runs in [&["arm0"][..], &["arm0", "arm1"], &["arm0", "arm1", "arm2", "arm3", "arm4"]] {
        let html = page(&folder, runs);
        let elements = elements(&html);
        let count = |name: &str| elements.iter().filter(|element| *element == name).count();
        assert_eq!((count("h1"), count("main")), (1, 1));
        assert_eq!(count("table"), count("caption"), "every table says what it is");
        let headings: Vec<u32> = elements.iter().filter_map(|name| name.strip_prefix('h')?.parse().ok()).collect();
        assert!(headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "a heading level is skipped: {headings:?}");
        let plots = if runs.len() == 1 { 3 } else { 3 + 2 * (runs.len() - 1) };
        assert_eq!(count("svg"), plots);
        assert_eq!(html.matches("role=\"img\" aria-label=").count(), plots);
        assert_eq!(html.matches("cannot tell").count() > 0, runs.len() > 1);
        assert_eq!(html.contains("did not declare this comparison"), runs.len() > 1);
        assert_eq!(html.contains("A demo model is among these runs"), runs.len() == 5);
        for id in ["said", "arms", "outcomes", "subsets", "time", "confusion", "cases", "provenance"] {
            assert!(html.contains(&format!("<h2 id=\"{id}\">")), "{id} is missing");
        }
        for foreign in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe", " on"] {
            let attribute = foreign == " on";
            let found = if attribute {
                html.contains(" onload=") || html.contains(" onerror=")
            } else {
                html.contains(foreign)
            };
            assert!(!found, "{foreign} in the page");
        }
    }
    // The same runs give the same bytes.
    assert_eq!(page(&folder, &["arm0", "arm1"]), page(&folder, &["arm0", "arm1"]));
}

#[test]
fn every_colour_of_a_plot_has_a_light_and_a_dark_form() {
    let folder = installation(2);
    let html = page(&folder, &["arm0", "arm1"]);
    let (style, body) = html.split_once("</style>").unwrap();
    assert!(style.contains("@media screen and (prefers-color-scheme: dark)") && style.contains("@media print"));
    assert!(html.contains("<meta name=\"color-scheme\" content=\"light dark\">"));
    for attribute in ["fill", "stroke"] {
        for colour in attributes(body, attribute).into_iter().filter(|colour| *colour != "none") {
            let rule = format!("svg [{attribute}=\"{colour}\"]{{{attribute}:var(--");
            assert!(style.contains(&rule), "{attribute} {colour} stays as it is in the dark");
        }
    }
    for variable in ["--ink", "--muted", "--run-0", "--run-1", "--class-7", "--paper"] {
        assert!(style.matches(&format!("{variable}:#")).count() >= 2, "{variable} has one form only");
    }
}

#[test]
fn log_text_is_shown_and_never_interpreted() {
    let folder = installation(2);
    let html = page(&folder, &["arm0", "arm1"]);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt; &amp; &lt;b&gt;"), "the line is not shown");
    // The digest drops what reorders a line; a summary has it spelt out.
    assert!(html.contains("?desrever") && html.contains("Made \\u{202e}for") && !html.contains('\u{202e}'));
    assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("<i>"));
    assert!(html.contains("<title>assay: small &lt;i&gt;</title>"));

    let markdown = page(&folder, &["arm0", "arm1", "--format", "markdown"]);
    assert!(markdown.starts_with("### assay: small &lt;i&gt;\n\nis a\\|b &amp; c?\n"), "{markdown}");
    // Between backticks nothing is markup.
    let prose: String = markdown.split('`').step_by(2).collect();
    assert!(!prose.contains("<script") && !prose.contains("<i>"), "{prose}");
    let widths: BTreeSet<usize> = markdown
        .lines()
        .skip_while(|line| !line.starts_with("| metric"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.matches('|').count())
        .collect();
    assert_eq!(widths, BTreeSet::from([4]), "{markdown}");
}

#[test]
fn the_case_that_every_run_failed_stands_with_its_digest_and_both_verdicts() {
    let folder = installation(2);
    let html = page(&folder, &["arm0", "arm1"]);
    let (_, cases) = html.split_once("Failed by every run").unwrap();
    let (_, case) = cases.split_once("<h4>s-000</h4>").unwrap();
    let (case, _) = case.split_once("</article>").unwrap();
    for expected in ["<code>disk_full</code>", "✗ wrong", "Digest seen by A arm0", "◆", "LOGS 6 lines", "demo model"]
    {
        assert!(case.contains(expected), "{expected} is missing in {case}");
    }
    assert!(!case.contains("Not what the model saw"), "{case}");

    // Another dataset at hand: no line of it is shown as if it had been asked about.
    folder.edit("golden/small/cases.jsonl", "request 0 served", "request 0 refused");
    rehash(&folder);
    let output = folder.assay(&["eval", "report", "arm0", "arm1"]);
    assert!(stderr(&output).contains("warning: the page shows no log lines"), "{}", stderr(&output));
    let html = String::from_utf8(output.stdout).unwrap();
    assert!(html.contains("No log lines are shown:") && !html.contains("request 0"));
    assert!(html.contains("<h4>s-000</h4>"), "the verdicts are known all the same");
}

#[test]
fn runs_that_do_not_belong_on_a_page_are_refused_by_name() {
    let folder = installation(2);
    let ids: Vec<String> = folder
        .json(&["eval", "list", "--json"])
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    let twice = refusal(&folder, &["arm0", "arm0"]);
    assert!(twice.contains("is named twice"), "{twice}");

    folder.edit("golden/small/cases.jsonl", "request 0 served", "request 0 refused");
    rehash(&folder);
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let other = refusal(&folder, &["arm0", &ids[0]]);
    assert!(other.contains(&ids[0]) && other.contains("`dataset.sha256`"), "{other}");

    std::fs::remove_file(folder.path("store/runs").join(&ids[0]).join("run.json")).unwrap();
    let unpublished = refusal(&folder, &["arm0", &ids[0]]);
    assert!(unpublished.contains(&ids[0]) && unpublished.contains("not finished"), "{unpublished}");
}

#[test]
fn what_was_not_measured_is_not_zero_and_a_demo_model_is_marked() {
    let folder = Folder::new(4, Habit::Brief);
    let models = std::fs::read_to_string(folder.path("models/models.toml")).unwrap();
    folder.write("models/models.toml", &format!("{models}demo = true\n"));
    folder.json(&["eval", "run", "experiment.toml", "--json"]);
    let html = page(&folder, &["rules", "a", "b"]);
    elements(&html);
    let row = html.lines().find(|line| line.contains("<code>prompt_tokens</code>")).unwrap();
    let cells: Vec<&str> = row.split("<td class=\"number\">").skip(2).collect();
    assert_eq!(cells.len(), 3, "{row}");
    assert!(cells[0].contains("not measured") && !cells[0].contains(">0<"), "{row}");
    assert!(!cells[1].contains("not measured"), "{row}");
    // Declared: a with b. The rules stand in the tables and are compared with nobody.
    assert!(html.contains("C b (demo model) against B a (demo model)") && !html.contains("against A rules"));
    assert!(html.matches("<span class=\"demo\">demo model</span>").count() > 12);
    let markdown = page(&folder, &["rules", "a", "b", "--format", "markdown"]);
    assert!(markdown.contains("[!WARNING]") && markdown.contains("C `b` (demo model)"), "{markdown}");
}
