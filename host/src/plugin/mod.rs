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
pub mod input;
pub mod inspect;
mod lane;
pub mod limits;
mod log_share;
mod manifest;
mod mend;
pub mod nodes;
pub mod oci;
mod oci_auth;
pub mod oci_reference;
pub mod output;
#[expect(clippy::module_inception, reason = "the folder is about plugins; this file is one of them")]
pub mod plugin;
pub mod plugins;
pub mod policy;
pub mod provision;
pub mod reach;
pub mod reader;
pub mod reader_grants;
mod reader_policy;
pub mod reader_rollout;
pub mod recording;
pub mod report;
mod retreat;
pub mod rollout;
pub mod rules;
mod sandbox;
pub mod signature;
pub mod size;
mod source;
pub mod stage;
pub mod standing;
pub mod start;
mod watch;

pub use follow::follow;
pub use mend::mend;
pub use retreat::retreat;
pub use watch::watch;
