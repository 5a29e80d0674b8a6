//! A guest that counts how often its instance was called, which shows whether it is a fresh
//! one, and keeps what it takes, so that it grows.

use std::sync::atomic::{AtomicU32, Ordering};

use switchyard_sdk::enrichment::{Decision, Enrichment, Input, Operation};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Remember;

const SCHEMA: &str = r#"{"type": "object", "properties": {"does": {"enum": ["", "trap", "fail", "grow"]}},
    "additionalProperties": false}"#;

impl Plugin for Remember {
    fn describe() -> Description {
        Description::new("test-remember", "1.0.0", "Counts the calls of its instance.").config_schema(SCHEMA)
    }
}

impl Enrichment for Remember {
    fn enrich(call: &Call, _: Input) -> Result<Decision, Failure> {
        let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let does = |what: &str| call.config.contains(what);
        if count == 3 && does("trap") {
            unreachable!("the third call of an instance");
        }
        if count == 3 && does("fail") {
            return Err(Failure::new("third", "the third call of an instance"));
        }
        if does("grow") {
            std::hint::black_box(vec![1_u8; 1 << 20].leak());
        }
        Ok(Decision::Patch(vec![Operation::AppendInstructions(format!("call {count}"))]))
    }
}

export!(Remember: enrichment);
