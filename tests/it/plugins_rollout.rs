//! Plugins on trial: shadows, which change nothing, and canaries, which get some of the tasks
//! and go by themselves when they fail.

use std::collections::BTreeSet;

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, id_of};
use crate::plugins_scene::{Scene, eventually, instructions, plugin, step};

/// Far more than it takes until a canary that gets 99 of 100 tasks has failed five times.
const ENOUGH: usize = 60;

fn main_plugin() -> String {
    plugin("main", "test-echo", "config = { text = \"main\" }")
}

fn canary(name: &str, percent: u32, guest: &str, config: &str) -> String {
    plugin(name, guest, &format!("canary = {percent}\nreplaces = \"main\"\n{config}"))
}

async fn faults(gateway: &Gateway, document: &str) -> Vec<(String, String)> {
    let answer = gateway.admin().apply(document).await.expect(422);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = answer["faults"].as_array().unwrap();
    list.iter().map(|fault| (text(&fault["pointer"]), text(&fault["message"]))).collect()
}

#[apply(on_both)]
async fn what_is_wrong_with_a_canary_is_told(gateway: &Gateway) {
    let echo = |more: &str| plugin("extra", "test-echo", &format!("config = {{ text = \"x\" }}\n{more}"));
    let main = main_plugin();
    for (document, pointer, part) in [
        (echo("shadow = 1"), "/plugin/0/shadow", "true or false"),
        (echo("canary = 10"), "/plugin/0/replaces", "is required beside `canary`"),
        (echo("replaces = \"main\"") + &main, "/plugin/0/replaces", "only a canary"),
        (echo("canary = 0\nreplaces = \"main\"") + &main, "/plugin/0/canary", "from 1 to 99"),
        (echo("canary = 100\nreplaces = \"main\"") + &main, "/plugin/0/canary", "from 1 to 99"),
        (echo("canary = \"all\"\nreplaces = \"main\"") + &main, "/plugin/0/canary", "from 1 to 99"),
        (echo("canary = 10\nreplaces = 1"), "/plugin/0/replaces", "must be a string"),
        (
            echo("canary = 10\nreplaces = \"nobody\"") + &main,
            "/plugin/0/replaces",
            "no plugin is called `nobody`",
        ),
        (
            echo("canary = 10\nreplaces = \"main\"\nshadow = true") + &main,
            "/plugin/0/shadow",
            "cannot be a canary",
        ),
        (echo("canary = 10\nreplaces = \"extra\""), "/plugin/0/replaces", "`extra` is a canary itself"),
        (
            echo("canary = 10\nreplaces = \"main\"")
                + &plugin("main", "test-echo", "config = { text = \"m\" }\nshadow = true"),
            "/plugin/0/replaces",
            "`main` is a shadow itself",
        ),
        (
            echo("canary = 10\nreplaces = \"main\"")
                + &plugin("main", "test-echo", "config = { text = \"m\" }\nenabled = false"),
            "/plugin/0/replaces",
            "`main` is disabled",
        ),
        (
            main.clone() + &canary("one", 1, "test-trap", "") + &canary("two", 1, "test-trap", ""),
            "/plugin/2/replaces",
            "has a canary already, /plugin/1",
        ),
        (
            main.clone()
                + "[[plugin]]\nname = \"merge\"\nsource = \"builtin:mcp-overlay\"\ncanary = 10\nreplaces = \"main\"\n",
            "/plugin/1/stages",
            "`main` serves enrichment, this one mcp-overlay",
        ),
    ] {
        let found = faults(gateway, &document).await;
        let [(place, message)] = found.as_slice() else { panic!("{found:?} of\n{document}") };
        assert!(place == pointer && message.contains(part), "{place}: {message}\nof {document}");
    }
    assert_eq!(gateway.admin().plugins().await["generation"], 1);
}

/// Claims a task, and says whether the canary was called for it.
async fn who_ran(scene: &Scene<'_>, task: &Value) -> bool {
    let trace = scene.gateway.admin().trace(id_of(task)).await;
    let steps = trace["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1, "one of the two runs: {trace}");
    let by_canary = steps[0]["plugin"] == "next";
    assert_eq!(steps[0].get("replaces"), by_canary.then(|| json!("main")).as_ref(), "{trace}");
    assert!(instructions(task).ends_with(if by_canary { "next" } else { "main" }), "{task}");
    by_canary
}

#[apply(on_both)]
async fn a_canary_stands_in_for_its_share_and_a_task_keeps_its_side(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let document = main_plugin() + &canary("next", 50, "test-echo", "config = { text = \"next\" }");
    let shown = scene.apply(&document).await;
    assert_eq!(
        (&shown["plugins"][1]["role"], &shown["plugins"][1]["canary"], &shown["plugins"][1]["replaces"]),
        (&json!("canary"), &json!(50), &json!("main"))
    );
    let mut sides = BTreeSet::new();
    for _ in 0..20 {
        let task = scene.claimed().await;
        let side = who_ran(&scene, &task).await;
        sides.insert(side);
        // The same task once more, as after a claim that was taken back.
        let again = "UPDATE agent_task_queue SET status = 'queued', dispatched_at = NULL WHERE id = $1";
        gateway.execute(again, json!([id_of(&task)])).await;
        let task = scene.daemon().claim_one(scene.world.r1).await;
        assert_eq!(who_ran(&scene, &task).await, side);
        scene.end(&task).await;
    }
    assert_eq!(sides.len(), 2, "twenty tasks all fell on one side");
}

/// Claims until the gateway went back by itself; no claim fails meanwhile.
async fn claim_until_back(scene: &Scene<'_>, canary_runs: u64) -> Value {
    let admin = scene.gateway.admin();
    for _ in 0..ENOUGH {
        let task = scene.claimed().await;
        scene.end(&task).await;
        let shown = admin.plugins().await;
        if shown["generation"].as_u64() > Some(canary_runs) {
            break;
        }
    }
    eventually("the gateway goes back", async || {
        admin.plugins().await["generation"].as_u64() > Some(canary_runs)
    })
    .await;
    admin.plugins().await
}

#[apply(on_both)]
async fn a_canary_that_fails_is_given_up_once_and_for_all(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    scene.apply(&main_plugin()).await;
    scene.apply(&(main_plugin() + &canary("next", 99, "test-trap", ""))).await;
    let back = claim_until_back(&scene, 3).await;
    assert_eq!((&back["generation"], &back["origin"]), (&json!(4), &json!("rollback")));
    let reason = back["reason"].as_str().unwrap();
    assert_eq!(reason, "canary next failed too often in generation 3; generation 2 runs again");
    assert_eq!(back["plugins"].as_array().map(Vec::len), Some(1));
    for _ in 0..3 {
        let task = scene.claimed().await;
        assert!(instructions(&task).ends_with("main"));
        scene.end(&task).await;
    }
    let list = gateway.admin().get("/admin/plugins/generations").await.ok();
    let reasons: Vec<&Value> =
        list["generations"].as_array().unwrap().iter().map(|set| &set["reason"]).collect();
    assert_eq!(reasons, [&json!(reason), &Value::Null, &Value::Null, &Value::Null]);

    // A set with a canary that was given up is nothing to go back to, nor is it after a restart.
    scene.apply(&(main_plugin() + &canary("next", 99, "test-trap", "") + "# again")).await;
    scene.apply(&(main_plugin() + &canary("other", 99, "test-trap", ""))).await;
    gateway.restart();
    let back = claim_until_back(&scene, 6).await;
    let reason = "canary other failed too often in generation 6; generation 4 runs again";
    assert_eq!((&back["generation"], &back["reason"]), (&json!(7), &json!(reason)));
}

#[apply(on_both)]
async fn a_canary_without_a_set_before_it_is_taken_out(engine: Engine) {
    let document = main_plugin() + &canary("next", 99, "test-trap", "");
    let gateway = Gateway::setup(engine).plugins(&document).start().await;
    let scene = Scene::new(&gateway).await;
    let back = claim_until_back(&scene, 1).await;
    assert_eq!(back["generation"], 2);
    assert!(back["reason"].as_str().unwrap().ends_with("it was taken out"), "{back}");
    assert_eq!(back["plugins"][0]["name"], "main");
    assert_eq!(back["plugins"].as_array().map(Vec::len), Some(1));
    // The file still names it, and did not change: a restart is no reason to try again.
    gateway.restart();
    assert_eq!(gateway.admin().plugins().await["generation"], 2);
    gateway.finish().await;
}

#[test]
fn of_many_nodes_one_goes_back_and_the_others_follow() {
    crate::harness::run_with(Engine::Postgres, async |engine| {
        let one = Gateway::start(engine).await;
        let two = one.second_node().await;
        let (here, there) = (Scene::new(&one).await, two.user());
        here.apply(&main_plugin()).await;
        here.apply(&(main_plugin() + &canary("next", 99, "test-trap", ""))).await;
        eventually("the other node follows", async || two.admin().plugins().await["generation"] == 3).await;
        // Both break at about the same time.
        for _ in 0..ENOUGH {
            for _ in 0..2 {
                one.seed_issue_task(here.world.g1, json!({})).await;
            }
            let (a, b) = tokio::join!(here.daemon().claim(here.world.r1), there.claim(here.world.r1));
            for task in [a, b].into_iter().flatten() {
                here.end(&task).await;
            }
            if one.admin().plugins().await["generation"] != 3 {
                break;
            }
        }
        for node in [&one, &two] {
            eventually("both run the set before", async || node.admin().plugins().await["generation"] == 4)
                .await;
        }
        let list = two.admin().get("/admin/plugins/generations").await.ok();
        let with_reason = |set: &&Value| set["reason"].is_string();
        let list = list["generations"].as_array().unwrap();
        assert_eq!((list.len(), list.iter().filter(with_reason).count()), (4, 1), "{list:?}");
        two.finish().await;
        one.finish().await;
    });
}

/// The step of the shadow `extra`, once it is done.
pub async fn shadow_step(gateway: &Gateway, task: Uuid) -> Value {
    let admin = gateway.admin();
    let has =
        |trace: &Value| trace["steps"].as_array().unwrap().iter().any(|step| step["outcome"] == "shadow");
    eventually("the shadow is done", async || has(&admin.trace(task).await)).await;
    step(&admin.trace(task).await, "extra")
}

#[apply(on_both)]
async fn a_shadow_sees_what_the_live_one_sees_and_changes_nothing(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let shadow =
        |guest: &str, more: &str| main_plugin() + &plugin("extra", guest, &format!("shadow = true\n{more}"));
    scene.apply(&shadow("test-echo", "config = { text = \"shade\", show_claim = true }")).await;
    let task = scene.claimed().await;
    assert!(instructions(&task).ends_with("main"));
    let seen = shadow_step(gateway, id_of(&task)).await;
    assert_eq!((&seen["would"], &seen["changes"][0]["op"]), (&json!("changed"), &json!("replace")));
    assert_eq!(seen["changes"][0]["was"], task["agent"]["instructions"], "its place is after the live one");
    assert!(seen["changes"][0]["value"].as_str().unwrap().contains("shade"));
    scene.end(&task).await;
    let shown = gateway.admin().plugins().await;
    assert_eq!(shown["plugins"][1]["role"], "shadow");
    for place in 0..2 {
        assert_eq!(shown["plugins"][place]["counters"]["calls"], 1, "{shown}");
    }
    let metrics = gateway.admin().get("/metrics").await.text;
    assert!(metrics.contains("extra (shadow)"), "a shadow is counted apart");

    for (guest, more, would, code) in [
        ("test-trap", "on_error = \"fail\"", "failed", "trap"),
        ("test-trap", "", "skipped", "trap"),
        ("test-deny", "config = { code = \"no\", reason = \"because\" }", "denied", "no"),
    ] {
        scene.apply(&shadow(guest, more)).await;
        let task = scene.claimed().await;
        assert!(instructions(&task).ends_with("main"), "{guest}");
        let seen = shadow_step(gateway, id_of(&task)).await;
        assert_eq!((&seen["would"], &seen["code"]), (&json!(would), &json!(code)), "{seen}");
        assert_eq!(seen["changes"], json!([]));
        scene.end(&task).await;
    }
}

/// Every other stage has a shadow, too. This one fails in each, and the claim is as without it.
#[apply(on_both)]
async fn each_stage_has_shadows(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let stages = ["repo-resolution", "mcp-overlay", "squad-briefing"];
    let mut document = crate::plugins_scene::BUILT_IN.to_owned();
    for stage in stages {
        let more = format!(
            "shadow = true\nstages = [\"{stage}\"]\nconfig = {{ stage = \"{stage}\", fault = \"trap\" }}"
        );
        document += &plugin(&format!("shade-{stage}"), "test-faults", &more);
    }
    scene.apply(&document).await;
    let config = json!({"mcpServers": {"fetch": {"command": "uvx"}}});
    let squad = gateway.seed_squad(gateway.workspace, "Core", scene.world.g1, json!({})).await;
    gateway.change("agent", scene.world.g1, "mcp_config", config.clone()).await;
    let leads = json!({"is_leader_task": true, "squad_id": squad});
    gateway.seed_issue_task(scene.world.g1, leads).await;
    let task = scene.daemon().claim_one(scene.world.r1).await;
    assert_eq!(task["agent"]["mcp_config"], config);
    let shadows = async || {
        let trace = gateway.admin().trace(id_of(&task)).await;
        let steps = trace["steps"].as_array().unwrap().clone();
        steps.into_iter().filter(|step| step["outcome"] == "shadow").collect::<Vec<_>>()
    };
    eventually("three shadows are done", async || shadows().await.len() == 3).await;
    for step in shadows().await {
        assert_eq!((&step["would"], &step["code"]), (&json!("skipped"), &json!("trap")), "{step}");
    }
}

/// This one would loop for ten seconds; the claim is answered meanwhile.
#[apply(on_both)]
async fn a_claim_does_not_wait_for_a_shadow(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let slow = "shadow = true\nlimits = { cpu_ms = 10000, wall_ms = 30000 }";
    scene.apply(&(main_plugin() + &plugin("extra", "test-loop", slow))).await;
    let task = scene.claimed().await;
    let trace = gateway.admin().trace(id_of(&task)).await;
    let steps: Vec<&Value> = trace["steps"].as_array().unwrap().iter().map(|step| &step["plugin"]).collect();
    assert_eq!(steps, ["main"], "the shadow still runs");
}

#[apply(on_both)]
async fn a_step_tells_what_the_call_took(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let document = plugin("extra", "test-echo", "config = { text = \"twelve bytes\", log_lines = 3 }");
    let applied = scene.apply(&document).await;
    let task = scene.claimed().await;
    let step = scene.step(id_of(&task)).await;
    assert_eq!((&step["sha256"], &step["bytes_out"]), (&applied["plugins"][0]["sha256"], &json!(12)));
    for member in ["guest_us", "instantiate_us", "peak_memory_bytes", "bytes_in"] {
        assert!(step[member].as_u64() > Some(0), "{member} of {step}");
    }
    assert!(step["host_us"].is_u64() && step["queue_us"].is_u64());
    assert!(step["bytes_in"].as_u64() > Some(200), "the claim goes in: {step}");
}
