//! What the members of a claim are on the wire. A daemon reads them into types of its own:
//! a number where it expects a text would cost the whole task.

use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Text,
    Number,
    Bool,
    Object,
    Texts,
    Objects,
}

/// The members that are not texts, by their place.
const OTHERS: [(&str, Shape); 17] = [
    ("/priority", Shape::Number),
    ("/attempt", Shape::Number),
    ("/max_attempts", Shape::Number),
    ("/new_comment_count", Shape::Number),
    ("/chat_in_thread", Shape::Bool),
    ("/agent", Shape::Object),
    ("/repos", Shape::Objects),
    ("/project_resources", Shape::Objects),
    ("/connected_apps", Shape::Objects),
    ("/chat_message_attachments", Shape::Objects),
    ("/quick_create_attachment_ids", Shape::Texts),
    ("/agent/custom_args", Shape::Texts),
    ("/agent/custom_env", Shape::Object),
    ("/agent/mcp_config", Shape::Object),
    ("/agent/runtime_config", Shape::Object),
    ("/agent/skills", Shape::Objects),
    ("/agent/skill_refs", Shape::Objects),
];

/// Free-form JSON, whatever it is.
const FREE: [&str; 2] = ["/result", "/autopilot_trigger_payload"];

/// Texts that a claim may lack; one that it has is told by what it holds.
const TEXTS: [&str; 25] = [
    "/thread_name",
    "/workspace_context",
    "/project_id",
    "/project_title",
    "/project_description",
    "/prior_session_id",
    "/prior_work_dir",
    "/work_dir",
    "/trigger_summary",
    "/trigger_thread_id",
    "/trigger_comment_content",
    "/trigger_author_type",
    "/trigger_author_name",
    "/handoff_note",
    "/chat_message",
    "/autopilot_title",
    "/autopilot_description",
    "/quick_create_prompt",
    "/parent_issue_id",
    "/parent_issue_identifier",
    "/requesting_user_name",
    "/requesting_user_profile_description",
    "/initiator_name",
    "/agent/model",
    "/agent/thinking_level",
];

/// Refuses a value that the member at `place` cannot have. A member this version does not
/// know keeps the type it has, and may have any when it is new.
pub fn check(place: &str, before: Option<&Value>, after: &Value) -> Result<(), String> {
    if FREE.contains(&place) {
        return Ok(());
    }
    let known = OTHERS.iter().find(|(name, _)| *name == place).map(|(_, shape)| *shape);
    let known = known.or_else(|| TEXTS.contains(&place).then_some(Shape::Text));
    let Some(shape) = known.or_else(|| before.and_then(shape_of)) else { return Ok(()) };
    if shape.fits(after) {
        return Ok(());
    }
    Err(format!("`{place}` is {} on the wire; a daemon could not read this value", shape.name()))
}

fn shape_of(value: &Value) -> Option<Shape> {
    match value {
        Value::Null | Value::Array(_) => None,
        Value::Bool(_) => Some(Shape::Bool),
        Value::Number(_) => Some(Shape::Number),
        Value::String(_) => Some(Shape::Text),
        Value::Object(_) => Some(Shape::Object),
    }
}

impl Shape {
    fn fits(self, value: &Value) -> bool {
        let all = |is: fn(&Value) -> bool| value.as_array().is_some_and(|list| list.iter().all(is));
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_i64(),
            Self::Bool => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Texts => all(Value::is_string),
            Self::Objects => all(Value::is_object),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a whole number",
            Self::Bool => "true or false",
            Self::Object => "an object",
            Self::Texts => "a list of texts",
            Self::Objects => "a list of objects",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_keeps_its_type() {
        for (place, before, after, fits) in [
            ("/agent/model", None, json!("m"), true),
            ("/agent/model", None, json!(42), false),
            ("/agent/model", Some(json!("m")), json!(null), false),
            ("/agent/custom_args", None, json!(["-v"]), true),
            ("/agent/custom_args", None, json!(["-v", 1]), false),
            ("/repos", None, json!([{"url": "u"}]), true),
            ("/repos", None, json!(["u"]), false),
            ("/attempt", Some(json!(1)), json!(1.5), false),
            ("/extra", None, json!([1]), true),
            ("/extra", Some(json!("a")), json!(1), false),
            ("/result", Some(json!("a")), json!(1), true),
        ] {
            assert_eq!(check(place, before.as_ref(), &after).is_ok(), fits, "{place} {after}");
        }
    }
}
