//! Who speaks in the tests of comments: two agents on one machine, and a squad when asked for.

use std::fmt::Display;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, id_of};

pub struct Cast<'g> {
    pub gateway: &'g Gateway,
    pub owner: Client,
    pub runtime: Uuid,
    /// Agents that everybody in the workspace may start.
    pub a: Uuid,
    pub b: Uuid,
}

impl<'g> Cast<'g> {
    pub async fn new(gateway: &'g Gateway) -> Self {
        let owner = gateway.user();
        let runtime = owner.register("dm-1", "claude").await;
        let a = gateway.seed_agent(runtime, "Abe", json!({})).await;
        let b = gateway.seed_agent(runtime, "Bo", json!({})).await;
        Self { gateway, owner, runtime, a, b }
    }

    /// A squad that the agent leads.
    pub async fn squad(&self, leader: Uuid) -> Uuid {
        self.gateway.seed_squad(self.gateway.workspace, "Core", leader, json!({})).await
    }

    /// An issue that nobody works on yet, given to `agent`, `squad` or `member` of that id.
    pub async fn issue(&self, kind: &str, id: Uuid) -> Uuid {
        let assignee = json!({"assignee_type": kind, "assignee_id": id});
        self.gateway.seed_issue(self.gateway.workspace, "Fix the build", assignee).await
    }

    pub async fn unassigned(&self) -> Uuid {
        self.gateway.seed_issue(self.gateway.workspace, "Fix the build", json!({})).await
    }

    /// The tasks on the issue, in the order they were made, each in short.
    pub async fn tasks(&self, issue: Uuid) -> Vec<Value> {
        const SQL: &str = "SELECT id, agent_id, status, trigger_comment_id, is_leader_task, squad_id,
            originator_user_id, escalation_for_task_id, fire_at, created_at, trigger_summary
            FROM agent_task_queue WHERE issue_id = $1 ORDER BY created_at, id";
        self.gateway.rows(SQL, json!([issue])).await
    }

    /// Whom the issue's tasks are for, in the order they were made, but for cancelled ones.
    pub async fn started(&self, issue: Uuid) -> Vec<Uuid> {
        let tasks = self.tasks(issue).await;
        let alive = tasks.iter().filter(|task| task["status"] != "cancelled" && task["status"] != "deferred");
        alive.map(|task| uuid(&task["agent_id"])).collect()
    }

    /// Claims and starts tasks until the agent is at work; gives it with its task's token, and the task.
    pub async fn at_work(&self, agent: Uuid) -> (Client, Uuid) {
        loop {
            let claim = self.owner.claim_one(self.runtime).await;
            let task = id_of(&claim);
            self.owner.start(task).await;
            if claim["agent"]["id"] == agent.to_string() {
                return (self.gateway.bearer(claim["auth_token"].as_str().unwrap()), task);
            }
        }
    }

    /// The agent at work on the issue, because somebody called it there; and the call.
    pub async fn called(&self, agent: Uuid, issue: Uuid) -> (Client, Uuid, Uuid) {
        let call = say(&self.owner, issue, &format!("{} go", at("agent", agent))).await;
        let (client, task) = self.at_work(agent).await;
        (client, task, call)
    }
}

/// A mention.
pub fn at(kind: &str, id: impl Display + Copy) -> String {
    format!("[@x](mention://{kind}/{id})")
}

/// Writes a comment; gives its id.
pub async fn say(client: &Client, issue: Uuid, content: &str) -> Uuid {
    id_of(&speak(client, issue, json!({"content": content})).await)
}

/// Answers a comment; gives the answer's id.
pub async fn answer(client: &Client, issue: Uuid, parent: Uuid, content: &str) -> Uuid {
    id_of(&speak(client, issue, json!({"content": content, "parent_id": parent})).await)
}

/// Writes a comment with more to it, which must succeed.
pub async fn speak(client: &Client, issue: Uuid, body: Value) -> Value {
    client.post(format!("/api/issues/{issue}/comments"), body).await.expect(201)
}

#[track_caller]
pub fn uuid(value: &Value) -> Uuid {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no id"))
}
