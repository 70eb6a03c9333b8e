//! Taking in a finished run over HTTP, so that the harness and Grafana need no shared disk.
//!
//! The body is a [`Parcel`]; `assay eval push` sends one. It is opened completely before anything is written.

use serde_json::json;

use super::{Answer, Call, Refusal};
use crate::plugin::error::{QueryError, one_line};
use crate::plugin::request::Role;
use crate::store::{Parcel, ParcelError};

pub(super) async fn answer(call: Call) -> Answer {
    if call.role < Role::Editor {
        return Err(Refusal::new(403, "taking in a run needs the role Editor or Admin"));
    }
    let cache = call.instance.store()?;
    let body = call.body.clone();
    // Hashing and decoding what may be megabytes.
    let opened = tokio::task::spawn_blocking(move || Parcel::open(&body)).await;
    let parcel = opened.map_err(|_| Refusal::new(500, "the parcel could not be opened"))?.map_err(refusal)?;
    // Two that bring the same run at once are served one after the other.
    let _turn = call.instance.pushes.lock().await;
    cache.store().accept(&parcel).await.map_err(refusal)?;
    cache.changed().await;
    tracing::info!(run = parcel.id(), "took in a run");
    let store = cache.store().clone();
    // Whoever pushed need not wait for it.
    tokio::spawn(async move { store.keep_catalogue().await });
    Ok((201, json!({"run": parcel.id()})))
}

fn refusal(error: ParcelError) -> Refusal {
    match error {
        ParcelError::Damaged(_) => Refusal::new(400, error.to_string()),
        ParcelError::Exists(_) => Refusal::new(409, error.to_string()),
        ParcelError::Store(error) => {
            let error = QueryError::from(error);
            Refusal::new(error.status(), one_line(&error))
        }
    }
}
