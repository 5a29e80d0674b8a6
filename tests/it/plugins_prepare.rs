//! Stage `prepare`: a plugin attaches servers to tasks before they can be seen, and nothing that
//! goes wrong with it stops one.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, id_of};
use crate::plugins_scene::{BUILT_IN, Scene, plugin, step};

fn with(more: &str) -> String {
    format!("{BUILT_IN}{}", plugin("attach", "test-prepare", more))
}

/// An issue for the agent, given by whoever owns it; the issue.
pub async fn assign(world: &World) -> Uuid {
    let issue = json!({
        "title": format!("New {}", Uuid::new_v4()), "assignee_type": "agent", "assignee_id": world.g1,
    });
    id_of(&world.a.post("/api/issues", issue).await.expect(201))
}

/// What the guest was given for a claimed task.
pub fn seen(task: &Value) -> &Value {
    let seen = &task["agent"]["mcp_config"]["mcpServers"]["seen"]["env"];
    assert!(seen.is_object(), "nothing was attached to {task}");
    seen
}

async fn claimed(scene: &Scene<'_>) -> Value {
    scene.daemon().claim_one(scene.world.r1).await
}

#[apply(on_both)]
async fn every_task_takes_along_what_the_plugin_attached(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let world = &scene.world;
    scene.apply(&with("config = { app = \"notion\" }")).await;

    let issue = assign(world).await;
    let task = claimed(&scene).await;
    let given = seen(&task);
    assert_eq!(given["TASK"], task["id"]);
    assert_eq!((&given["KIND"], &given["AGENT"]), (&json!("direct"), &json!(world.g1)));
    assert_eq!(given["OWNER"], json!(world.a.id));
    let app =
        json!({"provider": "test", "server_name": "seen", "toolkit_slug": "notion", "toolkit_name": "Test"});
    assert_eq!(task["connected_apps"], json!([app]));
    let trace = gateway.admin().trace(id_of(&task)).await;
    let prepared = step(&trace, "attach");
    assert_eq!((&prepared["stage"], &prepared["outcome"]), (&json!("prepare"), &json!("unchanged")));
    assert_eq!(trace["steps"][0]["plugin"], "attach", "it came first: {trace}");
    // The end wipes it.
    scene.end(&task).await;
    let row = "SELECT runtime_mcp_overlay, runtime_connected_apps FROM agent_task_queue WHERE id = $1";
    let kept = gateway.row(row, json!([id_of(&task)])).await;
    assert_eq!(kept, json!({"runtime_mcp_overlay": null, "runtime_connected_apps": null}));

    let comment = json!({"content": "And now?"});
    world.a.post(format!("/api/issues/{issue}/comments"), comment).await.expect(201);
    let task = claimed(&scene).await;
    assert_eq!((&seen(&task)["KIND"], &seen(&task)["TASK"]), (&json!("comment"), &task["id"]));
    // What failed is tried again with what is attached to the next.
    scene.daemon().start(id_of(&task)).await;
    let failure = json!({"error": "lost", "failure_reason": "runtime_offline"});
    scene.daemon().fail(id_of(&task), failure).await;
    let next = claimed(&scene).await;
    assert_eq!(next["attempt"], 2, "{next}");
    assert_eq!((&seen(&next)["KIND"], &seen(&next)["TASK"]), (&json!("comment"), &next["id"]));
    scene.end(&next).await;

    let chat = gateway.seed_chat(world.g1, json!({"creator_id": world.a.id})).await;
    let said = json!({"content": "Hello"});
    world.a.post(format!("/api/chat/sessions/{chat}/messages"), said).await.expect(201);
    let task = claimed(&scene).await;
    assert_eq!((&seen(&task)["KIND"], &seen(&task)["TASK"]), (&json!("chat"), &task["id"]));
    scene.end(&task).await;

    let prompt = json!({"agent_id": world.g1, "prompt": "Write it down"});
    world.a.post("/api/issues/quick-create", prompt).await.expect(202);
    let task = claimed(&scene).await;
    assert_eq!((&seen(&task)["KIND"], &seen(&task)["TASK"]), (&json!("quick-create"), &task["id"]));
}

/// Whatever is wrong with the plugin, the task is queued without and the trace says why.
#[apply(on_both)]
async fn a_plugin_that_cannot_prepare_never_stops_a_task(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    for (more, code) in [
        ("config = { fail = \"trap\" }", "trap"),
        ("config = { fail = \"loop\" }\nlimits = { cpu_ms = 10 }", "deadline"),
        ("config = { fail = \"loop\" }\nlimits = { cpu_ms = 10000, wall_ms = 20 }", "timeout"),
        ("config = { fail = \"no-session\" }\non_error = \"fail\"", "failed"),
        ("config = { overlay = \"[]\" }", "invalid_output"),
        ("config = { overlay = '{\"mcpServers\":{\"a\":1}}' }", "invalid_output"),
    ] {
        scene.apply(&with(more)).await;
        assign(&scene.world).await;
        let task = claimed(&scene).await;
        assert_eq!(task["agent"]["mcp_config"], Value::Null, "{more}: {task}");
        let prepared = step(&gateway.admin().trace(id_of(&task)).await, "attach");
        assert_eq!((&prepared["outcome"], &prepared["code"]), (&json!("skipped"), &json!(code)), "{more}");
        scene.end(&task).await;
    }
}
