//! Years of work, put into the tables by the database alone.

use serde_json::{Value, json};

use super::{Engine, Gateway, World, ahead};

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// Runtimes with an agent each, in other places than where a scenario works.
    pub agents: i64,
    /// Ended tasks with a message, usage and a comment each, spread over those agents and as many issues.
    pub spread: i64,
    /// The same, all of the world's first agent on its first issue.
    pub piled: i64,
    /// Tasks that wait, and tasks that wait for their time; spread over those agents, all of whom are busy.
    pub waiting: i64,
}

/// Ids are made differently, and read differently as text.
fn for_engine(engine: Engine, sql: &str) -> String {
    let id = if engine == Engine::Sqlite { "randomblob(16)" } else { "gen_random_uuid()" };
    let series = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)";
    let crowd = "a AS (SELECT a.id, a.runtime_id, row_number() OVER (ORDER BY a.id) - 1 AS place,
            count(*) OVER () AS total FROM agent a JOIN agent_runtime r ON r.id = a.runtime_id
            WHERE a.name LIKE 'Past %' AND r.status = 'online'),
        j AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total
            FROM issue WHERE title = 'Past')";
    let text = if engine == Engine::Sqlite { "hex" } else { "concat" };
    sql.replace("{id}", id).replace("{text}", text).replace("{n}", series).replace("{crowd}", crowd)
}

const RUNTIMES: &str = "INSERT INTO agent_runtime
        (id, workspace_id, daemon_id, name, provider, status, last_seen_at, owner_id)
    {n} SELECT {id}, $2, 'past-' || n.i, 'Past', 'claude', CASE WHEN n.i % 3 = 0 THEN 'offline' ELSE 'online' END,
        $3, $4 FROM n";
const AGENTS: &str = "INSERT INTO agent
        (id, workspace_id, name, runtime_id, owner_id, max_concurrent_tasks, permission_mode)
    SELECT {id}, r.workspace_id, 'Past ' || r.daemon_id, r.id, r.owner_id, 1, 'public_to'
    FROM agent_runtime r WHERE r.daemon_id LIKE 'past-%'";
const ISSUES: &str =
    "INSERT INTO issue (id, workspace_id, number, title, title_digest, creator_type, creator_id)
    {n} SELECT {id}, $2, 1000000 + n.i, 'Past', 'past-' || n.i, 'member', $3 FROM n";
const SPREAD: &str =
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, issue_id, originator_user_id, status,
        session_id, dispatched_at, started_at, completed_at, created_at)
    {n}, {crowd} SELECT {id}, a.id, a.runtime_id, j.id, $2, 'completed', 's', $3, $3, $3, $3
    FROM n JOIN a ON a.place = n.i % a.total JOIN j ON j.place = n.i % j.total";
const PILED: &str =
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, issue_id, originator_user_id, status,
        session_id, dispatched_at, started_at, completed_at, created_at)
    {n} SELECT {id}, $2, $3, $4, $5, 'completed', 's', $6, $6, $6, $6 FROM n";
const RUNNING: &str = "INSERT INTO agent_task_queue
        (id, agent_id, runtime_id, issue_id, status, dispatched_at, started_at, created_at)
    WITH {crowd} SELECT {id}, a.id, a.runtime_id, j.id, 'running', $1, $1, $1 FROM a JOIN j ON j.place = a.place";
const WAITING: &str = "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, context, fire_at, created_at)
    {n}, {crowd} SELECT {id}, a.id, a.runtime_id, CASE WHEN n.i % 4 = 0 THEN 'deferred' ELSE 'queued' END, $2, $3, $4
    FROM n JOIN a ON a.place = n.i % a.total";
/// What hangs on tasks.
const REST: [&str; 8] = [
    "INSERT INTO task_message (id, task_id, seq, type, content)
        SELECT {id}, t.id, 1, 'text', 'Past' FROM agent_task_queue t WHERE t.session_id = 's'",
    "INSERT INTO task_usage (id, task_id, provider, model)
        SELECT {id}, t.id, 'claude', 'm' FROM agent_task_queue t WHERE t.session_id = 's'",
    "INSERT INTO comment (id, issue_id, workspace_id, author_type, author_id, content, created_at)
        SELECT {id}, t.issue_id, i.workspace_id, 'agent', t.agent_id, 'Past', t.created_at
        FROM agent_task_queue t JOIN issue i ON i.id = t.issue_id WHERE t.session_id = 's'",
    "INSERT INTO activity_log (id, workspace_id, issue_id, actor_type, action)
        SELECT {id}, i.workspace_id, i.id, 'system', 'past'
        FROM agent_task_queue t JOIN issue i ON i.id = t.issue_id WHERE t.session_id = 's'",
    "INSERT INTO inbox_item (id, workspace_id, recipient_type, recipient_id, type, issue_id, title)
        SELECT {id}, i.workspace_id, 'member', t.originator_user_id, 'past', i.id, 'Past'
        FROM agent_task_queue t JOIN issue i ON i.id = t.issue_id WHERE t.session_id = 's'",
    "INSERT INTO chat_session (id, workspace_id, agent_id, creator_id)
        SELECT {id}, a.workspace_id, a.id, a.owner_id FROM agent a WHERE a.name LIKE 'Past %'",
    "INSERT INTO chat_message (id, chat_session_id, role, content)
        SELECT {id}, s.id, 'user', t.status FROM chat_session s JOIN agent_task_queue t ON t.agent_id = s.agent_id",
    "INSERT INTO pending_request (id, runtime_id, kind, status)
        SELECT 'past-' || {text}(t.id), t.runtime_id, 'model_list', 'completed' FROM agent_task_queue t WHERE t.session_id = 's'",
];
const TOKENS: &str = "INSERT INTO task_token (id, token_hash, task_id, agent_id, workspace_id, user_id, expires_at)
    SELECT {id}, 'past-' || {text}(t.id), t.id, a.id, a.workspace_id, a.owner_id, $1
    FROM agent_task_queue t JOIN agent a ON a.id = t.agent_id WHERE a.name LIKE 'Past %' AND t.status <> 'completed'";
const USERS: &str =
    "INSERT INTO \"user\" (id, name, email) {n} SELECT {id}, 'Past', 'past-' || n.i || '@example.com' FROM n";
const MORE_TOKENS: [&str; 2] = [
    "INSERT INTO personal_access_token (id, user_id, name, token_hash, token_prefix, expires_at)
        SELECT {id}, u.id, 'past', u.email, 'mul_past', $1 FROM \"user\" u WHERE u.name = 'Past'",
    "INSERT INTO daemon_token (id, token_hash, workspace_id, daemon_id, expires_at)
        SELECT {id}, 'past-' || {text}(r.id), r.workspace_id, r.daemon_id, $1 FROM agent_runtime r WHERE r.name = 'Past'",
];

impl Gateway {
    /// Nothing of it is overdue, so that a sweep leaves it alone.
    pub async fn seed_past(&self, world: &World, past: Past) {
        let run = async |sql: &str, arguments: Value| {
            self.execute(&for_engine(self.engine, sql), arguments).await;
        };
        let (owner, then, now, later) = (world.a.id, "2020-01-01T00:00:00Z", ahead(0), ahead(7200));
        run(RUNTIMES, json!([past.agents, world.w1, later, owner])).await;
        run(AGENTS, Value::Null).await;
        run(ISSUES, json!([past.agents, world.w1, owner])).await;
        run(USERS, json!([past.agents])).await;
        run(SPREAD, json!([past.spread, owner, then])).await;
        if past.piled > 0 {
            run(PILED, json!([past.piled, world.g1, world.r1, world.i1, owner, then])).await;
        }
        for sql in REST {
            run(sql, Value::Null).await;
        }
        run(RUNNING, json!([now])).await;
        let prompt = json!({"type": "quick_create", "prompt": "x"});
        run(WAITING, json!([past.waiting, prompt, later, now])).await;
        for sql in [TOKENS].into_iter().chain(MORE_TOKENS) {
            run(sql, json!([later])).await;
        }
    }

    /// Has the database count, which it otherwise does when it comes to it.
    pub async fn analyze(&self) {
        self.execute("ANALYZE", Value::Null).await;
    }
}
