//! Stage `squad-briefing`: a leader's instructions are extended.

use std::sync::Arc;

use serde_json::Value;

use super::changes::{Change, Side};
use super::trace::{Applied, Trace};
use super::{Draft, Stopped, record};
use crate::plugin::generation::Generation;
use crate::plugin::stage::Stage;

/// Runs only for a task in the leader's role.
pub async fn run(generation: &Arc<Generation>, draft: &mut Draft, trace: &mut Trace) -> Result<(), Stopped> {
    let Some(input) = draft.squad.take() else { return Ok(()) };
    let Some(Value::Object(agent)) = draft.body.get_mut("agent") else { return Ok(()) };
    for shadow in generation.shadows(Stage::SquadBriefing, &draft.subject) {
        let (subject, input) = (draft.subject.clone(), input.clone());
        let before = agent.get("instructions").cloned().unwrap_or_default();
        trace.shadows.call(shadow, Stage::SquadBriefing, move |plugin| async move {
            let report = plugin.brief_squad(&subject, &input).await;
            report.map(|briefing| Applied::Changed(briefed(before, briefing).into_iter().collect()))
        });
    }
    let Some(plugin) = generation.called(Stage::SquadBriefing, &draft.subject).next() else {
        return Ok(());
    };
    let take = record::begin(generation, Stage::SquadBriefing, &draft.subject, || record::briefing(&input));
    let report = plugin.brief_squad(&draft.subject, &input).await;
    if let Some(mut take) = take {
        take.output(report.result.as_ref().map(|text| text.clone().into()).unwrap_or_default());
        take.end(plugin, &draft.subject, &report);
    }
    let Some((briefing, times)) = trace.value(plugin, Stage::SquadBriefing, report)? else {
        return Ok(());
    };
    let change = briefed(agent.get("instructions").cloned().unwrap_or_default(), briefing);
    if let Some(Change { after: Side::Value(after), .. }) = &change {
        agent.insert("instructions".to_owned(), after.clone());
    }
    trace.applied(plugin, Stage::SquadBriefing, times, change.into_iter().collect());
    Ok(())
}

/// The instructions with the briefing, if there is any.
fn briefed(before: Value, briefing: Option<String>) -> Option<Change> {
    let text = briefing.filter(|text| !text.trim().is_empty())?;
    let after = append(before.as_str().unwrap_or_default(), &text);
    Some(Change::new("/agent/instructions", Side::Value(before), Side::Value(after.into())))
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
