//! What a caller may touch, and that "absent" is said only of what is absent: a daemon forgets
//! a runtime and kills an agent on those words. Checklist 10.2.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply};

async fn beat(client: &Client, runtime: impl ToString) -> Reply {
    client.post("/api/daemon/heartbeat", json!({"runtime_id": runtime.to_string()})).await
}

async fn status(client: &Client, task: impl ToString) -> Reply {
    client.get(format!("/api/daemon/tasks/{}/status", task.to_string())).await
}

/// Daemon items 27, 28 and 29.
#[apply(on_both)]
async fn a_runtime_is_absent_only_when_it_does_not_exist(gateway: &Gateway) {
    let world = gateway.world().await;
    beat(&world.a, Uuid::new_v4()).await.refused(404, "runtime not found");
    beat(&world.a, world.r2).await.refused(404, "not found");
    beat(&world.m2, world.r1).await.refused(404, "not found");
    beat(&world.c, world.r1).await.refused(404, "not found");
    for client in [&world.a, &world.b, &world.m1] {
        beat(client, world.r1).await.expect(200);
    }
}

/// Daemon items 31, 32 and 33.
#[apply(on_both)]
async fn a_task_is_absent_only_when_it_does_not_exist(gateway: &Gateway) {
    let world = gateway.world().await;
    let foreign = gateway.seed_issue_task(world.g2, json!({})).await;
    status(&world.a, Uuid::new_v4()).await.refused(404, "task not found");
    status(&world.a, foreign).await.refused(404, "not found");
    status(&world.m1, foreign).await.refused(404, "not found");
    status(&world.c, foreign).await.expect(200);
    status(&world.a, "xyz").await.refused(400, "invalid task_id");
    world.a.post("/api/daemon/runtimes/xyz/tasks/claim", ()).await.refused(400, "invalid runtime_id");
    // Nothing but the two spellings is an id.
    let id = foreign.to_string();
    for odd in [format!("{{{id}}}"), format!("urn:uuid:{id}"), id[..35].to_owned(), format!("{id}0")] {
        status(&world.c, odd).await.refused(400, "invalid task_id");
    }
}

/// Daemon item 30: a caller that is not allowed never reads 403, whatever it asks for.
#[apply(on_both)]
async fn the_daemon_plane_never_says_forbidden(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let (r1, w1, i1) = (world.r1, world.w1, world.i1);
    let reads = [
        format!("/api/daemon/workspaces/{w1}/repos"),
        format!("/api/daemon/workspaces/{w1}/runtime-profiles"),
        format!("/api/daemon/runtimes/{r1}/tasks/pending"),
        format!("/api/daemon/tasks/{task}/messages"),
        format!("/api/daemon/tasks/{task}/status"),
        format!("/api/daemon/tasks/{task}/gc-check"),
        format!("/api/daemon/issues/{i1}/gc-check"),
        format!("/api/daemon/chat-sessions/{chat}/gc-check"),
        format!("/api/daemon/autopilot-runs/{run}/gc-check"),
    ];
    let writes = [
        (format!("/api/daemon/runtimes/{r1}/tasks/claim"), json!({})),
        (format!("/api/daemon/runtimes/{r1}/recover-orphans"), json!({})),
        (format!("/api/daemon/runtimes/{r1}/tasks/{task}/prepare-lease"), json!({})),
        (format!("/api/daemon/runtimes/{r1}/tasks/{task}/skill-bundles/resolve"), json!({})),
        (format!("/api/daemon/tasks/{task}/start"), json!({})),
        (format!("/api/daemon/tasks/{task}/wait-local-directory"), json!({})),
        (format!("/api/daemon/tasks/{task}/progress"), json!({})),
        (format!("/api/daemon/tasks/{task}/usage"), json!({})),
        (format!("/api/daemon/tasks/{task}/complete"), json!({})),
        (format!("/api/daemon/tasks/{task}/fail"), json!({})),
        (format!("/api/daemon/tasks/{task}/messages"), json!({"messages": [{"seq": 1}]})),
        (format!("/api/daemon/tasks/{task}/session"), json!({"session_id": "s"})),
        ("/api/daemon/heartbeat".to_owned(), json!({"runtime_id": r1})),
    ];
    for client in [&world.c, &world.m2] {
        for path in &reads {
            client.get(path).await.refused(404, "not found");
        }
        for (path, body) in &writes {
            client.post(path, body.clone()).await.refused(404, "not found");
        }
    }
    assert_eq!(world.a.status_of(task).await, "queued");
}

/// Daemon item 34. Domain item 95: when the database fails, nothing is said to be absent.
#[apply(on_both)]
async fn a_failing_database_is_a_failure_and_not_an_absence(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    // So that the caller is known without asking.
    assert_eq!(world.a.status_of(task).await, "queued");
    gateway.expect_error("failed to load runtime");
    gateway.execute("ALTER TABLE agent_runtime RENAME TO hidden", Value::Null).await;
    beat(&world.a, world.r1).await.refused(500, "failed to load runtime");
    let claim = world.a.claiming(world.r1).await;
    claim.refused(500, "failed to load runtime");
    gateway.execute("ALTER TABLE hidden RENAME TO agent_runtime", Value::Null).await;
    gateway.expect_error("failed to load task");
    gateway.execute("ALTER TABLE agent_task_queue RENAME TO hidden", Value::Null).await;
    status(&world.a, task).await.refused(500, "failed to load task");
    gateway.execute("ALTER TABLE hidden RENAME TO agent_task_queue", Value::Null).await;
    beat(&world.a, world.r1).await.expect(200);
    assert_eq!(world.a.status_of(task).await, "queued");
}

/// Daemon item 35.
#[apply(on_both)]
async fn a_task_that_belongs_nowhere_is_absent(gateway: &Gateway) {
    let world = gateway.world().await;
    let lost = [
        gateway.seed_task(world.g1, json!({})).await,
        gateway.seed_task(world.g1, json!({"context": {"type": "other", "workspace_id": world.w1}})).await,
        gateway.seed_task(world.g1, json!({"context": {"type": "quick_create"}})).await,
        gateway.seed_task(world.g1, json!({"context": {"type": "quick_create", "workspace_id": "x"}})).await,
    ];
    for task in lost {
        status(&world.a, task).await.refused(404, "task not found");
    }
    let found = gateway.seed_quick_create(world.g1, "Make it so", json!({})).await;
    assert_eq!(world.a.status_of(found).await, "queued");
}

/// Daemon items 37 and 38.
#[apply(on_both)]
async fn an_id_may_be_spelt_in_two_ways_and_either_case(gateway: &Gateway) {
    let world = gateway.world().await;
    let id = world.r1;
    for spelling in [id.to_string(), id.simple().to_string(), id.to_string().to_uppercase()] {
        beat(&world.a, &spelling).await.expect(200);
        let claim = world.a.post(format!("/api/daemon/runtimes/{spelling}/tasks/claim"), ()).await;
        assert_eq!(claim.expect(200), json!({"task": null}));
    }
}
