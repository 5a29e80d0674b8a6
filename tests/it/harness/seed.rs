//! Rows that a scenario begins with. Each takes an object whose members go over the defaults,
//! column by column, and gives the new row's id.

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Client, Gateway};

impl Gateway {
    pub async fn seed_workspace(&self, slug: &str, more: Value) -> Uuid {
        self.seed("workspace", json!({"name": slug, "slug": slug, "issue_prefix": "TST"}), more).await
    }

    /// A new member of the gateway's workspace: `owner`, `admin` or `member`.
    pub async fn join(&self, name: &str, role: &str) -> Client {
        let client = self.seed_user(name).await;
        self.seed_member(self.workspace, client.id, role).await;
        client
    }

    /// A new user who owns a new workspace, which the client is set to.
    pub async fn stranger(&self, name: &str) -> Client {
        let client = self.seed_user(name).await;
        let workspace = self.seed_workspace(&format!("{}-place", name.to_lowercase()), json!({})).await;
        self.seed_member(workspace, client.id, "owner").await;
        client.in_workspace(workspace)
    }

    /// A user who is a member of nothing, with a personal access token.
    pub async fn seed_user(&self, name: &str) -> Client {
        let email = format!("{}@example.com", name.to_lowercase());
        let id = self.seed("\"user\"", json!({"name": name, "email": email}), json!({})).await;
        let token = self.seed_personal_token(id, json!({})).await;
        let name = name.to_owned();
        Client { id, name, email, ..self.user().with_token(token) }
    }

    pub async fn seed_member(&self, workspace: Uuid, user: Uuid, role: &str) {
        let member = json!({"workspace_id": workspace, "user_id": user, "role": role});
        self.seed("member", member, json!({})).await;
    }

    /// A `mul_` token of the user.
    pub async fn seed_personal_token(&self, user: Uuid, more: Value) -> String {
        let token = fresh_token("mul_");
        let row = json!({
            "user_id": user, "name": "test", "token_hash": hash(&token), "token_prefix": &token[..12],
        });
        self.seed("personal_access_token", row, more).await;
        token
    }

    /// A `mdt_` token that confines a daemon to the workspace.
    pub async fn daemon(&self, workspace: Uuid, daemon_id: &str) -> Client {
        let token = fresh_token("mdt_");
        self.seed_daemon_token(&token, workspace, daemon_id, &ahead(3600)).await;
        self.bearer(&token).in_workspace(workspace)
    }

    pub async fn seed_daemon_token(&self, token: &str, workspace: Uuid, daemon_id: &str, expires_at: &str) {
        let row = json!({
            "token_hash": hash(token), "workspace_id": workspace, "daemon_id": daemon_id, "expires_at": expires_at,
        });
        self.seed("daemon_token", row, json!({})).await;
    }

    /// An online runtime; `owner` may be nil for none.
    pub async fn seed_runtime(&self, workspace: Uuid, owner: Uuid, more: Value) -> Uuid {
        let now = ahead(0);
        let row = json!({
            "workspace_id": workspace, "daemon_id": "seeded", "name": "Claude", "provider": "claude",
            "status": "online", "last_seen_at": now,
            "owner_id": (!owner.is_nil()).then_some(owner),
        });
        self.seed("agent_runtime", row, more).await
    }

    pub async fn seed_profile(&self, workspace: Uuid, more: Value) -> Uuid {
        let row = json!({
            "workspace_id": workspace, "display_name": "My Claude", "protocol_family": "claude",
            "command_name": "my-claude",
        });
        self.seed("runtime_profile", row, more).await
    }

    /// An agent on the runtime, owned by the runtime's owner, that anybody in the workspace may use.
    pub async fn seed_agent(&self, runtime: Uuid, name: &str, more: Value) -> Uuid {
        let runtime_row = self
            .row("SELECT workspace_id, owner_id FROM agent_runtime WHERE id = $1", json!([runtime]))
            .await;
        let row = json!({
            "workspace_id": runtime_row["workspace_id"], "owner_id": runtime_row["owner_id"],
            "name": name, "runtime_id": runtime, "status": "idle",
            "visibility": "workspace", "permission_mode": "public_to",
        });
        let id = self.seed("agent", row, more).await;
        let target = json!({
            "agent_id": id, "target_type": "workspace", "target_id": runtime_row["workspace_id"],
        });
        self.seed("agent_invocation_target", target, json!({})).await;
        id
    }

    pub async fn seed_issue(&self, workspace: Uuid, title: &str, more: Value) -> Uuid {
        const NEXT: &str =
            "UPDATE workspace SET issue_counter = issue_counter + 1 WHERE id = $1 RETURNING issue_counter";
        let number = self.value(NEXT, json!([workspace])).await;
        let row = json!({
            "workspace_id": workspace, "number": number, "title": title, "creator_type": "member",
            "creator_id": self.user().id,
        });
        self.seed("issue", row, more).await
    }

    /// A comment on the issue; `author_type` is `member` or `agent`.
    pub async fn seed_comment(
        &self,
        issue: Uuid,
        author_type: &str,
        author: Uuid,
        content: &str,
        more: Value,
    ) -> Uuid {
        let workspace = self.value("SELECT workspace_id FROM issue WHERE id = $1", json!([issue])).await;
        let row = json!({
            "issue_id": issue, "workspace_id": workspace, "author_type": author_type, "author_id": author,
            "content": content,
        });
        self.seed("comment", row, more).await
    }

    pub async fn seed_project(&self, workspace: Uuid, title: &str, more: Value) -> Uuid {
        self.seed("project", json!({"workspace_id": workspace, "title": title}), more).await
    }

    pub async fn seed_resource(&self, project: Uuid, kind: &str, reference: Value, more: Value) -> Uuid {
        let workspace = self.value("SELECT workspace_id FROM project WHERE id = $1", json!([project])).await;
        let row = json!({
            "project_id": project, "workspace_id": workspace, "resource_type": kind, "resource_ref": reference,
        });
        self.seed("project_resource", row, more).await
    }

    /// A skill with files, given as `[["path", "content"], …]`, bound to the agent unless it is nil.
    pub async fn seed_skill(&self, agent: Uuid, name: &str, content: &str, files: &[(&str, &str)]) -> Uuid {
        let workspace = if agent.is_nil() {
            json!(self.workspace)
        } else {
            self.value("SELECT workspace_id FROM agent WHERE id = $1", json!([agent])).await
        };
        let row = json!({"workspace_id": workspace, "name": name, "content": content});
        let skill = self.seed("skill", row, json!({})).await;
        for (path, content) in files {
            let row = json!({"skill_id": skill, "path": path, "content": content});
            self.seed("skill_file", row, json!({})).await;
        }
        if !agent.is_nil() {
            self.insert("agent_skill", json!({"agent_id": agent, "skill_id": skill})).await;
        }
        skill
    }

    pub async fn seed_squad(&self, workspace: Uuid, name: &str, leader: Uuid, more: Value) -> Uuid {
        let row = json!({
            "workspace_id": workspace, "name": name, "leader_id": leader, "creator_id": self.user().id,
        });
        let squad = self.seed("squad", row, more).await;
        self.seed_squad_member(squad, "agent", leader, "leader").await;
        squad
    }

    pub async fn seed_squad_member(&self, squad: Uuid, kind: &str, member: Uuid, role: &str) {
        let row = json!({"squad_id": squad, "member_type": kind, "member_id": member, "role": role});
        self.seed("squad_member", row, json!({})).await;
    }

    pub async fn seed_chat(&self, agent: Uuid, more: Value) -> Uuid {
        let workspace = self.value("SELECT workspace_id FROM agent WHERE id = $1", json!([agent])).await;
        let row = json!({"workspace_id": workspace, "agent_id": agent, "creator_id": self.user().id});
        self.seed("chat_session", row, more).await
    }

    /// A message in a chat; `role` is `user` or `assistant`.
    pub async fn seed_chat_message(&self, chat: Uuid, role: &str, content: &str, more: Value) -> Uuid {
        let row = json!({"chat_session_id": chat, "role": role, "content": content, "created_at": ahead(0)});
        self.seed("chat_message", row, more).await
    }

    /// A run of a new autopilot for the agent.
    pub async fn seed_autopilot_run(&self, agent: Uuid, title: &str, more: Value) -> Uuid {
        let workspace = self.value("SELECT workspace_id FROM agent WHERE id = $1", json!([agent])).await;
        let autopilot = json!({
            "workspace_id": workspace, "title": title, "description": format!("{title}, described"),
            "assignee_id": agent, "created_by_type": "member", "created_by_id": self.user().id,
        });
        let autopilot = self.seed("autopilot", autopilot, json!({})).await;
        let run = json!({"autopilot_id": autopilot, "source": "manual", "status": "running"});
        self.seed("autopilot_run", run, more).await
    }

    /// A queued task of the agent, on the agent's runtime. Say what it is bound to with `issue_id`,
    /// `chat_session_id`, `autopilot_run_id` or a `context` document.
    pub async fn seed_task(&self, agent: Uuid, more: Value) -> Uuid {
        let runtime = self.value("SELECT runtime_id FROM agent WHERE id = $1", json!([agent])).await;
        let row = json!({
            "agent_id": agent, "runtime_id": runtime, "originator_user_id": self.user().id,
            "created_at": ahead(0),
        });
        self.seed("agent_task_queue", row, more).await
    }

    /// So many tasks with nothing to work on, years old, made by the database alone.
    pub async fn seed_many(&self, agent: Uuid, runtime: Uuid, status: &str, count: i64) {
        const SQLITE: &str = "INSERT INTO agent_task_queue
                (id, agent_id, runtime_id, status, context, completed_at, created_at)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $4)
            SELECT randomblob(16), $1, $2, $3, '{\"type\":\"quick_create\",\"prompt\":\"x\"}',
                '2020-01-01T00:00:00.000000+00:00', '2020-01-01T00:00:00.000000+00:00' FROM n";
        const POSTGRES: &str = "INSERT INTO agent_task_queue
                (id, agent_id, runtime_id, status, context, completed_at, created_at)
            SELECT gen_random_uuid(), $1, $2, $3, '{\"type\":\"quick_create\",\"prompt\":\"x\"}',
                '2020-01-01Z', '2020-01-01Z' FROM generate_series(1, $4)";
        let sql = if self.engine == super::Engine::Sqlite { SQLITE } else { POSTGRES };
        self.execute(sql, json!([agent, runtime, status, count])).await;
    }

    /// A queued task on a new issue of the agent's workspace.
    pub async fn seed_issue_task(&self, agent: Uuid, more: Value) -> Uuid {
        let workspace = self.value("SELECT workspace_id FROM agent WHERE id = $1", json!([agent])).await;
        let workspace: Uuid = workspace.as_str().unwrap().parse().unwrap();
        let issue = self.seed_issue(workspace, "Fix the build", json!({})).await;
        self.seed_task(agent, over(json!({"issue_id": issue}), more)).await
    }

    /// A queued quick-create task of the agent.
    pub async fn seed_quick_create(&self, agent: Uuid, prompt: &str, more: Value) -> Uuid {
        let workspace = self.value("SELECT workspace_id FROM agent WHERE id = $1", json!([agent])).await;
        let document = json!({
            "type": "quick_create", "prompt": prompt, "requester_id": self.user().id, "workspace_id": workspace,
        });
        self.seed_task(agent, json!({"context": over(document, more)})).await
    }

    /// Adds a row with an id of its own, `more` over `row`.
    pub async fn seed(&self, table: &str, row: Value, more: Value) -> Uuid {
        let id = Uuid::now_v7();
        self.insert(table, over(over(json!({"id": id}), row), more)).await;
        id
    }
}

/// The members of `more` laid over those of `base`.
pub fn over(mut base: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("more members are an object, not {more}") };
    base.as_object_mut().unwrap().extend(more);
    base
}

/// The time in so many seconds, or so many seconds ago, as a row's member takes it.
pub fn ahead(seconds: i64) -> String {
    (Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub fn fresh_token(prefix: &str) -> String {
    let (a, b) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    format!("{prefix}{a}{}", &b[..8])
}

/// What is stored in place of a token.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
