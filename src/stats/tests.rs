//! What the statistics are held to: other people's implementations, worlds with a known truth, and any input at all.

mod properties;
mod reference;
mod simulation;
