//! The last of an issue's children, or of one stage of them, is over: whoever has the
//! parent goes on with it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::comment::{self, NewComment, Posted};
use super::enqueue::{self, EnqueueError, IssueRun};
use super::overlay::Prepared;
use super::{assign, permission};
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::ids::{AgentId, WorkspaceId};
use crate::model::issue::{Assignee, Issue, is_closed};
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::batch::Ids;
use crate::store::issue_tree::{self, Sibling};
use crate::store::{Conn, StoreError, issues, users, workspaces};

/// What a parent was told, and who was queued for it.
pub struct Told {
    workspace_id: WorkspaceId,
    posted: Posted,
    queued: Option<Task>,
}

/// Writes to the parent that its child was the last, and queues whoever has it, in the
/// transaction that ended the child. The parent is held until its end, so that of two children
/// that end together exactly one is the last. What forbids a task does not forbid the end. Tell
/// of it with [`tell`].
pub async fn write(
    conn: &mut Conn,
    actor: Actor,
    (before, after): (&Issue, &Issue),
    mut overlays: Prepared,
    now: Time,
) -> Result<Option<Told>, StoreError> {
    let Some((parent, content)) = notice(conn, before, after).await? else { return Ok(None) };
    let new = NewComment {
        issue_id: parent.id,
        workspace_id: parent.workspace_id,
        author_type: "system",
        author_id: Uuid::nil(),
        content,
        kind: "system",
        parent_id: None,
        source_task_id: None,
        attachments: Vec::new(),
    };
    let posted = comment::insert(conn, new.at(now), Ids::of([])).await?;
    let mut queued = None;
    if let Some(run) = run(conn, actor, &parent).await? {
        let overlay = overlays.of(run.agent_id);
        let run = IssueRun { trigger: Some(posted.comment.clone()), overlay, ..run };
        match enqueue::insert_issue_run(conn, &parent, run, now).await {
            Ok(task) => queued = Some(task),
            Err(EnqueueError::AlreadyPending) => {}
            Err(EnqueueError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(issue.id = %parent.id, %error, "nobody goes on with an issue whose children are over");
            }
        }
    }
    Ok(Some(Told { workspace_id: parent.workspace_id, posted, queued }))
}

/// Tells clients and the daemon, after the commit.
pub fn tell(app: &App, told: Told) {
    comment::tell(app, told.posted);
    if let Some(task) = &told.queued {
        enqueue::announce(app, told.workspace_id, task);
    }
}

/// The parent that must hear of its child, and what it hears.
async fn notice(
    conn: &mut Conn,
    before: &Issue,
    after: &Issue,
) -> Result<Option<(Issue, String)>, StoreError> {
    if before.is_closed() || !after.is_closed() {
        return Ok(None);
    }
    let Some(parent) = after.parent_issue_id else { return Ok(None) };
    let Some(parent) = issues::find_for_update(conn, parent).await? else { return Ok(None) };
    let listens = !parent.is_closed()
        && parent.status != "backlog"
        && !matches!(parent.assignee(), Some(Assignee::Member(_)));
    if !listens {
        return Ok(None);
    }
    let siblings = issue_tree::list_siblings(conn, parent.id).await?;
    let Some(closed) = barrier(after.stage, &siblings) else { return Ok(None) };
    let prefix = workspaces::find_issue_prefix(conn, after.workspace_id).await?;
    let mention = mention(conn, &parent).await?;
    let content = format!("{mention}{}", words(&closed, after, &prefix, &parent));
    Ok(Some((parent, content)))
}

/// An agent that has the parent starts whoever ended the child; a squad's leader only for
/// somebody who may start that leader.
async fn run(conn: &mut Conn, actor: Actor, parent: &Issue) -> Result<Option<IssueRun>, StoreError> {
    match parent.assignee() {
        Some(Assignee::Agent(id)) => Ok(Some(IssueRun::of(id))),
        Some(Assignee::Squad(id)) => {
            let by = permission::of_actor(conn, actor).await?;
            let workspace = parent.workspace_id;
            let Some(squad) = assign::find_squad(conn, workspace, id).await? else { return Ok(None) };
            let Some(leader) = assign::find_agent(conn, workspace, squad.leader_id).await? else {
                return Ok(None);
            };
            let may = permission::may_invoke(conn, &leader, by, workspace).await?;
            Ok(may.then(|| IssueRun { leads: Some(id), ..IssueRun::of(leader.id) }))
        }
        Some(Assignee::Member(_)) | None => Ok(None),
    }
}

/// Whom the end of this issue would start on its parent, if it were the last.
pub async fn candidate(conn: &mut Conn, child: &Issue) -> Result<Option<AgentId>, StoreError> {
    let Some(parent) = child.parent_issue_id else { return Ok(None) };
    let Some(parent) = issues::find(conn, parent).await? else { return Ok(None) };
    match parent.assignee() {
        Some(Assignee::Agent(id)) => Ok(Some(id)),
        Some(Assignee::Squad(id)) => {
            let squad = assign::find_squad(conn, parent.workspace_id, id).await?;
            Ok(squad.map(|squad| squad.leader_id))
        }
        Some(Assignee::Member(_)) | None => Ok(None),
    }
}

/// What came to its end.
#[derive(PartialEq, Eq, Debug)]
enum Closed {
    Everything,
    /// A stage, with how far each stage is: over, and all.
    Stage {
        stage: i32,
        progress: BTreeMap<i32, (usize, usize)>,
    },
}

/// Whether the end of a child of this stage is the last of something. Where any child has
/// a stage, those without one count for nothing.
fn barrier(stage: Option<i32>, siblings: &[Sibling]) -> Option<Closed> {
    let mut progress: BTreeMap<i32, (usize, usize)> = BTreeMap::new();
    for sibling in siblings {
        if let Some(stage) = sibling.stage {
            let (over, all) = progress.entry(stage).or_default();
            *over += usize::from(is_closed(&sibling.status));
            *all += 1;
        }
    }
    if progress.is_empty() {
        let over = siblings.iter().all(|sibling| is_closed(&sibling.status));
        return over.then_some(Closed::Everything);
    }
    let stage = stage?;
    let over = progress.range(..=stage).all(|(_, (over, all))| over == all);
    over.then_some(Closed::Stage { stage, progress })
}

fn words(closed: &Closed, child: &Issue, prefix: &str, parent: &Issue) -> String {
    let child = format!(
        "[{}](mention://issue/{}) — \"{}\"",
        child.identifier(prefix),
        child.id,
        // A title must not bring a mention of its own.
        child.title.replace("](mention://", "] (mention://"),
    );
    match closed {
        Closed::Everything => format!(
            "All sub-issues are complete — the last one, {child}, just finished. Continue the parent: synthesize \
             the children's results and move it forward, or close it out if nothing remains."
        ),
        Closed::Stage { stage, progress } => {
            let next = progress.iter().find(|(_, (over, all))| over < all).map(|(next, _)| *next);
            let summary: Vec<String> = progress
                .iter()
                .map(|(stage, (over, all))| {
                    let mark = if next == Some(*stage) { " (next)" } else { "" };
                    format!("Stage {stage}: {over}/{all} done{mark}")
                })
                .collect();
            format!(
                "Stage {stage} of this issue is complete — its last sub-issue {child} — just finished. Stage \
                 progress — {}.{}",
                summary.join("; "),
                tail(next, parent),
            )
        }
    }
}

fn tail(next: Option<i32>, parent: &Issue) -> String {
    match next {
        None => {
            " This was the final stage. Wrap up the parent — synthesize the results and move it forward, or \
                 close it out if nothing remains."
                .to_owned()
        }
        Some(next) => format!(
            " Stage {next} is next. Review the full layout with `multica issue children {}`, and if Stage {next}'s \
             dependencies are satisfied promote its `backlog` sub-issues to `todo` to continue. Read each \
             sub-issue's description first and only promote items whose stated dependencies are already met — do \
             not rely on this parent's higher-level breakdown alone. If a description conflicts with that \
             breakdown, leave it `backlog` and post a comment to confirm first.",
            parent.id
        ),
    }
}

/// A mention of whoever has the parent, with a space behind it; nothing when nobody has.
async fn mention(conn: &mut Conn, parent: &Issue) -> Result<String, StoreError> {
    let (kind, id, name) = match parent.assignee() {
        Some(Assignee::Agent(id)) => {
            let agent = assign::find_agent(conn, parent.workspace_id, id).await?;
            ("agent", id.0, agent.map(|agent| agent.name))
        }
        Some(Assignee::Squad(id)) => {
            let squad = assign::find_squad(conn, parent.workspace_id, id).await?;
            ("squad", id.0, squad.map(|squad| squad.name))
        }
        Some(Assignee::Member(id)) => {
            let user = users::find(conn, id).await?;
            ("member", id.0, user.map(|user| user.name))
        }
        None => return Ok(String::new()),
    };
    let Some(name) = name else { return Ok(String::new()) };
    let name = name.replace(']', "");
    let name = if name.trim().is_empty() { "assignee" } else { name.as_str() };
    Ok(format!("[@{name}](mention://{kind}/{id}) "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn siblings(list: &[(Option<i32>, &str)]) -> Vec<Sibling> {
        list.iter().map(|(stage, status)| Sibling { stage: *stage, status: (*status).to_owned() }).collect()
    }

    #[test]
    fn without_stages_all_must_be_over() {
        let open = siblings(&[(None, "done"), (None, "todo")]);
        assert_eq!(barrier(None, &open), None);
        let over = siblings(&[(None, "done"), (None, "cancelled")]);
        assert_eq!(barrier(None, &over), Some(Closed::Everything));
    }

    #[test]
    fn with_stages_only_they_count_and_earlier_ones_must_be_over() {
        let first_open = siblings(&[(Some(1), "todo"), (Some(2), "done"), (None, "done")]);
        assert_eq!(barrier(Some(2), &first_open), None);
        let first_over = siblings(&[(Some(1), "done"), (Some(2), "backlog"), (None, "todo")]);
        assert_eq!(barrier(None, &first_over), None);
        let Some(Closed::Stage { stage: 1, progress }) = barrier(Some(1), &first_over) else {
            panic!("the first stage is over");
        };
        assert_eq!(progress.into_iter().collect::<Vec<_>>(), [(1, (1, 1)), (2, (0, 1))]);
    }
}
