//! Runs plugins: components in a sandbox, a fresh one for every call. The sole importer of
//! wasmtime; knows no tasks.

mod apply;
mod bindings;
mod breaker;
mod cache;
pub mod caps;
mod component;
mod convert;
mod counters;
pub mod document;
mod engine;
pub mod error;
mod follow;
pub mod generation;
pub mod grants;
pub mod history;
mod imports;
pub mod inspect;
pub mod limits;
mod log_share;
mod manifest;
mod mend;
pub mod oci;
mod oci_auth;
pub mod oci_reference;
#[expect(clippy::module_inception, reason = "the folder is about plugins; this file is one of them")]
pub mod plugin;
pub mod plugins;
pub mod policy;
pub mod reader;
mod reader_policy;
pub mod report;
pub mod rules;
mod sandbox;
pub mod signature;
pub mod size;
mod source;
pub mod stage;
pub mod start;
mod watch;

pub use follow::follow;
pub use mend::mend;
pub use watch::watch;
