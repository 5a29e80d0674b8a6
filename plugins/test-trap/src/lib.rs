//! A guest that panics, which is a trap.

use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Trap;

impl Plugin for Trap {
    fn describe() -> Description {
        Description::new("test-trap", "1.0.0", "Panics.")
    }
}

impl Enrichment for Trap {
    fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
        panic!("on purpose");
    }
}

export!(Trap: enrichment);
