//! What an autopilot may be: its members, checked in the order in which clients expect to
//! hear of a mistake.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::autopilots::{cleared, given};
use crate::dispatch::permission;
use crate::http::body::Sent;
use crate::http::error::Error;
use crate::http::extract::Scope;
use crate::model::autopilot::{Autopilot, unknown_variable};
use crate::model::ids::{AgentId, AutopilotId, ProjectId, SquadId, UserId, parse_uuid};
use crate::model::time::Time;
use crate::store::{Conn, agents, projects, squads, users};

const TITLE_CHARS: usize = 500;
const SUBSCRIBERS: usize = 200;
const MODES: [&str; 2] = ["create_issue", "run_only"];
const STATUSES: [&str; 3] = ["active", "paused", "archived"];

#[derive(Deserialize, ToSchema)]
#[schema(as = SubscriberChosen)]
pub(super) struct Subscriber {
    user_type: Option<String>,
    user_id: Option<String>,
}

/// A new autopilot as it is sent.
#[derive(Deserialize, ToSchema)]
pub(super) struct New {
    title: Option<String>,
    assignee_id: Option<String>,
    execution_mode: Option<String>,
    assignee_type: Option<String>,
    description: Option<String>,
    project_id: Option<String>,
    issue_title_template: Option<String>,
    subscribers: Option<Vec<Subscriber>>,
}

impl New {
    pub(super) async fn read(
        self,
        conn: &mut Conn,
        scope: &Scope,
        now: Time,
    ) -> Result<(Autopilot, Vec<UserId>), Error> {
        let title = title(self.title.unwrap_or_default())?;
        let assignee =
            given(self.assignee_id).ok_or_else(|| Error::bad_request("assignee_id is required"))?;
        let mode =
            given(self.execution_mode).ok_or_else(|| Error::bad_request("execution_mode is required"))?;
        if !MODES.contains(&mode.as_str()) {
            return Err(Error::bad_request("execution_mode must be create_issue or run_only"));
        }
        let template = given(self.issue_title_template);
        check_template(template.as_deref())?;
        let kind = given(self.assignee_type).unwrap_or_else(|| "agent".to_owned());
        let assignee = assignee_id(conn, scope, &kind, &assignee).await?;
        let project_id = project(conn, scope, given(self.project_id).as_deref()).await?;
        let subscribers = subscribers(conn, scope, self.subscribers.unwrap_or_default()).await?;
        let autopilot = Autopilot {
            id: AutopilotId::new(),
            workspace_id: scope.workspace_id,
            title,
            description: self.description.filter(|text| !text.is_empty()),
            project_id,
            assignee_type: kind,
            assignee_id: Some(assignee),
            status: "active".to_owned(),
            execution_mode: mode,
            issue_title_template: template,
            created_by_type: "member".to_owned(),
            created_by_id: scope.user_id.0,
            last_run_at: None,
            created_at: now,
            updated_at: now,
        };
        Ok((autopilot, subscribers))
    }
}

/// Changes to an autopilot as they are sent.
#[derive(Deserialize, ToSchema)]
#[schema(as = AutopilotChanges)]
pub(super) struct Changes {
    title: Option<String>,
    status: Option<String>,
    execution_mode: Option<String>,
    description: Option<String>,
    assignee_type: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    assignee_id: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    project_id: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    issue_title_template: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Subscriber>>)]
    subscribers: Sent<Vec<Subscriber>>,
}

impl Changes {
    /// The autopilot as it is to be, and its subscribers if they change.
    pub(super) async fn read(
        self,
        conn: &mut Conn,
        scope: &Scope,
        before: Autopilot,
        now: Time,
    ) -> Result<(Autopilot, Option<Vec<UserId>>), Error> {
        let mut autopilot = Autopilot { updated_at: now, ..before };
        if let Some(text) = self.title {
            autopilot.title = title(text)?;
        }
        if let Some(status) = self.status {
            if !STATUSES.contains(&status.as_str()) {
                return Err(Error::bad_request("status must be active, paused or archived"));
            }
            autopilot.status = status;
        }
        if let Some(mode) = self.execution_mode {
            if !MODES.contains(&mode.as_str()) {
                return Err(Error::bad_request("execution_mode must be create_issue or run_only"));
            }
            autopilot.execution_mode = mode;
        }
        if let Some(description) = self.description {
            autopilot.description = Some(description);
        }
        autopilot.issue_title_template = cleared(self.issue_title_template, autopilot.issue_title_template);
        check_template(autopilot.issue_title_template.as_deref())?;
        let kind = given(self.assignee_type);
        match (self.assignee_id, kind) {
            (Sent::Null, _) => return Err(Error::bad_request("assignee_id cannot be null")),
            (Sent::Absent, Some(kind)) if kind != autopilot.assignee_type => {
                return Err(Error::bad_request("assignee_id is required when changing assignee_type"));
            }
            (Sent::Absent, _) => {}
            (Sent::Value(id), kind) => {
                let kind = kind.unwrap_or(autopilot.assignee_type);
                autopilot.assignee_id = Some(assignee_id(conn, scope, &kind, id.trim()).await?);
                autopilot.assignee_type = kind;
            }
        }
        autopilot.project_id = match self.project_id {
            Sent::Absent => autopilot.project_id,
            Sent::Null => None,
            Sent::Value(id) => project(conn, scope, given(Some(id)).as_deref()).await?,
        };
        let subscribers = match self.subscribers {
            Sent::Absent => None,
            Sent::Null => Some(Vec::new()),
            Sent::Value(sent) => Some(subscribers(conn, scope, sent).await?),
        };
        Ok((autopilot, subscribers))
    }
}

fn title(text: String) -> Result<String, Error> {
    if text.trim().is_empty() {
        return Err(Error::bad_request("title is required"));
    }
    if text.chars().count() > TITLE_CHARS {
        return Err(Error::bad_request("title is too long"));
    }
    Ok(text)
}

fn check_template(template: Option<&str>) -> Result<(), Error> {
    match template.and_then(unknown_variable) {
        Some(word) => {
            Err(Error::bad_request(format!("unknown template variable \"{word}\"; supported: {{{{date}}}}")))
        }
        None => Ok(()),
    }
}

async fn assignee_id(conn: &mut Conn, scope: &Scope, kind: &str, id: &str) -> Result<Uuid, Error> {
    let id = parse_uuid(id).ok_or_else(|| Error::bad_request("invalid assignee_id"))?;
    let workspace = scope.workspace_id;
    match kind {
        "agent" => {
            // Archived and private ones may be named; each run looks again.
            let agent = agents::find(conn, AgentId(id)).await?;
            let agent = agent.filter(|agent| agent.workspace_id == workspace);
            agent.ok_or_else(|| Error::bad_request("assignee must be a valid agent in this workspace"))?;
        }
        "squad" => {
            let squad = squads::find(conn, SquadId(id)).await?;
            let squad = squad.filter(|squad| squad.workspace_id == workspace);
            let squad = squad
                .ok_or_else(|| Error::bad_request("assignee must be a valid squad in this workspace"))?;
            if squad.archived_at.is_some() {
                return Err(unprocessable("squad is archived; pick a different squad"));
            }
            let leader = agents::find(conn, squad.leader_id).await?;
            let leader = leader.filter(|agent| agent.workspace_id == workspace);
            let leader = leader.ok_or_else(|| Error::bad_request("squad leader agent not found"))?;
            if leader.archived_at.is_some() {
                return Err(unprocessable(
                    "squad leader is archived; pick a different squad or rotate the leader before assigning \
                     autopilot",
                ));
            }
            let by = permission::of_actor(conn, scope.actor).await?;
            if !permission::may_invoke(conn, &leader, by, workspace).await? {
                return Err(Error::forbidden("cannot assign autopilot to squad with private leader"));
            }
        }
        _ => return Err(Error::bad_request("assignee_type must be agent or squad")),
    }
    Ok(id)
}

fn unprocessable(message: &str) -> Error {
    Error::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, message)
}

async fn project(conn: &mut Conn, scope: &Scope, id: Option<&str>) -> Result<Option<ProjectId>, Error> {
    let Some(id) = id else { return Ok(None) };
    let id = parse_uuid(id).map(ProjectId).ok_or_else(|| Error::bad_request("invalid project_id"))?;
    let project = projects::find(conn, id).await?;
    let project = project.filter(|project| project.workspace_id == scope.workspace_id);
    project.ok_or_else(|| Error::bad_request("project_id must reference a project in this workspace"))?;
    Ok(Some(id))
}

async fn subscribers(conn: &mut Conn, scope: &Scope, sent: Vec<Subscriber>) -> Result<Vec<UserId>, Error> {
    if sent.len() > SUBSCRIBERS {
        return Err(Error::bad_request(format!("subscribers: at most {SUBSCRIBERS} are taken")));
    }
    let mut read = Vec::with_capacity(sent.len());
    for (i, subscriber) in sent.into_iter().enumerate() {
        if subscriber.user_type.as_deref() != Some("member") {
            return Err(Error::bad_request(format!("subscribers[{i}].user_type must be 'member'")));
        }
        let id = given(subscriber.user_id)
            .ok_or_else(|| Error::bad_request(format!("subscribers[{i}].user_id is required")))?;
        let id = parse_uuid(&id)
            .map(UserId)
            .ok_or_else(|| Error::bad_request(format!("invalid subscribers[{i}].user_id")))?;
        let role = users::find_role(conn, id, scope.workspace_id).await?;
        role.ok_or_else(|| {
            Error::bad_request(format!("subscribers[{i}] is not a member of this workspace"))
        })?;
        read.push(id);
    }
    Ok(read)
}
