//! Stage `enrichment`: integrators' plugins, in order, each on what the one before left.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::changes::Change;
use super::trace::Trace;
use super::{Draft, Stopped, grants, patch, view};
use crate::plugin::generation::Generation;
use crate::plugin::stage::{Decision, Stage};

/// What is kept of a denial.
const DENIAL_CODE_BYTES: usize = 64;
const DENIAL_REASON_BYTES: usize = 4096;

/// What became of a decision that was applied.
enum Applied {
    Changed(Vec<Change>),
    Denied { code: String, reason: String },
}

pub async fn run(
    generation: &Arc<Generation>,
    draft: Draft,
    trace: &mut Trace,
) -> Result<Map<String, Value>, Stopped> {
    let mut body = draft.body;
    for plugin in generation.asked(Stage::Enrichment, &draft.subject) {
        let claim = view::of(&body, &plugin.grants);
        let apply = |decision| match decision {
            Decision::Deny { code, reason } => Ok(Applied::Denied {
                code: said(code, DENIAL_CODE_BYTES, "denied"),
                reason: said(reason, DENIAL_REASON_BYTES, "no reason was given"),
            }),
            Decision::Patch(operations) => {
                grants::check(&operations, &plugin.grants)?;
                patch::apply(&mut body, &operations).map(Applied::Changed)
            }
        };
        let report = plugin.enrich(&draft.subject, claim, apply).await;
        match trace.value(plugin, Stage::Enrichment, report)? {
            None => {}
            Some((Applied::Changed(changes), times)) => {
                trace.applied(plugin, Stage::Enrichment, times, changes);
            }
            Some((Applied::Denied { code, reason }, times)) => {
                trace.denied(plugin, times, &code, &reason);
                return Err(Stopped::Denied { plugin: plugin.name.clone(), code, reason });
            }
        }
    }
    Ok(body)
}

/// A denial holds even when nothing was said; a text is cut to what is kept.
fn said(mut text: String, bytes: usize, otherwise: &str) -> String {
    if text.trim().is_empty() {
        return otherwise.to_owned();
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}
