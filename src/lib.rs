//! Assay lets a small, self-hosted LLM read Loki logs and say what broke, and proves on labelled logs how far to trust it.
//!
//! One pipeline serves the Grafana data source and the offline harness alike: redact, digest, route, render, ask,
//! verdict ([`analyze`]). Modules stand in the order of dependency: a module imports only modules above it, adapters
//! and surfaces never sideways. `tests/it/tidy.rs` enforces the rule; `docs/architecture.md` explains it.

// --- domain: pure; no I/O, clock, environment or runtime ---
pub mod hash;
mod threads;
pub mod problem;
pub mod semconv;
pub mod stream;
pub mod logql;
pub mod ontology;
pub mod model;
pub mod redact;
pub mod digest;
pub mod verdict;
pub mod golden;
pub mod prompt;
pub mod route;
pub mod stats;
pub mod score;
pub mod rules;
pub mod experiment;
pub mod run;
pub mod analyze;
pub mod ledger;
pub mod guard;
pub mod tally;
pub mod summary;
pub mod compare;
pub mod sample;
pub mod report;
pub mod frame;

// --- adapters: one per outside thing ---
mod blocking;
pub mod http;
pub mod telemetry;
pub mod installation;
pub mod llama;
pub mod loki;
pub mod store;

// --- surfaces: adapters put to work for people and Grafana ---
pub mod harness;
pub mod live;
pub mod plugin;
pub mod cli;
