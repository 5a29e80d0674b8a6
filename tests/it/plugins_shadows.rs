//! Shadows: what they reach is looked at and not changed, whatever was granted, and at every
//! stage nobody waits for them.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::composio_service::{SESSION, Service};
use crate::connected_apps::{allow, assign, connect, overlay};
use crate::harness::{Engine, Gateway, id_of};
use crate::plugins_prepare::{self, seen};
use crate::plugins_reach::{LOOPBACK, code, document, granted, inline, with_secret};
use crate::plugins_rollout::shadow_step;
use crate::plugins_scene::{BUILT_IN, Scene, eventually, plugin, step};
use crate::plugins_web::Web;

/// What came of each step that the plugin `extra` took as a shadow, in the next claim.
async fn taken_as_shadow(scene: &Scene<'_>) -> Vec<Value> {
    let task = scene.claimed().await;
    assert!(!task.to_string().contains("read-only"), "what a shadow says stays out of the claim: {task}");
    let seen = shadow_step(scene.gateway, id_of(&task)).await;
    scene.end(&task).await;
    serde_json::from_str(seen["changes"][0]["value"].as_str().unwrap()).unwrap()
}

#[apply(on_both)]
async fn a_shadow_looks_and_changes_nothing(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let lines = granted(&web, "/api", r#"["GET", "HEAD", "POST", "DELETE"]"#, LOOPBACK);
    let kept = json!([{"do": "set", "key": "a", "value": "1"}, {"do": "increment", "key": "n", "by": 5}]);
    scene.apply(&document(&kept, &lines)).await;
    scene.end(&scene.claimed().await).await;

    let ask = |method: &str| {
        let headers = json!([["X-Key", "{tracker}"], ["X-HTTP-Method-Override", "DELETE"]]);
        json!({"do": "send", "method": method, "url": web.url("/api/x"), "headers": headers})
    };
    let steps = json!([
        {"do": "get", "key": "a"},
        {"do": "set", "key": "a", "value": "2"},
        {"do": "get", "key": "a"},
        {"do": "increment", "key": "n", "by": 1},
        {"do": "increment", "key": "n", "by": 1},
        {"do": "increment", "key": "a", "by": 40, "ttl": 0},
        {"do": "get", "key": "a"},
        {"do": "delete", "key": "a"},
        {"do": "delete", "key": "a"},
        {"do": "get", "key": "a"},
        {"do": "set", "key": "b", "value": "x"},
        {"do": "set", "key": "c", "value": "gone", "ttl": 0},
        {"do": "keys", "prefix": ""},
        {"do": "keys", "prefix": "", "after": "b"},
        {"do": "keys", "prefix": "b"},
        ask("POST"),
        ask("DELETE"),
        ask("HEAD"),
        ask("GET"),
        {"do": "set", "key": "", "value": "x"},
        {"do": "increment", "key": "b", "by": 1},
    ]);
    scene.apply(&document(&steps, &format!("shadow = true\n{lines}"))).await;
    // Each call begins with what is kept, and not with what the one before it wrote.
    for round in 1..=2_usize {
        let results = taken_as_shadow(&scene).await;
        let values: Vec<&Value> = results[..15].iter().map(|result| &result["ok"]).collect();
        let expected =
            json!(["1", null, "2", 6, 7, 42, "42", true, false, null, null, null, ["b", "n"], ["n"], ["b"]]);
        assert_eq!(json!(values), expected, "{results:?}");
        assert_eq!((code(&results[15]), code(&results[16])), ("read-only", "read-only"));
        assert!(results[15]["message"].as_str().unwrap().contains("POST"), "{:?}", results[15]);
        assert_eq!((&results[17]["ok"]["status"], &results[18]["ok"]["status"]), (&json!(200), &json!(200)));
        assert_eq!((code(&results[19]), code(&results[20])), ("key-invalid", "not-a-number"));
        let asked = web.asked();
        let calls: Vec<&Value> = asked.iter().map(|asked| &asked["call"]).collect();
        assert_eq!(calls, ["HEAD /api/x", "GET /api/x"].repeat(round), "nothing else left the gateway");
        let heads = asked[0]["headers"].to_string();
        // It looks where the live one would, with the same secret, and cannot say that it meant another method.
        assert!(heads.contains("t0p-s3cret") && !heads.contains("override"), "{heads}");
        let counters = &gateway.admin().plugins().await["plugins"][3]["counters"];
        assert_eq!(
            (&counters["denied"]["read-only"], &counters["calls"]),
            (&json!(2 * round), &json!(round))
        );
    }

    let look = json!([{"do": "get", "key": "a"}, {"do": "get", "key": "n"}, {"do": "keys", "prefix": ""}]);
    scene.apply(&document(&look, &lines)).await;
    let task = scene.claimed().await;
    let results: Value = serde_json::from_str(task["workspace_context"].as_str().unwrap()).unwrap();
    assert_eq!(results, json!([{"ok": "1"}, {"ok": "5"}, {"ok": ["a", "n"]}]));
    gateway.finish().await;
}

/// What one plugin of the list was called.
async fn calls(gateway: &Gateway, place: usize) -> Value {
    gateway.admin().plugins().await["plugins"][place]["counters"]["calls"].clone()
}

#[apply(on_both)]
async fn a_shadow_of_prepare_gets_what_the_live_one_gets_and_attaches_nothing(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let live = plugin("attach", "test-prepare", "config = { app = \"notion\" }");
    let shade = |more: &str| plugin("extra", "test-prepare", &format!("shadow = true\n{more}"));
    let with = |more: &str| format!("{BUILT_IN}{live}{}", shade(more));
    let another = r#"config = { app = "slack", overlay = '{"mcpServers":{"shade":{"command":"x"}}}' }"#;
    scene.apply(&with(another)).await;
    plugins_prepare::assign(&scene.world).await;
    let task = scene.daemon().claim_one(scene.world.r1).await;
    assert_eq!(seen(&task)["TASK"], task["id"]);
    let whole = task.to_string();
    assert!(!whole.contains("shade") && !whole.contains("slack"), "{task}");
    let shown = shadow_step(gateway, id_of(&task)).await;
    assert_eq!(
        (&shown["stage"], &shown["outcome"], &shown["would"]),
        (&json!("prepare"), &json!("shadow"), &json!("unchanged")),
        "what would be attached is secret, as it is of the live one: {shown}"
    );
    let trace = gateway.admin().trace(id_of(&task)).await;
    assert_eq!(shown["bytes_in"], step(&trace, "attach")["bytes_in"], "{trace}");
    assert_eq!((calls(gateway, 3).await, calls(gateway, 4).await), (json!(1), json!(1)));
    assert!(gateway.admin().get("/metrics").await.text.contains("extra (shadow)"));
    // It belongs to the enqueue: another claim of the task keeps it.
    let again = "UPDATE agent_task_queue SET status = 'queued', dispatched_at = NULL WHERE id = $1";
    gateway.execute(again, json!([id_of(&task)])).await;
    let task = scene.daemon().claim_one(scene.world.r1).await;
    let trace = gateway.admin().trace(id_of(&task)).await;
    let of_extra = trace["steps"].as_array().unwrap().iter().filter(|step| step["plugin"] == "extra").count();
    assert_eq!(of_extra, 1, "{trace}");
    scene.end(&task).await;

    for (more, failure) in [
        ("config = { fail = \"trap\" }", "trap"),
        ("config = { fail = \"no-session\" }\non_error = \"fail\"", "failed"),
        ("config = { overlay = \"[]\" }", "invalid_output"),
    ] {
        scene.apply(&with(more)).await;
        plugins_prepare::assign(&scene.world).await;
        let task = scene.daemon().claim_one(scene.world.r1).await;
        assert_eq!(seen(&task)["TASK"], task["id"], "{more}");
        let shown = shadow_step(gateway, id_of(&task)).await;
        assert_eq!((&shown["would"], &shown["code"]), (&json!("skipped"), &json!(failure)), "{shown}");
        scene.end(&task).await;
    }

    // Alone it attaches nothing, and one that would loop for ten seconds holds nobody up.
    scene.apply(&shade("config = { fail = \"loop\" }\nlimits = { cpu_ms = 10000, wall_ms = 30000 }")).await;
    plugins_prepare::assign(&scene.world).await;
    let task = scene.daemon().claim_one(scene.world.r1).await;
    assert_eq!(task["agent"]["mcp_config"], Value::Null, "{task}");
    let trace = gateway.admin().trace(id_of(&task)).await;
    assert_eq!(trace["steps"], json!([]), "the shadow still runs");
}

/// A session is opened by a `POST`, so a shadow opens none: the owner's apps are connected once.
#[apply(on_both)]
async fn a_shadow_opens_no_second_session(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    allow(&gateway, world.g1, &["notion"]).await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    let shade = "[[plugin]]\nname = \"extra\"\nsource = \"builtin:mcp-overlay\"\nstages = [\"prepare\"]\nshadow = true\n";
    gateway.admin().apply(&format!("{BUILT_IN}{shade}")).await.expect(200);
    let task = assign(&gateway, &world, world.g1).await;
    assert_eq!(task["runtime_mcp_overlay"], overlay());
    let shown = shadow_step(&gateway, id_of(&task)).await;
    assert_eq!((&shown["would"], &shown["code"]), (&json!("skipped"), &json!("failed")), "{shown}");
    assert!(shown["message"].as_str().unwrap().contains("shadow"), "{shown}");
    assert_eq!(service.asked(SESSION).len(), 1);
    let plugins = gateway.admin().plugins().await;
    assert_eq!(plugins["plugins"][3]["counters"]["denied"], json!({"read-only": 1}), "{plugins}");
    gateway.finish().await;
}

#[apply(on_both)]
async fn sixteen_shadows_run_at_once_and_no_more(engine: Engine) {
    let ((gateway, _folder), web) = (with_secret(engine).await, Web::start().await);
    let scene = Scene::new(&gateway).await;
    let wait = json!([{"do": "send", "method": "GET", "url": web.url("/api/stall")}]);
    let lines = granted(&web, "/api", r#"["GET"]"#, LOOPBACK)
        .replace("wall_ms = 10000", "wall_ms = 30000, http_ms = 30000");
    let shade = |number: usize| {
        let more = format!("shadow = true\nconfig = {{ steps = {} }}\n{lines}", inline(&wait));
        plugin(&format!("shade-{number}"), "test-reach", &more)
    };
    scene.apply(&(0..17).map(shade).collect::<String>()).await;
    let steps = async |task: &Value| {
        let trace = gateway.admin().trace(id_of(task)).await;
        trace["steps"].as_array().unwrap().clone()
    };
    // The second round finds the places that the first one left.
    for round in 1..=2 {
        let task = scene.claimed().await;
        eventually("sixteen ask and wait", async || web.asked().len() == 16 * round).await;
        let done = steps(&task).await;
        assert_eq!(done.len(), 1, "the others still run: {done:?}");
        let told = (&done[0]["plugin"], &done[0]["outcome"], &done[0]["would"], &done[0]["code"]);
        assert_eq!(told, (&json!("shade-16"), &json!("shadow"), &json!("skipped"), &json!("overload")));
        for _ in 0..16 {
            web.let_one_go();
        }
        eventually("all of them are done", async || steps(&task).await.len() == 17).await;
        let changed = steps(&task).await.iter().filter(|step| step["would"] == "changed").count();
        assert_eq!(changed, 16);
        scene.end(&task).await;
    }
    gateway.finish().await;
}

/// The first of the two would loop for ten seconds, and the second hears of the end meanwhile.
#[apply(on_both)]
async fn nobody_waits_for_a_shadow_at_the_end_of_a_task(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let at_the_end = |name: &str, stage: &str, more: &str| {
        let config = format!("config = {{ stage = \"{stage}\", fault = \"loop\" }}");
        plugin(name, "test-faults", &format!("stages = [\"finished\"]\n{config}\n{more}"))
    };
    let shade = "shadow = true\nlimits = { cpu_ms = 10000, wall_ms = 30000 }";
    scene.apply(&(at_the_end("extra", "finished", shade) + &at_the_end("live", "prepare", ""))).await;
    scene.end(&scene.claimed().await).await;
    eventually("the live one heard", async || calls(gateway, 1).await == 1).await;
    assert_eq!(calls(gateway, 0).await, 0, "the shadow still runs");
}
