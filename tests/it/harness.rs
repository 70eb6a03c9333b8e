//! The harness from outside: the real binary, a real llama-server, an installation in a folder of its own.

mod analyze;
mod bucket;
mod crashes;
mod faults;
mod folder;
mod gates;
mod history;
mod identity;
mod report;
mod resumed;
mod runs;
mod servers;
mod surroundings;
mod telemetry;
mod why;
