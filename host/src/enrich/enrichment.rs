//! Stage `enrichment`: integrators' plugins, in order, each on what the one before left.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::trace::{Applied, Trace};
use super::{Draft, Stopped, grants, patch, record, view};
use crate::plugin::generation::Generation;
use crate::plugin::grants::Grants;
use crate::plugin::output;
use crate::plugin::rollout::Role;
use crate::plugin::stage::{Decision, Stage};

/// What is kept of a denial.
const DENIAL_CODE_BYTES: usize = 64;
const DENIAL_REASON_BYTES: usize = 4096;

pub async fn run(
    generation: &Arc<Generation>,
    draft: Draft,
    trace: &mut Trace,
) -> Result<Map<String, Value>, Stopped> {
    let mut body = draft.body;
    for plugin in generation.turns(Stage::Enrichment, &draft.subject) {
        let claim = view::of(&body, &plugin.grants);
        if plugin.role == Role::Shadow {
            let (subject, mut body) = (draft.subject.clone(), body.clone());
            trace.shadows.call(plugin, Stage::Enrichment, move |plugin| async move {
                let decide = |decision| apply(decision, &plugin.grants, &mut body);
                plugin.enrich(&subject, claim, decide).await
            });
            continue;
        }
        // What was granted to this plugin is not granted to a recording.
        let mut take = record::begin(generation, Stage::Enrichment, &draft.subject, || {
            serde_json::from_str(&view::of(&body, &Grants::default())).unwrap_or_default()
        });
        if let Some(take) = &mut take {
            take.hide(&body, &plugin.grants);
        }
        let decide = |decision| {
            if let Some(take) = &mut take {
                take.output(output::decision(&decision));
            }
            apply(decision, &plugin.grants, &mut body)
        };
        let report = plugin.enrich(&draft.subject, claim, decide).await;
        if let Some(take) = take {
            take.end(plugin, &draft.subject, &report);
        }
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

/// Does to the claim what the plugin decided, if it may.
fn apply(decision: Decision, grants: &Grants, body: &mut Map<String, Value>) -> Result<Applied, String> {
    match decision {
        Decision::Deny { code, reason } => Ok(Applied::Denied {
            code: said(code, DENIAL_CODE_BYTES, "denied"),
            reason: said(reason, DENIAL_REASON_BYTES, "no reason was given"),
        }),
        Decision::Patch(operations) => {
            grants::check(&operations, grants)?;
            patch::apply(body, &operations).map(Applied::Changed)
        }
    }
}

/// A denial holds even when nothing was said; a text is cut to what is kept.
fn said(mut text: String, bytes: usize, otherwise: &str) -> String {
    if text.trim().is_empty() {
        return otherwise.to_owned();
    }
    text.truncate(text.floor_char_boundary(bytes));
    text
}
