//! What opens a session is for one daemon: looked for everywhere, found in its claim and nowhere
//! else, and nowhere at all when the task has ended, whatever ended it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::composio_service::{KEY, SESSION, Service};
use crate::connected_apps::{allow, assign, connect};
use crate::harness::{Engine, Gateway, World, ahead, id_of};
use crate::plugins_scene::{BUILT_IN, eventually, plugin};

/// In the address of each session.
const MARK: &str = "b3arer-0f-a-session";

fn marked(text: &str) -> bool {
    text.contains(MARK) || text.contains(KEY)
}

/// The tables that hold a mark, in whatever column.
async fn tables(gateway: &Gateway) -> Vec<String> {
    let names = match gateway.engine {
        Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Engine::Postgres => {
            "SELECT table_name::text AS name FROM information_schema.tables
            WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        }
    };
    let names = gateway.rows(names, Value::Null).await;
    let mut found = Vec::new();
    for name in names.iter().map(|row| row["name"].as_str().unwrap().to_owned()) {
        let holds = match gateway.engine {
            Engine::Postgres => format!("x::text LIKE '%{MARK}%' OR x::text LIKE '%{KEY}%'"),
            Engine::Sqlite => {
                let sql = format!("SELECT name FROM pragma_table_info('{name}')");
                let columns = gateway.rows(&sql, Value::Null).await;
                // As bytes: a text that began with those of an id would end at the first zero.
                let holds = |(row, mark): (&Value, &str)| {
                    let column = row["name"].as_str().unwrap();
                    format!("instr(CAST(\"{column}\" AS BLOB), CAST('{mark}' AS BLOB)) > 0")
                };
                let both = columns.iter().flat_map(|row| [(row, MARK), (row, KEY)]);
                both.map(holds).collect::<Vec<_>>().join(" OR ")
            }
        };
        let sql = format!("SELECT count(*) FROM \"{name}\" x WHERE {holds}");
        if gateway.value(&sql, Value::Null).await != 0 {
            found.push(name);
        }
    }
    found
}

/// What everybody reads who may ask about the task, and who may not.
async fn asked_of(gateway: &Gateway, world: &World, task: Uuid, issue: Uuid, alive: bool) -> Vec<String> {
    let paths = [
        format!("/api/issues/{issue}"),
        format!("/api/issues/{issue}/task-runs"),
        format!("/api/issues/{issue}/timeline"),
        format!("/api/issues/{issue}/active-task"),
        format!("/api/tasks/{task}/why"),
        format!("/api/tasks/{task}/messages"),
        format!("/api/agents/{}", world.g1),
        format!("/api/agents/{}/tasks", world.g1),
        "/api/agents".to_owned(),
        "/api/runtimes".to_owned(),
        "/api/agent-task-snapshot".to_owned(),
        "/api/integrations/composio/connections".to_owned(),
    ];
    let mut said = Vec::new();
    for path in &paths {
        for client in [&world.a, &world.b, &world.c] {
            let reply = client.get(path).await;
            assert!(!alive || reply.status == 200 || client.id != world.a.id, "{reply}");
            said.push(reply.text);
        }
    }
    let daemon = [
        format!("/api/daemon/tasks/{task}/status"),
        format!("/api/daemon/runtimes/{}/tasks/pending", world.r1),
    ];
    for path in &daemon {
        said.push(world.m1.get(path).await.text);
        said.push(world.m2.get(path).await.text);
    }
    let admin = [
        format!("/admin/tasks/{task}/enrichment"),
        "/admin/plugins".to_owned(),
        "/admin/plugins/generations".to_owned(),
        "/metrics".to_owned(),
    ];
    for path in &admin {
        said.push(gateway.admin().get(path).await.text);
    }
    let recordings = gateway.admin().get("/admin/plugins/recordings?limit=100").await.ok();
    for recording in recordings["recordings"].as_array().unwrap() {
        let path = format!("/admin/plugins/recordings/{}", recording["id"].as_str().unwrap());
        said.push(gateway.admin().get(path).await.text);
    }
    said
}

/// How a task ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Completes,
    Fails,
    /// And is tried again, until it is cancelled.
    FailsAndIsRetried,
    IsCancelled,
    /// Before anybody claimed it.
    IsCancelledUnclaimed,
    IsSwept,
    /// Nobody has the agent any more.
    LosesItsAgent,
    LosesItsIssue,
    /// Its daemon begins anew.
    IsOrphaned,
}

const ENDS: [End; 9] = [
    End::Completes,
    End::Fails,
    End::FailsAndIsRetried,
    End::IsCancelled,
    End::IsCancelledUnclaimed,
    End::IsSwept,
    End::IsOrphaned,
    End::LosesItsIssue,
    End::LosesItsAgent,
];

async fn end(gateway: &Gateway, world: &World, task: Uuid, issue: Uuid, how: End) {
    let cancel = async |task: Uuid| world.a.post(format!("/api/tasks/{task}/cancel"), ()).await.expect(200);
    match how {
        End::Completes => drop(world.a.complete(task, json!({"output": "done"})).await),
        End::Fails => {
            drop(world.a.fail(task, json!({"error": "no", "failure_reason": "agent_blocked"})).await);
        }
        End::FailsAndIsRetried => {
            world.a.fail(task, json!({"error": "gone", "failure_reason": "timeout"})).await;
            let next = world.a.claim_one(world.r1).await;
            assert!(marked(&next.to_string()), "{next}");
            cancel(id_of(&next)).await;
        }
        End::IsCancelled | End::IsCancelledUnclaimed => drop(cancel(task).await),
        End::IsSwept => {
            let spent = json!({"attempt": 9, "max_attempts": 9});
            for (column, value) in spent.as_object().unwrap() {
                gateway.change("agent_task_queue", task, column, value.clone()).await;
            }
            gateway.change("agent_task_queue", task, "started_at", json!(ahead(-9100))).await;
            gateway.admin().post("/admin/sweep", ()).await.expect(200);
        }
        End::IsOrphaned => {
            gateway.change("agent_task_queue", task, "attempt", json!(9)).await;
            gateway.change("agent_task_queue", task, "max_attempts", json!(9)).await;
            let path = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
            world.a.post(path, ()).await.expect(200);
        }
        End::LosesItsIssue => {
            world.a.delete(format!("/api/issues/{issue}")).await.ok();
        }
        End::LosesItsAgent => {
            world.a.post(format!("/api/agents/{}/archive", world.g1), ()).await.ok();
        }
    }
}

#[apply(on_both)]
async fn what_opens_a_session_is_in_its_claim_and_nowhere_else(engine: Engine) {
    let service = Service::start().await;
    let nosy = plugin("nosy", "test-echo", "config = { show_claim = true }");
    let document = format!("[recording]\nsample = 1.0\n{BUILT_IN}{nosy}");
    let setup = service.setup(engine).env("SWITCHYARD_LOG", "trace").plugins(&document);
    let gateway = setup.start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    let url = format!("http://mcp.example/s?token={MARK}");
    service.says(SESSION, 200, json!({"mcp": {"url": url}}));
    let mut watchers = [world.a.watch().await, world.b.watch().await, world.c.watch().await];
    let mut said = Vec::new();
    for how in ENDS {
        let row = assign(&gateway, &world, world.g1).await;
        let task = id_of(&row);
        let trace = gateway.admin().trace(task).await;
        assert!(marked(&row.to_string()), "{how:?}: nothing was attached: {trace}");
        assert_eq!(tables(&gateway).await, ["agent_task_queue"], "{how:?}: while it waits");
        let issue = gateway.value("SELECT issue_id FROM agent_task_queue WHERE id = $1", json!([task])).await;
        let issue: Uuid = issue.as_str().unwrap().parse().unwrap();
        if how != End::IsCancelledUnclaimed {
            assert_eq!(world.c.claim(world.r2).await, None);
            said.push(world.m2.post(format!("/api/daemon/runtimes/{}/tasks/claim", world.r1), ()).await.text);
            let claimed = world.a.claim_one(world.r1).await;
            let server = &claimed["agent"]["mcp_config"]["mcpServers"]["composio"];
            let expected = json!({"type": "http", "url": url, "headers": {"x-api-key": KEY}});
            assert_eq!((&claimed["id"], server), (&json!(task), &expected));
            // A plugin that was not granted to see it did not.
            let context = claimed["workspace_context"].as_str().unwrap_or_default();
            let instructions = claimed["agent"]["instructions"].as_str().unwrap_or_default();
            said.extend([context.to_owned(), instructions.to_owned()]);
            said.push(world.a.start(task).await.to_string());
        }
        said.extend(asked_of(&gateway, &world, task, issue, true).await);
        end(&gateway, &world, task, issue, how).await;
        said.extend(asked_of(&gateway, &world, task, issue, false).await);
        assert_eq!(tables(&gateway).await, [""; 0], "{how:?}: when it has ended");
    }
    eventually("the samples are written", async || {
        let list = gateway.admin().get("/admin/plugins/recordings?limit=100").await.ok();
        list["recordings"].as_array().unwrap().iter().any(|recording| recording["stage"] == "mcp-overlay")
    })
    .await;
    said.extend(asked_of(&gateway, &world, Uuid::new_v4(), world.i1, false).await);
    for watcher in &mut watchers {
        let heard = watcher.heard().await;
        said.extend(heard.iter().map(Value::to_string));
    }
    said.extend(gateway.log());
    assert!(said.len() > 500, "does this test still see what is said? {}", said.len());
    let leaks: Vec<&String> = said.iter().filter(|text| marked(text)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    gateway.finish().await;
}
