//! The integration tests, one binary: each module proves one promise of the product from outside.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod canned;
mod cli;
mod gguf;
mod harness;
mod live;
mod llama;
mod loki;
mod otlp;
mod parsers;
mod pipeline;
mod plugin;
mod prometheus;
mod s3;
mod tidy;
mod tls;
