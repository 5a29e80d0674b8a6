//! A long past, put into the gateway's own tables: no client could make a million tasks
//! within a bench.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::fleet::Fleet;

/// Tasks that ended, spread over agents and issues; then for each runtime an agent that is
/// busy with all it may do, and tasks that wait for it ahead of everything that comes later.
const SQLITE: [&str; 4] = [
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, issue_id, status, dispatched_at, started_at,
        completed_at, created_at)
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1),
        a AS (SELECT id, runtime_id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM agent),
        j AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM issue)
    SELECT randomblob(16), a.id, a.runtime_id, j.id, 'completed', '2025-01-01T00:00:00.000000+00:00',
        '2025-01-01T00:00:01.000000+00:00', '2025-01-01T00:01:00.000000+00:00', '2025-01-01T00:00:00.000000+00:00'
    FROM n JOIN a ON a.place = n.i % a.total JOIN j ON j.place = n.i % j.total",
    "INSERT INTO agent (id, workspace_id, name, runtime_id, owner_id, max_concurrent_tasks, permission_mode)
    SELECT randomblob(16), r.workspace_id, 'blocked ' || hex(r.id), r.id, r.owner_id, 1, 'public_to'
    FROM agent_runtime r WHERE r.id IN (SELECT unhex(value) FROM json_each($1))",
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, context, dispatched_at, started_at, created_at)
    SELECT randomblob(16), a.id, a.runtime_id, 'running', '{\"type\":\"quick_create\",\"prompt\":\"x\"}', n.now, n.now, n.now
    FROM agent a CROSS JOIN (SELECT strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now') AS now) n
    WHERE a.name LIKE 'blocked %'",
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, context, created_at)
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1),
        a AS (SELECT id, runtime_id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total
            FROM agent WHERE name LIKE 'blocked %')
    SELECT randomblob(16), a.id, a.runtime_id, 'queued', '{\"type\":\"quick_create\",\"prompt\":\"x\"}',
        strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now', '-1 minute')
    FROM n JOIN a ON a.place = n.i % a.total",
];
const POSTGRES: [&str; 4] = [
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, issue_id, status, dispatched_at, started_at,
        completed_at, created_at)
    WITH a AS (SELECT id, runtime_id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM agent),
        j AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total FROM issue)
    SELECT gen_random_uuid(), a.id, a.runtime_id, j.id, 'completed', '2025-01-01Z', '2025-01-01Z', '2025-01-01Z',
        '2025-01-01Z'
    FROM generate_series(1, $1::bigint) i JOIN a ON a.place = i % a.total JOIN j ON j.place = i % j.total",
    "INSERT INTO agent (id, workspace_id, name, runtime_id, owner_id, max_concurrent_tasks, permission_mode)
    SELECT gen_random_uuid(), r.workspace_id, 'blocked ' || r.id, r.id, r.owner_id, 1, 'public_to'
    FROM agent_runtime r WHERE r.id = ANY($1)",
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, context, dispatched_at, started_at, created_at)
    SELECT gen_random_uuid(), a.id, a.runtime_id, 'running', '{\"type\":\"quick_create\",\"prompt\":\"x\"}', now(), now(), now()
    FROM agent a WHERE a.name LIKE 'blocked %'",
    "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, context, created_at)
    WITH a AS (SELECT id, runtime_id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total
            FROM agent WHERE name LIKE 'blocked %')
    SELECT gen_random_uuid(), a.id, a.runtime_id, 'queued', '{\"type\":\"quick_create\",\"prompt\":\"x\"}',
        now() - interval '1 minute'
    FROM generate_series(1, $1::bigint) i JOIN a ON a.place = i % a.total",
];

pub async fn fill(url: &str, fleet: &Fleet, history: u32, blocked: u32) -> anyhow::Result<()> {
    let runtimes: Vec<Uuid> = fleet
        .runtimes()
        .iter()
        .map(|runtime| Uuid::parse_str(&runtime.id))
        .collect::<Result<_, _>>()
        .context("a runtime's id is no UUID")?;
    let (history, blocked) = (i64::from(history), i64::from(blocked));
    let [past, agents, running, waiting] = if url.starts_with("sqlite:") { SQLITE } else { POSTGRES };
    let text = |sql: &'static str| AssertSqlSafe(sql);
    if url.starts_with("sqlite:") {
        let list: Vec<String> = runtimes.iter().map(|id| id.simple().to_string()).collect();
        let mut conn = SqliteConnection::connect(url).await?;
        sqlx::query("PRAGMA busy_timeout = 60000").execute(&mut conn).await?;
        sqlx::query(text(past)).bind(history).execute(&mut conn).await?;
        sqlx::query(text(agents)).bind(serde_json::to_string(&list)?).execute(&mut conn).await?;
        sqlx::query(text(running)).execute(&mut conn).await?;
        sqlx::query(text(waiting)).bind(blocked).execute(&mut conn).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await?;
        conn.close().await?;
    } else {
        let mut conn = PgConnection::connect(url).await?;
        sqlx::query(text(past)).bind(history).execute(&mut conn).await?;
        sqlx::query(text(agents)).bind(&runtimes).execute(&mut conn).await?;
        sqlx::query(text(running)).execute(&mut conn).await?;
        sqlx::query(text(waiting)).bind(blocked).execute(&mut conn).await?;
        // As autovacuum would within the minute.
        sqlx::query("VACUUM ANALYZE agent_task_queue").execute(&mut conn).await?;
        conn.close().await?;
    }
    Ok(())
}
