//! The data source backend that Grafana starts: handshake, log, server. All else is in [`assay::plugin`].

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use assay::plugin::{PLUGIN_ID, handshake, init_log, serve, watch_parent};
use assay::telemetry;
use tokio::runtime::Builder;

/// go-plugin's sign that a host started this process, not a person.
const COOKIE: (&str, &str) = ("grafana_plugin_type", "datasource");

/// How long the end waits for telemetry: with the grace of running calls it stays below go-plugin's two seconds.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The version of the plugin protocol that is spoken here.
const PROTOCOL: &str = "2";

fn main() -> ExitCode {
    if let Err(message) = check_host() {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    // Answers come from files and from memory: two threads serve them while two cores are left to everything else.
    let runtime = match Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    telemetry::shutdown(LAST_WORDS);
    // A blocking read that hangs must not keep the process past go-plugin's patience.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

/// Refuses to start for a person or for a host of another protocol, and says what to do instead.
fn check_host() -> Result<(), String> {
    if env::var(COOKIE.0).as_deref() != Ok(COOKIE.1) {
        return Err(format!(
            "gpx_assay {} is a Grafana plugin and is started by Grafana: put it next to plugin.json in the folder \
             {PLUGIN_ID} of Grafana's plugin directory. For the terminal there is `assay`",
            env!("CARGO_PKG_VERSION")
        ));
    }
    match env::var("PLUGIN_PROTOCOL_VERSIONS") {
        Ok(versions) if !versions.split(',').any(|version| version.trim() == PROTOCOL) => {
            Err(format!("this Grafana speaks plugin protocol {versions}, gpx_assay speaks {PROTOCOL}: update Grafana"))
        }
        _ => Ok(()),
    }
}

async fn run() -> ExitCode {
    // First of all: Grafana waits for this line, and nothing else may ever be printed on standard output.
    let listener = match handshake().await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on 127.0.0.1: {error}");
            return ExitCode::FAILURE;
        }
    };
    init_log(|name| env::var(name).ok());
    match serve(listener, stop()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the server failed");
            ExitCode::FAILURE
        }
    }
}

/// Comes true on SIGTERM or when the host is gone. Ctrl-C in a terminal reaches the plugin too, but it is Grafana
/// that decides what ends then.
#[cfg(unix)]
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupts = async {
        while tokio::signal::ctrl_c().await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => (),
        () = watch_parent() => (),
        () = interrupts => (),
    }
}

#[cfg(not(unix))]
async fn stop() {
    watch_parent().await;
}
