//! The way of a claim through the stages, top to bottom.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::trace::Trace;
use super::{Draft, Stopped, briefing, enrichment, mcp, repos};
use crate::plugin::generation::Generation;

/// Runs every stage on one generation of plugins. Under `on_error = "skip"` a plugin that
/// fails leaves its part as it was, and the trace says so.
pub async fn run(generation: &Arc<Generation>, draft: Draft) -> (Result<Map<String, Value>, Stopped>, Trace) {
    let mut trace = Trace::new(&draft.subject, generation.number);
    let result = stages(generation, draft, &mut trace).await;
    (result, trace)
}

async fn stages(
    generation: &Arc<Generation>,
    mut draft: Draft,
    trace: &mut Trace,
) -> Result<Map<String, Value>, Stopped> {
    repos::run(generation, &mut draft, trace).await?;
    mcp::run(generation, &mut draft, trace).await?;
    briefing::run(generation, &mut draft, trace).await?;
    enrichment::run(generation, draft, trace).await
}
