//! `/api/squads/{id}/members/status`: what the members are doing.

use std::collections::HashMap;

use axum::Json;
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::squad_path::SquadInPath;
use crate::model::ids::IssueId;
use crate::model::time::{Time, seconds};
use crate::store::squad_status::{self, MemberState};
use crate::store::workspaces;

/// How long after its last sign of life a runtime may come back any moment.
const UNSTABLE: TimeDelta = TimeDelta::minutes(5);

/// Put under `/api/squads`.
pub(super) fn on_squads() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Serialize, ToSchema)]
struct MemberStatuses {
    members: Vec<MemberStatus>,
}

/// What one member is doing.
#[derive(Debug, Serialize, ToSchema)]
struct MemberStatus {
    /// `agent`, or `member` for a person.
    member_type: String,
    member_id: Uuid,
    /// `archived`, `working`, `idle`, `unstable` or `offline`; null for people.
    status: Option<&'static str>,
    active_issues: Vec<WorkedOn>,
    #[schema(format = DateTime)]
    last_active_at: Option<String>,
}

/// An issue that an agent works on.
#[derive(Debug, Serialize, ToSchema)]
struct WorkedOn {
    issue_id: IssueId,
    identifier: String,
    title: String,
    issue_status: String,
}

/// What everyone in the squad is doing, in the order they joined.
#[utoipa::path(get, path = "/{id}/members/status", tag = "squads",
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 200, body = MemberStatuses), (status = 404, body = ErrorBody, description = "No such squad in the workspace")))]
async fn list(app: App, SquadInPath(squad): SquadInPath) -> Result<Json<MemberStatuses>, Error> {
    let failed = |error| Error::internal("failed to load squad member status", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let states = squad_status::list(&mut conn, squad.id).await.map_err(failed)?;
    let workspace = workspaces::find(&mut conn, squad.workspace_id).await.map_err(failed)?;
    let prefix = workspace.map(|workspace| workspace.issue_prefix).unwrap_or_default();
    let mut issues: HashMap<Uuid, Vec<WorkedOn>> = HashMap::new();
    for issue in squad_status::list_issues(&mut conn, squad.id).await.map_err(failed)? {
        issues.entry(issue.agent_id.0).or_default().push(WorkedOn {
            issue_id: issue.issue_id,
            identifier: format!("{prefix}-{}", issue.number),
            title: issue.title,
            issue_status: issue.status,
        });
    }
    let now = app.clock.now();
    let members = states.into_iter().map(|state| {
        let is_agent = state.member_type == "agent";
        MemberStatus {
            status: is_agent.then(|| status(&state, now)),
            active_issues: if is_agent {
                issues.remove(&state.member_id).unwrap_or_default()
            } else {
                Vec::new()
            },
            last_active_at: state.last_active_at.map(seconds),
            member_type: state.member_type,
            member_id: state.member_id,
        }
    });
    Ok(Json(MemberStatuses { members: members.collect() }))
}

/// First match: archived, at work, without a runtime, reachable, just lost, lost.
fn status(agent: &MemberState, now: Time) -> &'static str {
    if agent.archived {
        return "archived";
    }
    if agent.busy {
        return "working";
    }
    match agent.runtime_status.as_deref() {
        Some("online") => "idle",
        Some(_) if agent.last_seen_at.is_some_and(|at| now - at < UNSTABLE) => "unstable",
        _ => "offline",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_wins() {
        let now = Time::default() + TimeDelta::days(1);
        let state = |archived, busy, runtime: Option<&str>, seen_ago: i64| MemberState {
            member_type: "agent".to_owned(),
            member_id: Uuid::nil(),
            archived,
            busy,
            runtime_status: runtime.map(str::to_owned),
            last_seen_at: Some(now - TimeDelta::seconds(seen_ago)),
            last_active_at: None,
        };
        for (agent, expected) in [
            (state(true, true, Some("online"), 0), "archived"),
            (state(false, true, Some("offline"), 9999), "working"),
            (state(false, false, None, 0), "offline"),
            (state(false, false, Some("online"), 9999), "idle"),
            (state(false, false, Some("offline"), 299), "unstable"),
            (state(false, false, Some("offline"), 300), "offline"),
        ] {
            assert_eq!(status(&agent, now), expected, "{agent:?}");
        }
    }
}
