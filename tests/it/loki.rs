//! The Loki adapter, through real sockets: against what a real Loki once answered, and against every way to fail.

mod faults;
mod pages;
mod refusals;
mod replay;
mod tail;
mod tls;

use assay::loki::{Client, Settings};
use assay::stream::TimeRange;
use serde_json::Value;

use crate::canned::{Canned, Request};

/// The hour that most captures look at.
const HOUR: TimeRange = TimeRange { start: 1_795_464_819_021_577_472, end: 1_795_468_419_021_577_472 };

/// A captured exchange: what was asked, and the response as bytes.
struct Exchange {
    name: String,
    meta: Value,
    body: Vec<u8>,
}

impl Exchange {
    fn load(name: &str) -> Self {
        let folder = format!("{}/tests/captures/loki", env!("CARGO_MANIFEST_DIR"));
        let meta = std::fs::read_to_string(format!("{folder}/{name}.meta.json")).unwrap();
        let meta: Value = serde_json::from_str(&meta).unwrap();
        let file = meta["response"]["body_file"].as_str().unwrap();
        let body = std::fs::read(format!("{folder}/{file}")).unwrap();
        Self { name: name.to_owned(), meta, body }
    }

    /// Every exchange of the folder whose name passes, in order.
    fn all(wanted: impl Fn(&str) -> bool) -> Vec<Self> {
        let folder = format!("{}/tests/captures/loki", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            files.filter_map(|file| Some(file.strip_suffix(".meta.json")?.to_owned())).filter(|n| wanted(n)).collect();
        names.sort();
        names.iter().map(|name| Self::load(name)).collect()
    }

    fn status(&self) -> u16 {
        u16::try_from(self.meta["response"]["status"].as_u64().unwrap()).unwrap()
    }

    fn path(&self) -> &str {
        self.meta["request"]["path"].as_str().unwrap()
    }

    /// A parameter of the request as text.
    fn param(&self, name: &str) -> Option<String> {
        let value = self.meta["request"]["params"].get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    fn query(&self) -> String {
        self.param("query").unwrap_or_default()
    }

    /// The range that was asked for, where it was asked for in nanoseconds.
    fn range(&self) -> TimeRange {
        let ns = |name: &str| self.param(name).and_then(|value| value.parse::<i64>().ok());
        TimeRange { start: ns("start").unwrap_or(HOUR.start), end: ns("end").unwrap_or(HOUR.end) }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The response as it went over the wire, but for the chunks.
    fn response(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", self.status());
        for header in self.meta["response"]["headers"].as_array().unwrap() {
            let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
            if !["Transfer-Encoding", "Content-Length"].contains(&name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        [head.as_bytes(), &self.body].concat()
    }

    /// A server that gives this response to every request.
    async fn serve(&self) -> (Canned, Client) {
        let server = Canned::answering(self.response()).await;
        let client = client(&server);
        (server, client)
    }
}

fn client(server: &Canned) -> Client {
    Client::new(&Settings::new(server.url())).unwrap()
}

/// A parameter that a client sent, in the address or in a form.
fn sent(request: &Request, name: &str) -> Option<String> {
    let address = match request.body.is_empty() {
        true => format!("http://x{}", request.target),
        false => format!("http://x/?{}", request.body),
    };
    let url = reqwest::Url::parse(&address).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
