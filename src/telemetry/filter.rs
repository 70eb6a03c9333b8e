//! What may become a span or a log record, and whether anything may at all.
//!
//! Only the program's own: other crates put requests, addresses and texts into theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

use super::target::Target;
use crate::semconv::CONTENT;

/// The fields that hold the text of an error.
const QUOTING: [&str; 2] = ["error", "failure"];

/// What is sent at present.
#[derive(Debug, Default)]
pub(super) struct Switches {
    traces: AtomicBool,
    logs: AtomicBool,
    content: AtomicBool,
}

impl Switches {
    /// Follows a target.
    pub(super) fn set(&self, target: &Target) {
        self.traces.store(target.traces.is_some(), Ordering::Relaxed);
        self.logs.store(target.logs.is_some(), Ordering::Relaxed);
        self.content.store(target.content && target.logs.is_some(), Ordering::Relaxed);
    }
}

/// Lets spans pass while traces are sent.
#[derive(Debug, Clone)]
pub(super) struct OnlySpans(pub(super) Arc<Switches>);

/// Lets events pass while logs are sent, and content only where it is wanted.
#[derive(Debug, Clone)]
pub(super) struct OnlyEvents(pub(super) Arc<Switches>);

/// Whether a target is one of ours; that of content is not, so that no filter lets it pass by accident.
pub(crate) fn is_ours(target: &str) -> bool {
    let from = target.split("::").next().unwrap_or(target);
    matches!(from, "assay" | "gpx_assay") && target != CONTENT
}

fn may_be_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.level() <= &Level::INFO && is_ours(metadata.target())
}

fn may_be_event(metadata: &Metadata<'_>) -> bool {
    let may_be_said = || metadata.level() <= &Level::INFO && is_ours(metadata.target()) && !quotes(metadata);
    metadata.is_event() && (metadata.target() == CONTENT || may_be_said())
}

/// Whether an event carries the text of an error, which may quote a query, a path or another program: such events are for
/// standard error.
fn quotes(metadata: &Metadata<'_>) -> bool {
    QUOTING.iter().any(|name| metadata.fields().field(name).is_some())
}

/// Asked again each time where the answer can change, never where it cannot.
fn interest(possible: bool) -> Interest {
    if possible { Interest::sometimes() } else { Interest::never() }
}

impl<S> Filter<S> for OnlySpans {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.0.traces.load(Ordering::Relaxed) && may_be_span(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        interest(may_be_span(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

impl<S> Filter<S> for OnlyEvents {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        let switch = if metadata.target() == CONTENT { &self.0.content } else { &self.0.logs };
        switch.load(Ordering::Relaxed) && may_be_event(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        interest(may_be_event(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::Subscriber;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Notes which events pass.
    struct Probe(Arc<Mutex<Vec<&'static str>>>);

    impl<S: Subscriber> Layer<S> for Probe {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().extend(event.fields().map(|field| field.name()));
        }
    }

    #[test]
    fn the_text_of_an_error_is_for_standard_error() {
        let (switches, passed) = (Arc::new(Switches::default()), Arc::default());
        switches.logs.store(true, Ordering::Relaxed);
        let probe = Probe(Arc::clone(&passed)).with_filter(OnlyEvents(switches));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(probe), || {
            tracing::warn!(lost = 3, "said");
            tracing::warn!(error = "said by another", "not said");
            tracing::warn!(name = "x", failure = "said of a query", "not said");
        });
        assert_eq!(*passed.lock().unwrap(), ["message", "lost"]);
    }

    #[test]
    fn content_is_nobodys_by_accident() {
        assert!(is_ours("assay::plugin::data") && is_ours("gpx_assay"));
        assert!(!is_ours("assayer") && !is_ours("h2::proto") && !is_ours(CONTENT));
        let switches = Switches::default();
        switches.set(&Target { content: true, ..Target::default() });
        assert!(!switches.content.load(Ordering::Relaxed), "content without a place for logs");
    }
}
