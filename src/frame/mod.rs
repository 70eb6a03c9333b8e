//! Grafana's data frames: named, typed columns with labels, display settings and metadata, and their Arrow encoding.
//!
//! A frame here can say what Grafana's data plane contract knows and this product uses; [`Frame::to_arrow`] writes the
//! bytes that Grafana's own decoder reads, labels *and* settings of each field included. It refuses columns of unequal
//! length, and it knows nothing of runs or verdicts: those become frames where they are served.
//!
//! Source: the frame, field and metadata types of grafana-plugin-sdk-go's `data` package, and the data plane contract
//! (<https://grafana.github.io/dataplane/contract/>).

mod config;
mod encode;
mod field;
mod json;
mod meta;

pub use config::{Config, Internal, Link, Mapping, MappingResult, Special, Step, Thresholds};
pub use encode::EncodeError;
pub use field::{Field, Values};
pub use meta::{FrameType, Meta, Notice, Severity, Visualisation};

/// One columnar result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// What the frame holds; shown as the series name where a field has none.
    pub name: String,
    /// The query that it answers. Set when the answer is sent.
    pub ref_id: String,
    /// How Grafana should understand and show it.
    pub meta: Meta,
    /// The columns, all of one length.
    pub fields: Vec<Field>,
}

impl Frame {
    /// An empty frame of a kind.
    pub fn new(name: impl Into<String>, kind: FrameType) -> Self {
        Self { name: name.into(), meta: Meta::new(kind), ..Self::default() }
    }

    /// Adds a column.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Adds a notice, which Grafana shows on the panel.
    #[must_use]
    pub fn notice(mut self, severity: Severity, text: impl Into<String>) -> Self {
        self.meta.notices.push(Notice::new(severity, text));
        self
    }

    /// The column of that name, whatever its labels.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The number of rows: that of the first column, 0 without columns.
    pub fn rows(&self) -> usize {
        self.fields.first().map_or(0, |field| field.values().len())
    }
}
