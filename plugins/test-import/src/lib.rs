//! A guest that asks for a clock of WASI, which nobody gives it: it must not be applied.

use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

#[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "written by wit-bindgen")]
mod bindings {
    wit_bindgen::generate!({
        inline: r"
            package wasi:clocks@0.2.0;
            interface monotonic-clock { now: func() -> u64; }
            world imports { import monotonic-clock; }
        ",
        world: "imports",
    });
}

struct Import;

impl Plugin for Import {
    fn describe() -> Description {
        Description::new("test-import", "1.0.0", "Imports what no gateway offers.")
    }
}

impl Enrichment for Import {
    fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
        let now = bindings::wasi::clocks::monotonic_clock::now();
        Err(Failure::new("clock", now.to_string()))
    }
}

export!(Import: enrichment);
