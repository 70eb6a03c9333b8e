//! An S3 server for tests: moto's (`ASSAY_S3_SERVER`, or whatever `scripts/s3-server` finds or brings). A machine that
//! has none and can bring none proves less, and says so.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use assay::llama::Secret;
use assay::store::Access;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::canned::{http, read_request};

/// How long the server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it ends with this.
pub(super) struct Server {
    _process: Child,
    pub(super) endpoint: String,
}

impl Server {
    /// Starts a server with an empty bucket `assay`; `None` where there is none to be had.
    pub(super) async fn start() -> Option<Self> {
        let program = program()?;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program was just found");
        let address = format!("127.0.0.1:{port}");
        let made = async {
            while !make_bucket(&address).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, made).await.expect("the S3 server did not start");
        Some(Self { _process: process, endpoint: format!("http://{address}") })
    }

    pub(super) fn access(&self) -> Access {
        Access {
            endpoint: Some(self.endpoint.clone()),
            access_key: Some(Secret::new("key")),
            secret_key: Some(Secret::new("canary-of-a-secret-key")),
            ..Access::default()
        }
    }
}

/// What becomes of a request that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    Pass,
    Refused,
    /// Held up until something else becomes of them.
    Held,
}

/// A way to the server that lets everything pass that reads.
pub(super) struct Gate {
    pub(super) access: Access,
    pub(super) writes: watch::Sender<Writes>,
}

impl Gate {
    pub(super) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
        let behind = server.endpoint.trim_start_matches("http://").to_owned();
        let writes = watch::Sender::new(Writes::Pass);
        let seen = writes.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, behind.clone(), seen.clone()));
            }
        });
        Self { access: Access { endpoint, ..server.access() }, writes }
    }
}

async fn forward(mut client: TcpStream, behind: String, mut writes: watch::Receiver<Writes>) {
    let Some(request) = read_request(&mut client).await else { return };
    if request.raw.starts_with("PUT ") {
        let decided = writes.wait_for(|writes| *writes != Writes::Held).await.map(|writes| *writes);
        if decided.ok() != Some(Writes::Pass) {
            let denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
            let _ = client.write_all(&http(403, "application/xml", denied)).await;
            return;
        }
    }
    let head = request.raw.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    if server.write_all(format!("{head}\r\n\r\n{}", request.body).as_bytes()).await.is_ok() {
        let _ = copy(&mut server, &mut client).await;
    }
}

async fn make_bucket(address: &str) -> bool {
    let Ok(mut connection) = TcpStream::connect(address).await else { return false };
    let request = format!("PUT /assay HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    connection.write_all(request.as_bytes()).await.is_ok()
        && connection.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ASSAY_S3_SERVER") {
        return Some(PathBuf::from(path));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/s3-server");
    let output = std::process::Command::new(script).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if output.status.success() && !path.is_empty() {
        return Some(PathBuf::from(path));
    }
    assert!(std::env::var_os("CI").is_none(), "CI skips nothing that it can do: scripts/s3-server brought no server");
    eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
    None
}
