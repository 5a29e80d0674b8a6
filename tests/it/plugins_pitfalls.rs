//! Fifteen traps that hosts of plugins have fallen into, each held by a test. Those that follow
//! from how guests are called are here; the others stand where what they are about is tested:
//!
//! 1. A type that grows breaks every compiled plugin: `tidy::a_published_contract_never_changes`,
//!    `plugins_frozen`.
//! 2. The guest's clock does not stop a wait in the host:
//!    `plugins_reach::a_wait_in_the_host_costs_no_guest_time_and_ends_with_the_call`.
//! 3. An instance that is used after it was broken off: below.
//! 4. A guest that spins starves the server: below.
//! 5. The clock that stops guests stands still with the runtime: below.
//! 6. A deadline that begins before the call: below.
//! 7. Stopping one guest stops its neighbours:
//!    `plugins_limits::a_guest_in_an_endless_loop_costs_other_claims_nothing`.
//! 8. No place left is taken for a fault of the plugin: below.
//! 9. Memory is limited one by one: below.
//! 10. The allow-list is got round: `plugins_reach::what_was_not_granted_is_not_asked`,
//!     `plugins_reach::addresses_that_are_not_public_need_a_grant_of_their_own`.
//! 11. Compiled code that is torn, foreign or stale: `plugins_cache`.
//! 12. Every reload leaves something behind: `plugins_nodes::a_thousand_applies_leave_memory_as_it_was`.
//! 13. One bad plugin blocks all, and nobody sees what was skipped: `plugins_policy`.
//! 14. State that a guest can fill: `plugins_reach::what_a_guest_can_fill_is_bounded`,
//!     `plugins_limits::a_guest_cannot_flood_the_log_or_forge_a_line`.
//! 15. More of WebAssembly than is needed: below.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, id_of, run, run_with};
use crate::plugins_scene::{
    BUILT_IN, Scene, beside_built_in, component, eventually, instructions, plugin, step,
};
use crate::plugins_web::Web;

/// A plugin that asks a server which answers when it is let; `limits` are its limits.
fn asking(web: &Web, path: &str, timeout_ms: u32, limits: &str) -> String {
    let url = web.url(path);
    beside_built_in(
        "test-reach",
        &format!(
            "config = {{ steps = [{{ do = \"send\", method = \"GET\", url = \"{url}\", timeout_ms = {timeout_ms} }}] }}\n\
             limits = {{ {limits} }}\n[plugin.grants]\nkv = true\nclock = true\nrandom = true\n{}\
             [plugin.grants.secrets.unused]\nfrom = \"env:SWITCHYARD_PLUGIN_SECRET_UNUSED\"\nhosts = [\"localhost\"]\n",
            web.grant("/api", "[\"GET\"]", "[\"127.0.0.0/8\", \"::1/128\"]"),
        ),
    )
}

async fn gateway() -> Gateway {
    Gateway::setup(Engine::Sqlite).env("SWITCHYARD_PLUGIN_SECRET_UNUSED", "unused").start().await
}

async fn tasks(scene: &Scene<'_>, count: usize) {
    scene.gateway.change("agent", scene.world.g1, "max_concurrent_tasks", json!(count)).await;
    for _ in 0..count {
        scene.gateway.seed_issue_task(scene.world.g1, json!({})).await;
    }
}

/// What became of the plugin in each of these tasks.
async fn steps(scene: &Scene<'_>, tasks: &[Value]) -> Vec<Value> {
    let mut steps = Vec::new();
    for task in tasks {
        steps.push(step(&scene.gateway.admin().trace(id_of(task)).await, "extra"));
    }
    steps
}

#[test]
fn pitfall_3_a_call_that_was_broken_off_spoils_no_other() {
    run_with(Engine::Sqlite, async |_| {
        let (gateway, web) = (gateway().await, Web::start().await);
        let scene = Scene::new(&gateway).await;
        scene.apply(&asking(&web, "/api/stall", 30_000, "wall_ms = 30000, http_ms = 30000")).await;
        tasks(&scene, 2).await;
        let call = scene.daemon().claiming(scene.world.r1);
        let caller = tokio::spawn(async move { call.attempt().await.map(drop) });
        eventually("the guest waits", async || web.asked().len() == 1).await;
        caller.abort();
        assert!(caller.await.is_err(), "the caller went away in the middle of the call");
        // Both may go, whoever still waits.
        web.let_one_go();
        web.let_one_go();
        let task = scene.daemon().claim_one(scene.world.r1).await;
        assert!(task["workspace_context"].as_str().is_some_and(|text| text.contains("at last")), "{task}");
        gateway.finish().await;
    });
}

/// A gateway with one thread for everything, and a guest that spins on it for two seconds: how
/// many other requests were answered meanwhile, and what became of the guest.
async fn spinning_on_one_thread() -> (usize, Value) {
    let gateway = Gateway::setup(Engine::Sqlite).env("TOKIO_WORKER_THREADS", "1").start().await;
    let scene = Scene::new(&gateway).await;
    scene.apply(&beside_built_in("test-loop", "limits = { cpu_ms = 2000, wall_ms = 30000 }")).await;
    tasks(&scene, 1).await;
    let call = scene.daemon().claiming(scene.world.r1);
    let claim = tokio::spawn(async move { call.await.expect(200) });
    let mut answered = 0;
    while !claim.is_finished() {
        assert_eq!(gateway.anonymous().get("/health").await.status, 200);
        answered += 1;
    }
    let task = claim.await.unwrap()["task"].clone();
    let extra = scene.step(id_of(&task)).await;
    gateway.finish().await;
    (answered, extra)
}

#[test]
fn pitfall_4_a_guest_that_spins_on_the_only_thread_lets_others_be_answered() {
    run_with(Engine::Sqlite, async |_| {
        let (answered, _) = spinning_on_one_thread().await;
        assert!(answered > 5, "{answered} requests were answered beside the guest");
    });
}

#[test]
fn pitfall_5_a_guest_is_stopped_when_it_holds_the_only_thread() {
    run_with(Engine::Sqlite, async |_| {
        let (_, extra) = spinning_on_one_thread().await;
        assert_eq!((&extra["outcome"], &extra["code"]), (&json!("skipped"), &json!("deadline")), "{extra}");
    });
}

/// Five calls of half a second each, one after the other: the last waits longer for its place
/// than a call may take.
#[test]
fn pitfall_6_a_wait_for_a_place_is_not_billed_to_the_call() {
    run_with(Engine::Sqlite, async |_| {
        let (gateway, web) = (gateway().await, Web::start().await);
        let scene = Scene::new(&gateway).await;
        let limits = "wall_ms = 1500, http_ms = 1500, queue_ms = 30000, max_concurrent = 1";
        scene.apply(&asking(&web, "/api/stall", 500, limits)).await;
        tasks(&scene, 5).await;
        let claims = (0..5).map(|_| scene.daemon().claim_one(scene.world.r1));
        let claimed = futures_util::future::join_all(claims).await;
        let steps = steps(&scene, &claimed).await;
        assert!(steps.iter().all(|step| step["outcome"] == "changed"), "{steps:#?}");
        let longest = steps.iter().filter_map(|step| step["queue_us"].as_u64()).max().unwrap();
        assert!(longest > 1_500_000, "somebody waited longer than a call may take: {steps:#?}");
        gateway.finish().await;
    });
}

#[test]
fn pitfall_8_no_place_left_is_no_fault_of_the_plugin() {
    run_with(Engine::Sqlite, async |_| {
        let (gateway, web) = (gateway().await, Web::start().await);
        let scene = Scene::new(&gateway).await;
        let limits = "wall_ms = 30000, http_ms = 30000, queue_ms = 1, max_concurrent = 1";
        scene.apply(&asking(&web, "/api/stall", 30_000, limits)).await;
        tasks(&scene, 8).await;
        let (first, others) = tokio::join!(scene.daemon().claim_one(scene.world.r1), async {
            eventually("the only place is taken", async || web.asked().len() == 1).await;
            let mut others = Vec::new();
            for _ in 0..7 {
                others.push(scene.daemon().claim_one(scene.world.r1).await);
            }
            web.let_one_go();
            others
        });
        let steps = steps(&scene, &others).await;
        assert!(steps.iter().all(|step| step["code"] == "overload"), "{steps:#?}");
        assert_eq!(scene.step(id_of(&first)).await["outcome"], "changed");
        let shown = gateway.admin().plugins().await;
        assert_eq!(shown["plugins"][3]["breaker"], "closed", "{shown}");
        gateway.finish().await;
    });
}

/// Applies the built-in plugins, a guest that grows each of three memories by so many pages and
/// each of three tables by so many elements and breaks off when less than `at_least` of the three
/// were granted, and another behind it.
async fn apply_many_memories(scene: &Scene<'_>, (pages, elements): (u32, u32), at_least: u32, mib: u32) {
    let text = include_str!("guests/many_memories.wat")
        .replace("{PAGES}", &pages.to_string())
        .replace("{ELEMENTS}", &elements.to_string())
        .replace("{AT_LEAST}", &at_least.to_string());
    let file = scene.gateway.folder().join(format!("grows-{pages}-{elements}-{at_least}.wasm"));
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let grows = format!(
        "\n[[plugin]]\nname = \"extra\"\nsource = \"file:{}\"\nlimits = {{ memory_mib = {mib} }}\n",
        file.display()
    );
    let behind = plugin("behind", "test-echo", "config = { text = \"still here\" }");
    scene.apply(&format!("{BUILT_IN}{grows}{behind}")).await;
}

/// No memory alone comes near the limit, and none of the tables does.
#[apply(on_both)]
async fn pitfall_9_memories_of_one_guest_count_together(gateway: &Gateway) {
    const PAGE: u64 = 64 << 10;
    let scene = Scene::new(gateway).await;
    // Four memories of one page each; 16 bytes an element.
    for (growth, mib, granted, held) in [
        ((25, 0), 8, "3", 79 * PAGE),
        ((25, 0), 4, "2", 54 * PAGE),
        ((0, 20_000), 2, "3", 4 * PAGE + 3 * 20_000 * 16),
        ((0, 20_000), 1, "2", 4 * PAGE + 2 * 20_000 * 16),
        ((8, 10_000), 2, "2", 20 * PAGE + 3 * 10_000 * 16),
    ] {
        // To the guest a refusal is a value.
        apply_many_memories(&scene, growth, 0, mib).await;
        let task = scene.claimed().await;
        let extra = scene.step(id_of(&task)).await;
        assert_eq!(task["workspace_context"], granted, "{growth:?} within {mib} MiB: {extra}");
        assert_eq!(
            (&extra["outcome"], &extra["peak_memory_bytes"]),
            (&json!("changed"), &json!(held)),
            "{extra}"
        );
        scene.end(&task).await;
    }
    for growth in [(25, 0), (0, 20_000)] {
        // One that cannot live with it breaks off, and everybody is told why.
        apply_many_memories(&scene, growth, 3, if growth.0 > 0 { 4 } else { 1 }).await;
        let task = scene.claimed().await;
        let trace = gateway.admin().trace(id_of(&task)).await;
        let extra = step(&trace, "extra");
        assert_eq!((&extra["outcome"], &extra["code"]), (&json!("skipped"), &json!("memory")), "{trace}");
        assert_eq!(step(&trace, "repo-resolution")["outcome"], "unchanged", "{trace}");
        assert_eq!(instructions(&task), "still here", "the plugin behind it goes on: {trace}");
        scene.end(&task).await;
    }
}

/// Components of one core module each, written by hand: a shared memory, a structure of the
/// garbage-collected heap, an exception.
#[test]
fn pitfall_15_what_no_plugin_needs_of_webassembly_is_refused() {
    let modules: [(&str, &[u8]); 3] = [
        ("threads", &[5, 4, 1, 3, 1, 1]),
        ("gc", &[1, 3, 1, 0x5f, 0]),
        ("exceptions", &[1, 4, 1, 0x60, 0, 0, 13, 3, 1, 0, 0]),
    ];
    run(Engine::Sqlite, async |gateway| {
        for (proposal, sections) in modules {
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            module.extend_from_slice(sections);
            let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
            bytes.extend([1, u8::try_from(module.len()).unwrap()]);
            bytes.extend(module);
            let file = gateway.folder().join(format!("{proposal}.wasm"));
            std::fs::write(&file, bytes).unwrap();
            let document = format!("[[plugin]]\nname = \"extra\"\nsource = \"file:{}\"\n", file.display());
            let refused = gateway.admin().apply(&document).await.expect(422);
            let message = refused["faults"][0]["message"].as_str().unwrap();
            assert!(message.contains("not a WebAssembly component"), "{proposal}: {message}");
        }
        // What the plugins here are made of is enough.
        let document =
            format!("[[plugin]]\nname = \"extra\"\nsource = \"file:{}\"\n", component("test-echo"));
        gateway.admin().apply(&document).await.expect(200);
    });
}
