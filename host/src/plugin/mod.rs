//! Runs plugins: components in a sandbox. The sole importer of wasmtime; knows no tasks.

pub mod stage;
