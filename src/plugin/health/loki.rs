//! Whether Loki answers, and whether there is anything to read.

use super::{Section, Status};
use crate::loki::{Client, LokiError};
use crate::plugin::error::one_line;
use crate::plugin::instance::Instance;
use crate::plugin::request::last_hour;

const NAME: &str = "loki";

pub(super) async fn check(instance: &Instance) -> Section {
    match instance.loki() {
        Ok(Some(client)) => ask(&client, instance.forwards_identity()).await,
        Ok(None) => Section::new(NAME, Status::Off, "Loki: not set up, only what is stored can be asked for")
            .hint("give Loki's URL to have live logs analysed"),
        Err(error) => Section::new(NAME, Status::Error, format!("Loki: {error}")),
    }
}

async fn ask(client: &Client, forwards_identity: bool) -> Section {
    let (version, labels) = futures::join!(client.version(), client.labels(last_hour(), None));
    // A gateway may hide the version; the labels are what shows that questions will be answered.
    let version = version.ok().filter(|version| !version.is_empty()).map(|version| format!(" {version}"));
    let loki = format!("Loki{} at {}", version.unwrap_or_default(), client.url());
    match labels {
        Ok(labels) if labels.is_empty() => {
            Section::new(NAME, Status::Warning, format!("{loki} has no logs of the last hour"))
                .hint("check the tenant (organisation id), and what sends logs there")
        }
        Ok(labels) => {
            Section::new(NAME, Status::Ok, format!("{loki} is ready, {} labels in the last hour", labels.len()))
        }
        // The check has no user to ask for.
        Err(LokiError::Denied { .. }) if forwards_identity => {
            Section::new(NAME, Status::Warning, format!("{loki} answers; it is asked in the name of each user"))
        }
        Err(error) => Section::new(NAME, Status::Error, one_line(&error)),
    }
}
