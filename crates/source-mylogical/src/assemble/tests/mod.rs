//! Streams as servers write them, and what comes out.

mod captured;
mod ends;
mod refusals;
mod savepoints;
mod script;
mod simulation;
mod xa;
