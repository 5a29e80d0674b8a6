//! A component that exports a stage and no manifest, which a host must refuse. `export!`
//! cannot make one, so this calls what is behind it.

use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Failure};

/// Serves `enrichment` and says nothing of itself.
pub struct Anonymous;

impl Enrichment for Anonymous {
    fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
        Ok(Decision::unchanged())
    }
}

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "what the host calls by name")]
const _: () = {
    switchyard_sdk::bindings::enrichment::export_enrichment!(
        Anonymous with_types_in switchyard_sdk::bindings::enrichment
    );
};
