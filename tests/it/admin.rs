//! The admin API: who may call it, on which listener, and the shapes that scripts rely on.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply, id_of};
use crate::plugins_scene::{Scene, beside_built_in};

const CALLS: [(&str, &str); 6] = [
    ("GET", "/admin/plugins"),
    ("PUT", "/admin/plugins"),
    ("GET", "/admin/plugins/generations"),
    ("GET", "/admin/plugins/generations/1"),
    ("POST", "/admin/plugins/rollback"),
    ("GET", "/admin/tasks/7c9e6679-7425-40de-944b-e07fc1f90ae7/enrichment"),
];

async fn call(client: &Client, method: &str, path: &str) -> Reply {
    client.call(method.parse().unwrap(), path, ()).await
}

#[apply(on_both)]
async fn only_an_operators_token_opens_it(gateway: &Gateway) {
    let admin = gateway.admin();
    let daemon = gateway.daemon(gateway.workspace, "dm-1").await;
    for (method, path) in CALLS {
        for token in ["", "nonsense", "mop_0", &gateway.user().token, &daemon.token] {
            let stranger = admin.with_token(token);
            let answer = call(&stranger, method, path).await;
            assert_eq!(answer.status, 401, "{token}: {answer}");
            assert!(answer["error"].is_string(), "{answer}");
        }
    }
    let basic = admin.with_token("").get("/admin/plugins").header("authorization", "Basic YTpi").await;
    assert_eq!(basic.status, 401, "{basic}");
}

#[apply(on_both)]
async fn it_is_on_a_listener_of_its_own(gateway: &Gateway) {
    let public = gateway.bearer(&gateway.admin().token);
    for (method, path) in CALLS {
        assert_eq!(call(&public, method, path).await.status, 404, "{path}");
    }
    let operator = gateway.admin();
    operator.get("/api/me").await.expect(404);
    operator.post("/api/daemon/heartbeat", json!({})).await.expect(404);
    for client in [gateway.anonymous(), operator.with_token("")] {
        client.get("/health").await.expect(200);
        client.get("/readyz").await.expect(200);
    }
}

fn members(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[apply(on_both)]
async fn the_running_set_is_shown_plugin_by_plugin(gateway: &Gateway) {
    let shown = gateway.admin().plugins().await;
    assert_eq!(
        members(&shown),
        ["applied_at", "broken", "digest", "generation", "origin", "plugins", "reason"]
    );
    assert_eq!((&shown["generation"], &shown["origin"]), (&json!(1), &json!("built_in")));
    assert_eq!(shown["digest"].as_str().map(str::len), Some(64));
    let names: Vec<&Value> =
        shown["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["name"]).collect();
    assert_eq!(names, ["repo-resolution", "mcp-overlay", "squad-briefing"]);
    let plugin = &shown["plugins"][0];
    assert_eq!(
        members(plugin),
        [
            "breaker",
            "counters",
            "grants",
            "limits",
            "match",
            "name",
            "on_error",
            "required",
            "role",
            "sha256",
            "signed_by",
            "source",
            "stages",
            "version",
        ]
    );
    assert_eq!(plugin["stages"], json!(["repo-resolution"]));
    let nothing = json!({
        "env": [], "view": [], "write": [], "http": [], "secrets": {}, "kv": false, "clock": false, "random": false,
    });
    assert_eq!(plugin["grants"], nothing);
    assert_eq!(plugin["breaker"], "closed");
    assert_eq!(plugin["counters"]["calls"], 0);
    assert_eq!(plugin["sha256"].as_str().map(str::len), Some(64));
}

#[apply(on_both)]
async fn grants_and_limits_are_shown_as_they_were_given(gateway: &Gateway) {
    let more = "config = { text = \"x\" }\nlimits = { cpu_ms = 7 }\non_error = \"fail\"\n\
                grants = { env = [\"A\"], write = [\"/agent/model\"], view = [\"mcp_secrets\"], kv = true }";
    let shown = gateway.admin().apply(&beside_built_in("test-echo", more)).await.expect(200);
    let plugin = &shown["plugins"][3];
    let granted = json!({
        "env": ["A"], "write": ["/agent/model"], "view": ["mcp_secrets"], "http": [], "secrets": {}, "kv": true,
        "clock": false, "random": false,
    });
    assert_eq!(plugin["grants"], granted);
    assert_eq!((&plugin["limits"]["cpu_ms"], &plugin["on_error"]), (&json!(7), &json!("fail")));
    assert!(plugin.get("config").is_none(), "a configuration may hold a secret: {plugin}");
}

#[apply(on_both)]
async fn a_claim_is_explained_step_by_step(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let applied = scene.apply(&beside_built_in("test-echo", "config = { text = \"Be kind.\" }")).await;
    let task = scene.claimed().await;
    let trace = gateway.admin().trace(id_of(&task)).await;
    assert_eq!(members(&trace), ["at", "generation", "node", "steps", "task_id"]);
    assert_eq!((&trace["task_id"], &trace["generation"]), (&task["id"], &applied["generation"]));
    let steps = trace["steps"].as_array().unwrap();
    let stages: Vec<&Value> = steps.iter().map(|step| &step["stage"]).collect();
    // No configuration and no squad: those two stages had nothing to do.
    assert_eq!(stages, ["repo-resolution", "enrichment"]);
    let step = &steps[1];
    assert_eq!(
        members(step),
        [
            "bytes_in",
            "bytes_out",
            "changes",
            "guest_us",
            "host_us",
            "instantiate_us",
            "outcome",
            "peak_memory_bytes",
            "plugin",
            "queue_us",
            "sha256",
            "stage",
            "version"
        ]
    );
    assert_eq!(step["sha256"], applied["plugins"][3]["sha256"]);
    let change = json!([{"op": "replace", "path": "/agent/instructions", "value": "Be kind.", "was": ""}]);
    assert_eq!(step["changes"], change);
}

#[apply(on_both)]
async fn a_task_without_a_trace_is_said_to_have_none(gateway: &Gateway) {
    let admin = gateway.admin();
    let unknown = admin.get(format!("/admin/tasks/{}/enrichment", Uuid::new_v4())).await;
    unknown.refused(404, "no trace of this task is kept");
    admin.get("/admin/tasks/7/enrichment").await.refused(400, "invalid task_id");
}
