//! Live questions through real sockets: a Loki of canned bytes, and a real llama-server where a model answers.

mod faults;
mod ledger;
mod privacy;
mod rig;
mod sharing;
mod shapes;
mod standing;
