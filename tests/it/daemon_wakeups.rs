//! What a daemon's socket hears by itself: that there is work, and that profiles changed.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, id_of};

fn available(runtime: Uuid, task: &Value) -> Value {
    json!({"type": "daemon:task_available", "payload": {"runtime_id": runtime, "task_id": task}})
}

fn changed(workspace: Uuid, profile: Uuid) -> Value {
    json!({
        "type": "daemon:runtime_profiles_changed",
        "payload": {"workspace_id": workspace, "runtime_profile_id": profile},
    })
}

fn profiles(world: &World) -> String {
    format!("/api/workspaces/{}/runtime-profiles", world.w1)
}

fn mine() -> Value {
    json!({"display_name": "Mine", "protocol_family": "codex", "command_name": "my-codex"})
}

/// Daemon item 102: the frame names the task, and a claim sent on receipt returns it.
#[apply(on_both)]
async fn what_people_give_wakes_the_daemon(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut socket = world.a.daemon_socket(&[world.r1]).await;
    socket.beat(world.r1).await;
    for round in 0..3 {
        let issue = json!({
            "title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1,
        });
        let issue = world.a.post("/api/issues", issue).await.expect(201);
        let frame = socket.next().await;
        assert_eq!(frame, available(world.r1, &frame["payload"]["task_id"]));
        let claimed = world.a.claim_one(world.r1).await;
        assert_eq!((&claimed["id"], &claimed["issue_id"]), (&frame["payload"]["task_id"], &issue["id"]));
    }
    // Nothing of what else happened came along.
    assert_eq!(socket.beat(world.r1).await["runtime_id"], json!(world.r1));
}

/// Daemon item 103: every write of a profile is told to the daemons of its workspace, and to
/// those who watch it.
#[apply(on_both)]
async fn a_change_of_profiles_is_told_to_the_daemons_of_the_workspace(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut here = world.a.daemon_socket(&[world.r1]).await;
    let mut there = world.c.daemon_socket(&[world.r2]).await;
    here.beat(world.r1).await;
    there.beat(world.r2).await;
    let mut watcher = world.b.watch().await;
    let path = profiles(&world);
    let profile = id_of(&world.a.post(&path, mine()).await.expect(201));
    assert_eq!(here.next().await, changed(world.w1, profile));
    assert_eq!(watcher.expect("daemon:register").await, json!({"runtime_profile_id": profile}));
    let one = format!("{path}/{profile}");
    world.a.patch(&one, json!({"enabled": false})).await.expect(200);
    assert_eq!(here.next().await, changed(world.w1, profile));
    world.a.put(&one, json!({"description": "d"})).await.expect(200);
    assert_eq!(here.next().await, changed(world.w1, profile));
    for _ in 0..2 {
        assert_eq!(watcher.expect("daemon:register").await, json!({"runtime_profile_id": profile}));
    }
    // What is refused changed nothing.
    world.a.post(&path, json!({})).await.expect(400);
    world.b.patch(&one, json!({"enabled": true})).await.expect(403);
    assert_eq!(world.a.delete(&one).await.status, 204);
    assert_eq!(here.next().await, changed(world.w1, profile));
    assert_eq!(watcher.expect("daemon:register").await, json!({"deleted_runtime_profile_id": profile}));
    assert_eq!(world.a.delete(&one).await.status, 404);
    assert_eq!(here.beat(world.r1).await["status"], "ok");
    assert_eq!(there.beat(world.r2).await["status"], "ok");
}

/// Daemon item 107: a daemon on one node is woken, once, for what happens on another.
#[test]
fn a_daemon_is_woken_for_what_another_node_was_given() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        let world = gateway.world().await;
        let second = gateway.second_node().await;
        let there = second.user();
        let mut socket = world.a.daemon_socket(&[world.r1]).await;
        socket.beat(world.r1).await;
        for round in 0..5 {
            let issue = json!({
                "title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1,
            });
            let issue = there.post("/api/issues", issue).await.expect(201);
            let mut frame = socket.next().await;
            frame.as_object_mut().unwrap().remove("event_id");
            assert_eq!(frame, available(world.r1, &frame["payload"]["task_id"]));
            let claimed = world.a.claim_one(world.r1).await;
            assert_eq!((&claimed["id"], &claimed["issue_id"]), (&frame["payload"]["task_id"], &issue["id"]));
        }
        let profile = id_of(&there.post(profiles(&world), mine()).await.expect(201));
        // What came before it came once: the next frame is another's.
        let mut frame = socket.next().await;
        frame.as_object_mut().unwrap().remove("event_id");
        assert_eq!(frame, changed(world.w1, profile));
        assert_eq!(socket.beat(world.r1).await["status"], "ok");
        second.finish().await;
    });
}
