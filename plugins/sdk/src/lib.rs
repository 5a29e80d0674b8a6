//! Write a Switchyard plugin as a struct with one method for each stage it serves.
//!
//! ```
//! use switchyard_sdk::enrichment::{Decision, Enrichment, Input, Operation};
//! use switchyard_sdk::{Call, Description, Failure, Plugin, export};
//!
//! struct Greeter;
//!
//! impl Plugin for Greeter {
//!     fn describe() -> Description {
//!         Description::new("greeter", "1.0.0", "Greets every agent.")
//!     }
//! }
//!
//! impl Enrichment for Greeter {
//!     fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
//!         Ok(Decision::Patch(vec![Operation::AppendInstructions("Be welcome.".into())]))
//!     }
//! }
//!
//! export!(Greeter: enrichment);
//! ```
//!
//! The crate's type is `cdylib` (and `rlib`, where it has integration tests); its `build.rs`
//! calls `switchyard_sdk_build::guest()`. Built for `wasm32-unknown-unknown` and encoded, it
//! is a component that imports nothing but what the plugin uses of [`log`], which is free, and
//! of [`kv`], [`http`], [`secrets`], [`clock`] and [`random`], each of which the operator grants.
//!
//! A call runs in a fresh instance: statics are as they were at the start, there is no file
//! and no socket, and a panic stops only this call.

#![warn(missing_docs)]

mod call;
mod failure;
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
mod heap;
mod plugin;
mod stages;

#[doc(hidden)]
pub mod bindings;

pub mod clock;
pub mod http;
pub mod kv;
pub mod log;
pub mod random;
pub mod secrets;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::shared::switchyard::plugin::types::{Attribute, Call, Failure, Repo, TaskKind};
pub use plugin::{Description, Plugin};
pub use stages::{enrichment, finished, mcp_overlay, prepare, repo_resolution, squad_briefing};
