//! Autopilots: work that starts by itself, by the clock or by a webhook.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{
    AutopilotId, AutopilotRunId, DeliveryId, IssueId, ProjectId, TaskId, TriggerId, WorkspaceId,
};
use super::time::{Time, as_seconds, as_seconds_or_null, seconds};

/// A row of `autopilot`.
#[derive(Clone, Debug)]
pub struct Autopilot {
    pub id: AutopilotId,
    pub workspace_id: WorkspaceId,
    pub title: String,
    pub description: Option<String>,
    pub project_id: Option<ProjectId>,
    /// `agent` or `squad`.
    pub assignee_type: String,
    pub assignee_id: Option<Uuid>,
    /// `active`, `paused` or `archived`.
    pub status: String,
    /// `create_issue` or `run_only`.
    pub execution_mode: String,
    pub issue_title_template: Option<String>,
    pub created_by_type: String,
    pub created_by_id: Uuid,
    pub last_run_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Autopilot {
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// A row of `autopilot_trigger`.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub id: TriggerId,
    pub autopilot_id: AutopilotId,
    /// `schedule` or `webhook`.
    pub kind: String,
    pub enabled: bool,
    pub cron_expression: Option<String>,
    pub timezone: Option<String>,
    pub next_run_at: Option<Time>,
    /// Who knows it may set the autopilot off.
    pub webhook_token: Option<String>,
    /// `generic` or `github`.
    pub provider: Option<String>,
    /// Secret.
    pub signing_secret: Option<String>,
    pub event_filters: Option<Value>,
    pub label: Option<String>,
    pub last_fired_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Trigger {
    pub fn filters(&self) -> Vec<EventFilter> {
        let filters = self.event_filters.clone().unwrap_or_default();
        serde_json::from_value(filters).unwrap_or_default()
    }
}

/// Which events of a webhook count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventFilter {
    pub event: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
}

/// A row of `autopilot_run`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Run {
    pub id: AutopilotRunId,
    pub autopilot_id: AutopilotId,
    pub trigger_id: Option<TriggerId>,
    /// `manual`, `schedule` or `webhook`.
    pub source: String,
    /// `issue_created`, `running`, `completed`, `failed` or `skipped`.
    pub status: String,
    pub issue_id: Option<IssueId>,
    pub task_id: Option<TaskId>,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String)]
    pub triggered_at: Time,
    #[serde(serialize_with = "as_seconds_or_null::serialize")]
    #[schema(value_type = Option<String>)]
    pub completed_at: Option<Time>,
    pub failure_reason: Option<String>,
    pub trigger_payload: Option<Value>,
    pub result: Option<Value>,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String)]
    pub created_at: Time,
}

/// A row of `webhook_delivery`.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub workspace_id: WorkspaceId,
    pub autopilot_id: AutopilotId,
    pub trigger_id: TriggerId,
    pub provider: String,
    pub event: String,
    pub dedupe_key: Option<String>,
    pub dedupe_source: Option<String>,
    pub signature_status: String,
    pub status: String,
    pub attempt_count: i32,
    pub content_type: Option<String>,
    pub selected_headers: Value,
    pub raw_body: Option<String>,
    pub response_status: Option<i32>,
    pub response_body: Option<String>,
    pub autopilot_run_id: Option<AutopilotRunId>,
    pub replayed_from_delivery_id: Option<DeliveryId>,
    pub error: Option<String>,
    pub received_at: Time,
    pub last_attempt_at: Time,
    pub created_at: Time,
}

/// An autopilot as clients see it.
#[derive(Clone, Serialize, ToSchema)]
pub struct AutopilotBody {
    pub id: AutopilotId,
    pub workspace_id: WorkspaceId,
    pub title: String,
    pub description: Option<String>,
    pub project_id: Option<ProjectId>,
    pub assignee_type: String,
    pub assignee_id: Option<Uuid>,
    pub status: String,
    pub execution_mode: String,
    pub issue_title_template: Option<String>,
    pub created_by_type: String,
    pub created_by_id: Uuid,
    pub last_run_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub subscribers: Vec<SubscriberBody>,
}

impl AutopilotBody {
    pub fn new(autopilot: &Autopilot, subscribers: Vec<SubscriberBody>) -> Self {
        let autopilot = autopilot.clone();
        Self {
            id: autopilot.id,
            workspace_id: autopilot.workspace_id,
            title: autopilot.title,
            description: autopilot.description,
            project_id: autopilot.project_id,
            assignee_type: autopilot.assignee_type,
            assignee_id: autopilot.assignee_id,
            status: autopilot.status,
            execution_mode: autopilot.execution_mode,
            issue_title_template: autopilot.issue_title_template,
            created_by_type: autopilot.created_by_type,
            created_by_id: autopilot.created_by_id,
            last_run_at: autopilot.last_run_at.map(seconds),
            created_at: seconds(autopilot.created_at),
            updated_at: seconds(autopilot.updated_at),
            subscribers,
        }
    }
}

/// Who follows the issues that an autopilot makes.
#[derive(Clone, Serialize, ToSchema)]
pub struct SubscriberBody {
    pub user_type: &'static str,
    pub user_id: Uuid,
    pub created_at: String,
}

/// A trigger as clients see it.
#[derive(Clone, Serialize, ToSchema)]
pub struct TriggerBody {
    pub id: TriggerId,
    pub autopilot_id: AutopilotId,
    pub kind: String,
    pub enabled: bool,
    pub cron_expression: Option<String>,
    pub timezone: Option<String>,
    pub next_run_at: Option<String>,
    /// `null` for who may not write.
    pub webhook_token: Option<String>,
    pub webhook_path: Option<String>,
    pub webhook_url: Option<String>,
    pub provider: Option<String>,
    pub has_signing_secret: bool,
    /// The last four characters.
    pub signing_secret_hint: Option<String>,
    pub label: Option<String>,
    pub last_fired_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_filters: Vec<EventFilter>,
}

impl TriggerBody {
    /// `public_url` is where the world reaches this gateway, if that is known.
    pub fn new(trigger: &Trigger, may_write: bool, public_url: Option<&str>) -> Self {
        let token = trigger.webhook_token.clone().filter(|_| may_write);
        let path = token.as_ref().map(|token| format!("/api/webhooks/autopilots/{token}"));
        let secret = trigger.signing_secret.as_deref().filter(|secret| !secret.is_empty());
        let hint = secret.map(|secret| {
            let skipped = secret.chars().count().saturating_sub(4);
            secret.chars().skip(skipped).collect()
        });
        Self {
            id: trigger.id,
            autopilot_id: trigger.autopilot_id,
            kind: trigger.kind.clone(),
            enabled: trigger.enabled,
            cron_expression: trigger.cron_expression.clone(),
            timezone: trigger.timezone.clone(),
            next_run_at: trigger.next_run_at.map(seconds),
            webhook_token: token,
            webhook_url: path.as_ref().and_then(|path| Some(format!("{}{path}", public_url?))),
            webhook_path: path,
            provider: trigger.provider.clone(),
            has_signing_secret: secret.is_some(),
            signing_secret_hint: hint,
            label: trigger.label.clone(),
            last_fired_at: trigger.last_fired_at.map(seconds),
            created_at: seconds(trigger.created_at),
            updated_at: seconds(trigger.updated_at),
            event_filters: trigger.filters(),
        }
    }
}

/// A delivery as clients see it; the detail adds what was sent and answered.
#[derive(Clone, Serialize, ToSchema)]
pub struct DeliveryBody {
    pub id: DeliveryId,
    pub workspace_id: WorkspaceId,
    pub autopilot_id: AutopilotId,
    pub trigger_id: TriggerId,
    pub provider: String,
    pub event: String,
    pub dedupe_key: Option<String>,
    pub dedupe_source: Option<String>,
    pub signature_status: String,
    pub status: String,
    pub attempt_count: i32,
    pub content_type: Option<String>,
    pub response_status: Option<i32>,
    pub autopilot_run_id: Option<AutopilotRunId>,
    pub replayed_from_delivery_id: Option<DeliveryId>,
    pub error: Option<String>,
    pub received_at: String,
    pub last_attempt_at: String,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_headers: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
}

impl DeliveryBody {
    pub fn detail(delivery: Delivery) -> Self {
        let body = Self::row(delivery.clone());
        Self {
            selected_headers: Some(delivery.selected_headers),
            raw_body: delivery.raw_body,
            response_body: delivery.response_body,
            ..body
        }
    }

    pub fn row(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            workspace_id: delivery.workspace_id,
            autopilot_id: delivery.autopilot_id,
            trigger_id: delivery.trigger_id,
            provider: delivery.provider,
            event: delivery.event,
            dedupe_key: delivery.dedupe_key,
            dedupe_source: delivery.dedupe_source,
            signature_status: delivery.signature_status,
            status: delivery.status,
            attempt_count: delivery.attempt_count,
            content_type: delivery.content_type,
            response_status: delivery.response_status,
            autopilot_run_id: delivery.autopilot_run_id,
            replayed_from_delivery_id: delivery.replayed_from_delivery_id,
            error: delivery.error,
            received_at: seconds(delivery.received_at),
            last_attempt_at: seconds(delivery.last_attempt_at),
            created_at: seconds(delivery.created_at),
            selected_headers: None,
            raw_body: None,
            response_body: None,
        }
    }
}

/// The first word in `{{…}}` that a title template does not know.
pub fn unknown_variable(template: &str) -> Option<&str> {
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let inner = &rest[at + 2..];
        let end = inner.find("}}")?;
        let word = inner[..end].trim();
        if word != "date" {
            return Some(word);
        }
        rest = &inner[end + 2..];
    }
    None
}

/// The title of an autopilot's issue on a day.
pub fn render_title(template: &str, date: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match from.find("}}") {
            Some(end) if from[2..end].trim() == "date" => {
                out.push_str(date);
                rest = &from[end + 2..];
            }
            _ => {
                out.push_str("{{");
                rest = &from[2..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_date_is_filled_in() {
        for (template, expected) in [
            ("Report {{date}}", "Report 2026-01-02"),
            ("{{ date }} and {{date}}", "2026-01-02 and 2026-01-02"),
            ("{{who}} {{date}}", "{{who}} 2026-01-02"),
            ("{{date", "{{date"),
            ("no", "no"),
        ] {
            assert_eq!(render_title(template, "2026-01-02"), expected, "{template}");
        }
        assert_eq!(unknown_variable("{{date}} {{foo}}"), Some("foo"));
        assert_eq!(unknown_variable("{{ date }}"), None);
        assert_eq!(unknown_variable("{{unfinished"), None);
    }
}
