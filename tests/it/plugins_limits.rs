//! Guests that misbehave: what they cost is their own part of a claim and nothing else.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Gateway, id_of};
use crate::plugins_scene::{BUILT_IN, Scene, beside_built_in, instructions, plugin, step};

/// A claim through the guest comes back as if the guest were not there, and its trace says
/// why it is not.
async fn skipped(scene: &Scene<'_>, guest: &str, more: &str, code: &str) -> Value {
    scene.apply(&beside_built_in(guest, more)).await;
    let task = scene.claimed().await;
    assert_eq!(instructions(&task), "", "{guest}: {task}");
    assert_eq!(task["agent"]["custom_args"], Value::Null, "{guest}: {task}");
    assert!(task["auth_token"].as_str().unwrap().starts_with("mat_"), "{guest}: {task}");
    let trace = scene.gateway.admin().trace(id_of(&task)).await;
    let extra = step(&trace, "extra");
    assert_eq!((&extra["outcome"], &extra["code"]), (&json!("skipped"), &json!(code)), "{guest}: {trace}");
    assert_eq!(step(&trace, "repo-resolution")["outcome"], "unchanged", "{guest}: {trace}");
    let shown = scene.gateway.admin().plugins().await;
    assert_eq!(shown["plugins"][3]["counters"]["failed"][code], 1, "{guest}: {shown}");
    scene.end(&task).await;
    extra
}

#[apply(on_both)]
async fn a_guest_that_misbehaves_loses_only_its_own_part(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    skipped(&scene, "test-loop", "limits = { cpu_ms = 20 }", "deadline").await;
    skipped(&scene, "test-loop", "limits = { cpu_ms = 10000, wall_ms = 20 }", "timeout").await;
    skipped(&scene, "test-trap", "", "trap").await;
    skipped(&scene, "test-hog", "limits = { memory_mib = 4 }", "memory").await;
    let long = "x".repeat(2000);
    let talkative = format!("config = {{ text = \"{long}\" }}\nlimits = {{ max_output_bytes = 1024 }}");
    skipped(&scene, "test-echo", &talkative, "size").await;
    gateway
        .execute("UPDATE workspace SET context = $2 WHERE id = $1", json!([gateway.workspace, long]))
        .await;
    skipped(&scene, "test-echo", "config = { text = \"x\" }\nlimits = { max_input_bytes = 1024 }", "size")
        .await;
}

#[apply(on_both)]
async fn garbage_is_refused_whole(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    for (mode, code) in [
        ("invalid-json", "invalid_output"),
        ("wrong-type", "invalid_output"),
        ("not-granted", "invalid_output"),
        ("bad-pointer", "invalid_output"),
        ("ungranted-env", "invalid_output"),
        ("bad-server", "invalid_output"),
        ("bad-repo", "invalid_output"),
        ("half-good", "invalid_output"),
        ("huge", "size"),
        ("many", "size"),
        ("long-failure", "failed"),
    ] {
        let granted = "[plugin.grants]\nwrite = [\"/agent/model\"]";
        let more = format!("config = {{ mode = \"{mode}\" }}\n{granted}");
        let extra = skipped(&scene, "test-garbage", &more, code).await;
        let message = extra["message"].as_str().unwrap();
        assert!(message.len() < 4096, "{mode}: the trace keeps {} bytes", message.len());
    }
}

#[apply(on_both)]
async fn under_fail_the_task_waits_in_the_queue_with_the_reason(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let (admin, daemon) = (gateway.admin(), scene.daemon());
    for (guest, more, reason) in [
        ("test-loop", "limits = { cpu_ms = 20 }", "20 ms of processor time"),
        ("test-trap", "", "trapped"),
        ("test-hog", "limits = { memory_mib = 4 }", "4 MiB"),
        ("test-garbage", "config = { mode = \"half-good\" }", "/auth_token"),
    ] {
        scene.apply(&beside_built_in(guest, &format!("on_error = \"fail\"\n{more}"))).await;
        let task = scene.claim_for_nothing().await;
        let row =
            gateway.row("SELECT status, error FROM agent_task_queue WHERE id = $1", json!([task])).await;
        assert_eq!(row["status"], "queued", "{guest}: {row}");
        let error = row["error"].as_str().unwrap();
        assert!(error.contains("plugin extra failed") && error.contains(reason), "{guest}: {error}");
        assert_eq!(step(&admin.trace(task).await, "extra")["outcome"], "failed", "{guest}");
        // Once the plugin is gone the very same task is handed out.
        scene.apply(BUILT_IN).await;
        let claimed = daemon.claim_one(scene.world.r1).await;
        assert_eq!(id_of(&claimed), task, "{guest}");
        scene.end(&claimed).await;
    }
}

#[apply(on_both)]
async fn a_denied_task_fails_with_the_plugins_reason(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let denial = "config = { code = \"frozen\", reason = \"nothing ships on Fridays\" }";
    for (guest, more, reason) in [
        ("test-deny", denial, "nothing ships on Fridays"),
        ("test-garbage", "config = { mode = \"empty-denial\" }", "no reason was given"),
    ] {
        scene.apply(&beside_built_in(guest, more)).await;
        let task = scene.claim_for_nothing().await;
        let sql = "SELECT status, error, failure_reason FROM agent_task_queue WHERE id = $1";
        let row = gateway.row(sql, json!([task])).await;
        assert_eq!(
            (&row["status"], &row["failure_reason"]),
            (&json!("failed"), &json!("plugin_denied")),
            "{row}"
        );
        assert!(row["error"].as_str().unwrap().contains(reason), "{row}");
        assert_eq!(scene.step(task).await["outcome"], "denied");
    }
}

#[apply(on_both)]
async fn a_fault_in_any_stage_leaves_that_stages_part_as_it_was(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let repos = json!([{"url": "https://git.example/shared"}]);
    gateway.execute("UPDATE workspace SET repos = $2 WHERE id = $1", json!([gateway.workspace, repos])).await;
    let config = json!({"mcpServers": {"fetch": {"command": "uvx"}}});
    let sql = "UPDATE agent SET mcp_config = $2, instructions = 'Be brief.' WHERE id = $1";
    gateway.execute(sql, json!([scene.world.g1, config])).await;
    let squad = gateway.seed_squad(gateway.workspace, "Core", scene.world.g1, json!({})).await;
    for stage in ["repo-resolution", "mcp-overlay", "squad-briefing", "enrichment"] {
        for fault in ["loop", "trap", "hog", "fail"] {
            let config_line = format!("config = {{ stage = \"{stage}\", fault = \"{fault}\" }}");
            let more =
                format!("stages = [\"{stage}\"]\n{config_line}\nlimits = {{ cpu_ms = 20, memory_mib = 4 }}");
            scene.apply(&plugin("extra", "test-faults", &more)).await;
            let leads = json!({"is_leader_task": true, "squad_id": squad});
            gateway.seed_issue_task(scene.world.g1, leads).await;
            let task = scene.daemon().claim_one(scene.world.r1).await;
            assert_eq!(task["repos"], repos, "{stage} {fault}");
            assert_eq!(task["agent"]["mcp_config"], config, "{stage} {fault}");
            assert_eq!(instructions(&task), "Be brief.", "{stage} {fault}");
            let step = scene.step(id_of(&task)).await;
            assert_eq!(
                (&step["stage"], &step["outcome"]),
                (&json!(stage), &json!("skipped")),
                "{fault}: {step}"
            );
            scene.end(&task).await;
        }
    }
}

#[apply(on_both)]
async fn what_a_plugin_does_at_the_end_of_a_task_changes_nothing(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    for fault in ["loop", "trap", "hog", "fail"] {
        let more = format!(
            "stages = [\"finished\"]\non_error = \"fail\"\nconfig = {{ stage = \"finished\", fault = \"{fault}\" }}\n\
             limits = {{ cpu_ms = 20, memory_mib = 4 }}"
        );
        scene.apply(&plugin("extra", "test-faults", &more)).await;
        let task = scene.claimed().await;
        scene.end(&task).await;
        assert_eq!(scene.daemon().status_of(id_of(&task)).await, "completed", "{fault}");
        crate::plugins_scene::eventually("the plugin was told", async || {
            gateway.admin().plugins().await["plugins"][0]["counters"]["calls"] == 1
        })
        .await;
    }
}

/// The guest of one claim never returns. The others, at the same moment, get all that the
/// other plugins give, and the gateway answers.
#[apply(on_both)]
async fn a_guest_in_an_endless_loop_costs_other_claims_nothing(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    // One place: whoever does not get it goes on without the plugin.
    scene.apply(&beside_built_in("test-loop", "limits = { cpu_ms = 200, max_concurrent = 1 }")).await;
    gateway.execute("UPDATE agent SET max_concurrent_tasks = 6 WHERE id = $1", json!([scene.world.g1])).await;
    for _ in 0..6 {
        gateway.seed_issue_task(scene.world.g1, json!({})).await;
    }
    let claims = (0..6).map(|_| scene.daemon().claim_one(scene.world.r1));
    let (tasks, ()) = tokio::join!(futures_util::future::join_all(claims), async {
        for _ in 0..50 {
            scene.daemon().beat(scene.world.r1).await;
        }
    });
    for task in &tasks {
        let trace = gateway.admin().trace(id_of(task)).await;
        let extra = step(&trace, "extra");
        assert_eq!(extra["outcome"], "skipped", "{trace}");
        let code = extra["code"].as_str().unwrap();
        assert!(["deadline", "timeout", "overload", "breaker_open"].contains(&code), "{trace}");
        assert_eq!(step(&trace, "repo-resolution")["outcome"], "unchanged", "{trace}");
    }
}

#[apply(on_both)]
async fn a_plugin_that_fails_again_and_again_is_left_alone(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    scene.apply(&beside_built_in("test-trap", "")).await;
    let mut codes = Vec::new();
    for _ in 0..6 {
        let task = scene.claimed().await;
        codes.push(scene.step(id_of(&task)).await["code"].clone());
        scene.end(&task).await;
    }
    // The sixth may come after the first pause on a busy machine, and is a probe then.
    assert_eq!(codes[..5], ["trap"; 5].map(Value::from));
    assert!(codes[5] == "breaker_open" || codes[5] == "trap", "{codes:?}");
    let shown = gateway.admin().plugins().await;
    assert_ne!(shown["plugins"][3]["breaker"], "closed", "{shown}");
    // A new generation begins anew.
    let shown = scene.apply(&beside_built_in("test-echo", "config = { text = \"back\" }")).await;
    assert_eq!(shown["plugins"][3]["breaker"], "closed", "{shown}");
    assert_eq!(instructions(&scene.claimed().await), "back");
}

#[apply(on_both)]
async fn a_guest_cannot_flood_the_log_or_forge_a_line(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let config = "config = { text = \"ERROR forged\", log_lines = 100 }";
    scene.apply(&beside_built_in("test-echo", config)).await;
    let task = scene.claimed().await;
    let counters = &gateway.admin().plugins().await["plugins"][3]["counters"];
    assert_eq!(counters["dropped_lines"], 36, "{counters}");
    let id = task["id"].as_str().unwrap();
    crate::plugins_scene::eventually("the lines are in the log", async || {
        let log = gateway.log();
        log.iter().filter(|line| line.contains("line ") && line.contains(id)).count() == 64
    })
    .await;
    assert!(gateway.log().iter().all(|line| !line.starts_with("ERROR forged")));
}

/// Every line of these is longer than what is kept of one.
#[apply(on_both)]
async fn what_a_call_writes_to_the_log_is_bounded_in_lines_and_bytes(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let text = "x".repeat(3000);
    for (limits, written) in [
        ("log_lines = 3", 3),
        ("log_lines = 0", 0),
        // Four lines of 1 KiB, and nothing is left for a fifth.
        ("log_bytes = 4096", 4),
        ("log_bytes = 1023", 0),
        ("log_lines = 2, log_bytes = 1048576", 2),
    ] {
        let more = format!("config = {{ text = \"{text}\", log_lines = 10 }}\nlimits = {{ {limits} }}");
        scene.apply(&beside_built_in("test-echo", &more)).await;
        let task = scene.claimed().await;
        let counters = &gateway.admin().plugins().await["plugins"][3]["counters"];
        assert_eq!(counters["dropped_lines"], 10 - written, "{limits}: {counters}");
        let id = task["id"].as_str().unwrap();
        let lines = || -> Vec<String> {
            let log = gateway.log();
            log.into_iter().filter(|line| line.contains(id) && line.contains("xxx")).collect()
        };
        crate::plugins_scene::eventually("the lines are in the log", async || lines().len() == written).await;
        // Eight bytes go before them, a break of the line that is written as two among them.
        let kept = |line: &String| line.contains(&"x".repeat(1016)) && !line.contains(&"x".repeat(1017));
        assert!(lines().iter().all(kept), "{limits}");
        scene.end(&task).await;
    }
}

#[apply(on_both)]
async fn what_a_monitor_reads_of_a_plugin_never_goes_back(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let failures = "switchyard_plugin_failures_total{plugin=\"extra\",code=\"trap\"}";
    for round in 1..=3 {
        // Each time a new set, whose plugin counts from nothing.
        scene.apply(&beside_built_in("test-trap", "")).await;
        let task = scene.claimed().await;
        scene.end(&task).await;
        let text = gateway.admin().get("/metrics").await.text;
        assert!(text.contains(&format!("{failures} {round}\n")), "round {round}: {text}");
    }
}
