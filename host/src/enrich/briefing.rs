//! Stage `squad-briefing`: a leader's instructions are extended.

use std::sync::Arc;

use serde_json::Value;

use super::changes::{Change, Side};
use super::trace::Trace;
use super::{Draft, Stopped};
use crate::plugin::generation::Generation;
use crate::plugin::stage::Stage;

/// Runs only for a task in the leader's role.
pub async fn run(generation: &Arc<Generation>, draft: &mut Draft, trace: &mut Trace) -> Result<(), Stopped> {
    let Some(input) = draft.squad.take() else { return Ok(()) };
    let Some(Value::Object(agent)) = draft.body.get_mut("agent") else { return Ok(()) };
    let Some(plugin) = generation.asked(Stage::SquadBriefing, &draft.subject).next() else { return Ok(()) };
    let report = plugin.brief_squad(&draft.subject, &input).await;
    let Some((briefing, times)) = trace.value(plugin, Stage::SquadBriefing, report)? else {
        return Ok(());
    };
    let mut changes = Vec::new();
    if let Some(text) = briefing.filter(|text| !text.trim().is_empty()) {
        let before = agent.get("instructions").cloned().unwrap_or_default();
        let after = Value::String(append(before.as_str().unwrap_or_default(), &text));
        agent.insert("instructions".to_owned(), after.clone());
        changes.push(Change::new("/agent/instructions", Side::Value(before), Side::Value(after)));
    }
    trace.applied(plugin, Stage::SquadBriefing, times, changes);
    Ok(())
}

/// The text, one blank line, the paragraph; the paragraph alone when the text is blank.
pub fn append(text: &str, paragraph: &str) -> String {
    if text.trim().is_empty() { paragraph.to_owned() } else { format!("{text}\n\n{paragraph}") }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn a_blank_text_is_replaced_and_another_kept_to_the_byte() {
        assert_eq!(append(" \n", "b"), "b");
        assert_eq!(append("a \n", "b"), "a \n\n\nb");
    }
}
