//! Puts the claimed task together. No I/O: what is not in the context is left out.

use serde_json::{Map, Value, json};

use super::bundle::Bundle;
use super::context::{Context, QuickCreateContext};
use super::source;
use crate::dispatch::claim::Claimed;
use crate::model::agent::Agent;
use crate::model::task::Task;
use crate::model::task_body::task_body;
use crate::model::time::seconds;

/// Whether the daemon asks for the content of skills later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SkillDelivery {
    Full,
    References,
}

/// The claimed task, but for what the stages decide: repositories, MCP configuration and
/// briefing.
pub fn assemble(claimed: &Claimed, context: &Context, delivery: SkillDelivery) -> Map<String, Value> {
    let task = &claimed.task;
    let mut body = Members(task_body(task, claimed.workspace_id));
    if let Some(around) = &context.around {
        body.put("agent", Value::Object(agent_block(&around.agent, context, delivery)));
        body.optional("requesting_user_name", around.owner_name.as_deref());
        body.optional("requesting_user_profile_description", around.owner_profile.as_deref());
    }
    connected_apps(&mut body, context);
    initiator(&mut body, task, context);
    issue(&mut body, context);
    trigger(&mut body, context);
    prior_session(&mut body, task, context);
    if let Some(quick_create) = &context.quick_create {
        quick_create_members(&mut body, quick_create, context);
    }
    if let Some(chat) = &context.chat {
        chat.members(&mut body.0);
    }
    if let Some(autopilot) = &context.autopilot {
        source::autopilot_members(autopilot, &mut body.0);
    }
    project_resources(&mut body, context);
    if let Some(text) = context.around.as_ref().and_then(|around| around.workspace_context.as_deref()) {
        body.text("workspace_context", text);
    }
    body.put("auth_token", claimed.token.clone().into());
    body.0
}

/// An answer under construction.
struct Members(Map<String, Value>);

impl Members {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Leaves an empty text out.
    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.put(name, text.into());
        }
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        self.text(name, text.unwrap_or_default());
    }
}

/// The agent as it is now, whatever it was when the task was queued.
fn agent_block(agent: &Agent, context: &Context, delivery: SkillDelivery) -> Map<String, Value> {
    let mut block = Members(Map::new());
    block.put("id", agent.id.to_string().into());
    block.put("name", agent.name.clone().into());
    block.put("instructions", agent.instructions.clone().into());
    if let Some(env) = agent.custom_env.as_object().filter(|env| !env.is_empty()) {
        block.put("custom_env", Value::Object(env.clone()));
    }
    if let Some(args) = agent.custom_args.as_array().filter(|args| !args.is_empty()) {
        block.put("custom_args", Value::Array(args.clone()));
    }
    block.optional("model", agent.model.as_deref());
    block.optional("thinking_level", agent.thinking_level.as_deref());
    let is_empty =
        agent.runtime_config.is_null() || agent.runtime_config.as_object().is_some_and(Map::is_empty);
    if !is_empty {
        block.put("runtime_config", agent.runtime_config.clone());
    }
    let bundles = context.skills.iter().map(|skill| Bundle::of(skill, &context.skill_files));
    let skills: Vec<Value> = match delivery {
        SkillDelivery::Full => bundles.map(|bundle| json!(bundle.full())).collect(),
        SkillDelivery::References => bundles.map(|bundle| json!(bundle.reference())).collect(),
    };
    if !skills.is_empty() {
        let name = if delivery == SkillDelivery::Full { "skills" } else { "skill_refs" };
        block.put(name, Value::Array(skills));
    }
    block.0
}

fn connected_apps(body: &mut Members, context: &Context) {
    let apps = context.around.as_ref().and_then(|around| around.runtime_connected_apps.as_ref());
    if let Some(apps) = apps.and_then(Value::as_array).filter(|apps| !apps.is_empty()) {
        body.put("connected_apps", Value::Array(apps.clone()));
    }
}

/// Who caused the task. A comment says more than the row.
fn initiator(body: &mut Members, task: &Task, context: &Context) {
    if let Some(user) = task.initiator_user_id {
        body.put("initiator_type", "member".into());
        body.put("initiator_id", user.to_string().into());
        if let Some(around) = &context.around {
            body.optional("initiator_name", around.initiator_name.as_deref());
            body.optional("initiator_email", around.initiator_email.as_deref());
        }
    }
    if let Some(trigger) = &context.trigger {
        body.put("initiator_type", trigger.author_type.clone().into());
        body.put("initiator_id", trigger.author_id.to_string().into());
        for name in ["initiator_name", "initiator_email"] {
            body.0.remove(name);
        }
        body.optional("initiator_name", trigger.author_name.as_deref());
        body.optional("initiator_email", trigger.author_email.as_deref());
    }
}

fn issue(body: &mut Members, context: &Context) {
    let Some(issue) = context.around.as_ref().and_then(|around| around.issue.as_ref()) else { return };
    body.text("thread_name", &issue.title);
    if let Some(project) = issue.project_id {
        body.put("project_id", project.to_string().into());
        body.optional("project_title", issue.project_title.as_deref());
        body.optional("project_description", issue.project_description.as_deref());
    }
}

fn trigger(body: &mut Members, context: &Context) {
    let Some(trigger) = &context.trigger else { return };
    body.text("trigger_comment_content", &trigger.content);
    body.put("trigger_thread_id", trigger.parent_id.unwrap_or(trigger.id).to_string().into());
    body.text("trigger_author_type", &trigger.author_type);
    body.optional("trigger_author_name", trigger.author_name.as_deref());
    if let Some(new) = &context.new_comments {
        body.put("new_comment_count", new.count.into());
        body.put("new_comments_since", seconds(new.since).into());
    }
}

/// A session lives on the machine it ran on; a directory is offered anywhere, and the
/// daemon looks whether it is there.
fn prior_session(body: &mut Members, task: &Task, context: &Context) {
    let Some(prior) = &context.prior else { return };
    if prior.runtime_id == task.runtime_id {
        body.text("prior_session_id", &prior.session_id);
    }
    body.optional("prior_work_dir", prior.work_dir.as_deref());
}

fn quick_create_members(body: &mut Members, quick_create: &QuickCreateContext, context: &Context) {
    let document = &quick_create.document;
    body.text("quick_create_prompt", &document.prompt);
    body.text("thread_name", &document.prompt);
    if !document.attachment_ids.is_empty() {
        body.put("quick_create_attachment_ids", json!(document.attachment_ids));
    }
    if let Some(project) = quick_create.project_id {
        body.put("project_id", project.to_string().into());
        body.optional("project_title", quick_create.project_title.as_deref());
        body.optional("project_description", quick_create.project_description.as_deref());
    }
    // Sent even when the issue is gone, so that creating below it fails loudly.
    body.optional("parent_issue_id", document.parent_issue_id.as_deref());
    body.optional("parent_issue_identifier", quick_create.parent_identifier.as_deref());
    if let Some(leads) = &context.squad {
        body.put("squad_id", leads.squad.id.to_string().into());
        body.text("squad_name", &leads.squad.name);
    }
}

fn project_resources(body: &mut Members, context: &Context) {
    if context.resources.is_empty() {
        return;
    }
    let resources = context.resources.iter().map(|resource| {
        let mut shown = Members(Map::new());
        shown.put("id", resource.id.to_string().into());
        shown.put("resource_type", resource.resource_type.clone().into());
        let reference = &resource.resource_ref;
        shown.put("resource_ref", if reference.is_null() { json!({}) } else { reference.clone() });
        shown.optional("label", resource.label.as_deref());
        Value::Object(shown.0)
    });
    let resources = resources.collect();
    body.put("project_resources", resources);
}
