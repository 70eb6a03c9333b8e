//! `assay eval push`: a finished run to a data source, over Grafana's HTTP API.

use anyhow::{Context, Result, bail};

use crate::http;
use crate::store::{Parcel, Store};

/// Environment variable with the token of a Grafana service account; a token on the command line would show in `ps`.
const TOKEN_VARIABLE: &str = "ASSAY_GRAFANA_TOKEN";

/// Bytes of Grafana's answer that are shown if it is not ours.
const SHOWN: usize = 300;

pub(super) async fn push(store: &Store, reference: &str, to: &str) -> Result<()> {
    if !(to.starts_with("http://") || to.starts_with("https://")) {
        bail!("--to {to} is no address: write http://GRAFANA/api/datasources/uid/UID/resources");
    }
    let id = store.find(reference).await?;
    let parcel = Parcel::of(store, &id).await?;
    let url = format!("{}/runs", to.trim_end_matches('/'));
    let bytes = parcel.to_bytes();
    let length = bytes.len();
    let mut request =
        http::builder().build()?.post(&url).header("Content-Type", "application/octet-stream").body(bytes);
    if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
        request = request.bearer_auth(token);
    }
    let response =
        request.send().await.map_err(reqwest::Error::without_url).with_context(|| format!("cannot reach {url}"))?;
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    if !status.is_success() {
        let told = serde_json::from_str::<serde_json::Value>(&text).ok();
        let told = told.as_ref().and_then(|told| told["message"].as_str()).map(str::to_owned);
        let told = told.unwrap_or_else(|| text.chars().take(SHOWN).collect());
        let hint = match status.as_u16() {
            401 | 403 => {
                format!("\n  hint: set {TOKEN_VARIABLE} to the token of a service account with the role Editor")
            }
            404 => "\n  hint: --to ends with /api/datasources/uid/<uid>/resources".to_owned(),
            _ => String::new(),
        };
        bail!("{url} refused run {id} with {status}: {told}{hint}");
    }
    eprintln!("{id}: {length} bytes taken in by {url}");
    Ok(())
}
