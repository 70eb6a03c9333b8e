//! Examples for the help of every command. They stand in one table, so that a test can hold each of them to the
//! command line as it is.

use clap::Command;

/// The words of a command and its examples.
const EXAMPLES: &[(&str, &str)] = &[
    ("", "assay doctor\nassay digest app.log\nassay analyze --file app.log\nassay eval run experiments/demo.toml"),
    (
        "analyze",
        "assay analyze --file app.log --label container=etcd --label namespace=kube-system\n\
         kubectl logs -n monitoring prometheus-0 | assay analyze --file - --label container=prometheus\n\
         assay analyze --file app.log --url http://127.0.0.1:8080 --prompt triage@2 --json\n\
         assay analyze --loki http://127.0.0.1:3100 '{namespace=\"monitoring\"}' --since 1h",
    ),
    ("completions", "assay completions bash > ~/.local/share/bash-completion/completions/assay"),
    (
        "digest",
        "assay digest app.log --budget 2000\n\
         journalctl -u containerd -o short-iso | assay digest - --label container=containerd\n\
         assay digest app.log --explain 812\n\
         assay digest app.log --explain 'connection refused'\n\
         assay digest app.log --json | jq '.templates[] | select(.id == null)'",
    ),
    ("doctor", "assay doctor\nassay doctor --json | jq '.[] | select(.state != \"ok\")'"),
    ("eval", "assay eval run experiments/demo.toml\nassay eval list\nassay eval compare A B"),
    (
        "eval run",
        "assay eval run experiments/demo.toml\nassay eval run experiments/demo.toml --model my-model.gguf --context 8192",
    ),
    ("eval resume", "assay eval resume\nassay eval resume 20261123T220203000Z-rules"),
    ("eval list", "assay eval list\nassay eval list --json | jq -r '.[].id'"),
    ("eval show", "assay eval show rules\nassay eval show triage2-q8 --by split\nassay eval show 20261123 --json"),
    ("eval score", "assay eval score triage2-q8\nassay eval score triage2-q8 --write"),
    (
        "eval gate",
        "assay eval gate triage2-q8 --baseline nightly\nassay eval gate B --baseline A --margin 0.03 --format junit",
    ),
    ("eval baseline", "assay eval baseline set nightly triage2-q8\nassay eval baseline list"),
    ("eval baseline set", "assay eval baseline set nightly triage2-q8"),
    ("eval baseline list", "assay eval baseline list"),
    ("eval baseline show", "assay eval baseline show nightly"),
    ("eval reproduce", "assay eval reproduce triage2-q8"),
    ("eval push", "assay eval push triage2-q8 --to http://localhost:3000/api/datasources/uid/assay/resources"),
    (
        "eval report",
        "assay eval report triage1-q8 triage2-q8 --out report.html\nassay eval report A B --format markdown",
    ),
    (
        "eval power",
        "assay eval power triage2-q8 --effect 0.05,0.1\nassay eval power triage2-q8 --against triage1-q8\n\
         assay eval power --clusters 86 --discordant 0.2 --effect 0.1",
    ),
    ("eval compare", "assay eval compare rules my-arm\nassay eval compare A B --metric severity --margin 0.02"),
    ("exit-codes", "assay help exit-codes"),
    ("golden", "assay golden stats golden-v1\nassay golden show golden-v1 g1-001"),
    ("golden verify", "assay golden verify golden-v1"),
    ("golden stats", "assay golden stats golden-v1\nassay golden stats golden-v1 --json | jq .agreement"),
    ("golden show", "assay golden show golden-v1 g1-001 --budget 500"),
    ("prompt", "assay prompt list\nassay prompt show triage@2\nassay prompt check"),
    ("prompt list", "assay prompt list\nassay prompt list --json"),
    ("prompt show", "assay prompt show triage@2"),
    (
        "prompt render",
        "assay prompt render --cases golden/golden-v1/cases.jsonl --case g1-001 --prompt triage@2 | jq -r .user",
    ),
    ("prompt check", "assay prompt check"),
    ("prompt release", "assay prompt release triage@3"),
    ("route", "assay route explain --label namespace=kube-system --label container=etcd"),
    (
        "route explain",
        "assay route explain --label namespace=kube-system --label container=etcd\n\
         assay route explain --file app.log\n\
         assay route explain --cases golden/golden-v1/cases.jsonl",
    ),
    ("store", "assay store sample sample-store --nights 90\nassay store catalogue --store s3://runs"),
    ("store catalogue", "assay store catalogue --store s3://runs"),
    ("store sample", "assay store sample sample-store\nassay store sample calm --from store --changed 0 --nights 30"),
    (
        "why",
        "assay why 0af7651916cd43dd8448eb211c80319c\nassay why sha256:5bdcc146bf60754e\n\
         assay why triage2-q8/g1-001 --json | jq '.[0].rebuilt'",
    ),
];

/// Adds the examples to a command and all below it.
pub(super) fn add(command: Command) -> Command {
    below("", command)
}

fn below(path: &str, command: Command) -> Command {
    let command = command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        below(path.trim_start(), sub)
    });
    let Some((_, examples)) = EXAMPLES.iter().find(|(known, _)| *known == path) else { return command };
    let indented: Vec<String> = examples.lines().map(|line| format!("  {line}")).collect();
    let more = if path.is_empty() { format!("\n\n{}", super::exit::HINT) } else { String::new() };
    command.after_help(format!("Examples:\n{}{more}", indented.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn leaves(path: &str, command: &Command, found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
            leaves(&path, sub, found);
            found.push(path);
        }
    }

    #[test]
    fn every_command_has_examples_and_no_other_has() {
        let mut found = vec![String::new()];
        leaves("", &command(), &mut found);
        for path in &found {
            assert!(EXAMPLES.iter().any(|(known, _)| known == path), "`assay {path}` has no examples: add them here");
        }
        for (path, _) in EXAMPLES {
            assert!(found.iter().any(|known| known == path), "there is no `assay {path}`");
        }
    }

    #[test]
    fn every_example_is_a_command_line_that_is_accepted() {
        for line in EXAMPLES.iter().flat_map(|(_, examples)| examples.lines()) {
            let ours = line.split(" | ").find(|part| part.starts_with("assay ")).unwrap_or_else(|| panic!("{line}"));
            let ours = ours.split(" > ").next().unwrap_or_default();
            // Only single quotes around words with spaces are used above.
            let quoted = ours.split('\'').enumerate().flat_map(|(n, part)| match n % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                _ => vec![part.to_owned()],
            });
            let parsed = command().try_get_matches_from(quoted);
            let shows_help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(parsed.as_ref().is_ok() || parsed.as_ref().is_err_and(shows_help), "{line}: {parsed:?}");
        }
    }
}
