//! A guest that takes memory until there is none.

use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Hog;

impl Plugin for Hog {
    fn describe() -> Description {
        Description::new("test-hog", "1.0.0", "Takes memory without end.")
    }
}

impl Enrichment for Hog {
    fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
        loop {
            std::hint::black_box(Vec::<u8>::with_capacity(1 << 20).leak());
        }
    }
}

export!(Hog: enrichment);
