//! A real Prometheus: started, asked, stopped; and what it is asked by dashboards.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, or nothing on a machine that has none and can reach none.
pub(crate) fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ASSAY_PROMETHEUS") {
        return Some(PathBuf::from(path));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/prometheus");
    let output = Command::new(script).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if output.status.success() && !path.is_empty() {
        return Some(PathBuf::from(path));
    }
    assert!(std::env::var_os("CI").is_none(), "CI skips nothing that it can do: scripts/prometheus brought none");
    eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
    None
}

/// The flag that opens the place for OTLP.
const OTLP: &str = "--web.enable-otlp-receiver";

/// Whether it takes OTLP. Debian's does not: its maintainers leave that part out, and `./just test` says so at its end.
pub(crate) fn takes_otlp_or_is_skipped(program: &PathBuf) -> bool {
    let takes = takes_otlp(program);
    if !takes && let Some(skipped) = std::env::var_os("ASSAY_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(skipped).unwrap();
        writeln!(file, "metrics by OTLP into a real Prometheus: {} has no receiver", program.display()).unwrap();
    }
    takes
}

fn takes_otlp(program: &PathBuf) -> bool {
    let help = Command::new(program).arg("--help").output().unwrap();
    [help.stdout, help.stderr].iter().any(|text| String::from_utf8_lossy(text).contains(&OTLP[2..]))
}

/// How the platform's takes OTLP: that section of its configuration.
fn platforms_otlp() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/compose/prometheus.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n\n").find(|section| section.starts_with("otlp:")).unwrap();
    format!("{section}\n")
}

/// What `docs/telemetry.md` says of metrics: their names in Prometheus, with the suffixes of histograms, and what is said
/// of their labels.
pub(crate) fn documented() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/telemetry.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `gen_ai.client.") || line.starts_with("| `assay."));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let metrics = cells.filter(|cells| matches!(cells.get(3), Some(&"histogram" | &"counter" | &"gauge")));
    metrics
        .flat_map(|cells| {
            let suffixes: &[&str] = if cells[3] == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
            let name = cells[2].trim_matches('`').to_owned();
            suffixes.iter().map(move |suffix| (format!("{name}{suffix}"), cells[4].to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

/// A running one.
pub(crate) struct Prometheus {
    child: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it; it scrapes a target at a path, if there is one, and takes OTLP if it can.
    pub(crate) fn start(program: &PathBuf, target: Option<(&str, &str)>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let scrape = target.map_or(String::new(), |(target, path)| {
            format!(
                "scrape_configs:\n  - job_name: assay\n    scrape_interval: 500ms\n    scrape_timeout: 400ms\n    \
                 metrics_path: {path}\n    static_configs: [{{ targets: ['{target}'] }}]\n"
            )
        });
        let otlp = if takes_otlp(program) { platforms_otlp() } else { String::new() };
        std::fs::write(data.path().join("prometheus.yml"), format!("global: {{}}\n{otlp}{scrape}")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", data.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.path().join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=exemplar-storage")
            .args(takes_otlp(program).then_some(OTLP))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(data.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://127.0.0.1:{port}"), _data: data }
    }

    /// Where it takes metrics by OTLP.
    pub(crate) fn otlp(&self) -> String {
        format!("{}/api/v1/otlp/v1/metrics", self.url)
    }

    /// Asks until there is a result.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
        // The test talks plain HTTP, but no client is built without.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let begun = Instant::now();
        loop {
            let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), parameters).unwrap();
            let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
            let answer = match client.get(url).send().await {
                Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
                Err(_) => Value::Null,
            };
            let data = &answer["data"];
            let found = data["result"].as_array().or(data.as_array()).cloned();
            let found = found.unwrap_or_else(|| {
                if data.is_object() && data["result"].is_null() { vec![data.clone()] } else { Vec::new() }
            });
            if !found.is_empty() {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{path} {parameters:?}: {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every PromQL query below a value of a dashboard, Grafana's variables filled in.
fn queries(value: &Value) -> Vec<String> {
    let variables = [("$__rate_interval", "5m"), ("$__interval", "5m"), ("$bandwidth", "20"), ("$bytes", "0.01")];
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(text) if name == "expr" => {
                    vec![variables.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value))]
                }
                value => queries(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

/// Prometheus reads its configuration in `deploy/compose`, and every query of every dashboard.
#[test]
fn the_platforms_configuration_and_queries_are_prometheus_own() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(_) = program() else { return };
    let found = Command::new(root.join("scripts/prometheus")).arg("promtool").output().unwrap();
    let promtool = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let refuses = |arguments: &[&str]| {
        let output = Command::new(&promtool).args(arguments).output().unwrap();
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let configuration = root.join("deploy/compose/prometheus.yaml");
    assert_eq!(refuses(&["check", "config", "--syntax-only", configuration.to_str().unwrap()]), None);

    let parse = |query: &str| refuses(&["--experimental", "promql", "format", query]);
    assert!(parse("sum(up").is_some(), "promtool takes anything");
    let files = std::fs::read_dir(root.join("provisioning/dashboards/assay")).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let asked: Vec<String> = texts.flat_map(|text| queries(&serde_json::from_str(&text).unwrap())).collect();
    assert!(asked.len() > 20, "only {} queries were found", asked.len());
    for query in &asked {
        assert_eq!(parse(query), None, "{query}");
    }
}
