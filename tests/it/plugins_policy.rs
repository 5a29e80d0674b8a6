//! For which tasks a plugin is asked, what its failures cost, and what happens when one
//! cannot be loaded.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, id_of};
use crate::plugins_scene::{
    BUILT_IN, Scene, beside_built_in, component, eventually, instructions, plugin, step,
};

const ECHO: &str = "config = { text = \"asked\" }";

#[apply(on_both)]
async fn a_plugin_is_asked_for_tasks_that_fit_every_list(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let (agent, workspace) = (scene.world.g1.to_string().to_uppercase(), scene.world.w1);
    let other = Uuid::new_v4();
    for (fits, matching) in [
        (true, format!("agents = [\"{other}\", \"{agent}\"]")),
        (false, format!("agents = [\"{other}\"]")),
        (true, format!("workspaces = [\"{workspace}\"]")),
        (false, format!("workspaces = [\"{other}\"]")),
        (true, "kinds = [\"chat\", \"direct\"]".to_owned()),
        (false, "kinds = [\"comment\", \"chat\", \"autopilot\", \"quick-create\"]".to_owned()),
        (false, format!("agents = [\"{agent}\"], kinds = [\"chat\"]")),
        (true, format!("agents = [\"{agent}\"], workspaces = [\"{workspace}\"], kinds = [\"direct\"]")),
    ] {
        scene.apply(&beside_built_in("test-echo", &format!("match = {{ {matching} }}\n{ECHO}"))).await;
        let task = scene.claimed().await;
        assert_eq!(instructions(&task), if fits { "asked" } else { "" }, "{matching}: {task}");
        scene.end(&task).await;
    }
}

/// The last plugin hears of every end, so whoever is before it heard by then, or never will.
#[apply(on_both)]
async fn a_plugin_hears_of_the_ends_of_tasks_that_fit(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let (agent, workspace, other) = (scene.world.g1, scene.world.w1, Uuid::new_v4());
    // Only a fault of another stage is asked for, so each call is a good one.
    let hears = |name: &str, more: &str| {
        let quiet = "stages = [\"finished\"]\nconfig = { stage = \"prepare\", fault = \"fail\" }";
        plugin(name, "test-faults", &format!("{quiet}\n{more}"))
    };
    for (fits, matching) in [
        (true, format!("agents = [\"{other}\", \"{agent}\"]")),
        (false, format!("agents = [\"{other}\"]")),
        (true, format!("workspaces = [\"{workspace}\"]")),
        (false, format!("workspaces = [\"{other}\"]")),
        (true, "kinds = [\"direct\"]".to_owned()),
        (false, "kinds = [\"comment\", \"chat\", \"autopilot\", \"quick-create\"]".to_owned()),
        (false, format!("agents = [\"{agent}\"], kinds = [\"chat\"]")),
    ] {
        let some = hears("some", &format!("match = {{ {matching} }}"));
        scene.apply(&(some + &hears("all", ""))).await;
        scene.end(&scene.claimed().await).await;
        let calls = async |place: usize| {
            gateway.admin().plugins().await["plugins"][place]["counters"]["calls"].clone()
        };
        eventually("the last one heard", async || calls(1).await == 1).await;
        assert_eq!(calls(0).await, json!(i32::from(fits)), "{matching}");
    }
}

fn resolver(name: &str, more: &str) -> String {
    format!("[[plugin]]\nname = \"{name}\"\nsource = \"builtin:repo-resolution\"\n{more}\n")
}

#[apply(on_both)]
async fn the_first_plugin_that_fits_decides_a_stage(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let document = [
        resolver("for-chats", "match = { kinds = [\"chat\"] }"),
        resolver("for-issues", "match = { kinds = [\"direct\"] }"),
        resolver("for-the-rest", ""),
    ];
    scene.apply(&document.concat()).await;
    let task = scene.claimed().await;
    let trace = gateway.admin().trace(id_of(&task)).await;
    let asked: Vec<&str> =
        trace["steps"].as_array().unwrap().iter().map(|step| step["plugin"].as_str().unwrap()).collect();
    assert_eq!(asked, ["for-issues"]);
    scene.end(&task).await;
}

#[apply(on_both)]
async fn a_plugin_that_is_never_reached_is_refused(gateway: &Gateway) {
    let admin = gateway.admin();
    let talk = "match = { kinds = [\"chat\", \"comment\"] }";
    let rest = "match = { kinds = [\"direct\", \"autopilot\", \"quick-create\"] }";
    let here = format!("match = {{ workspaces = [\"{}\"] }}", gateway.workspace);
    for (before, last, reached) in [
        (vec![""], "", false),
        (vec![""], talk, false),
        (vec![talk], "", true),
        (vec![talk, rest], "", false),
        (vec![talk], talk, false),
        (vec![talk], rest, true),
        (vec![&here], talk, true),
    ] {
        let mut document: String =
            before.iter().enumerate().map(|(at, more)| resolver(&format!("p{at}"), more)).collect();
        document.push_str(&resolver("last", last));
        let answer = admin.apply(&document).await;
        if reached {
            answer.expect(200);
        } else {
            let faults = answer.expect(422)["faults"].clone();
            assert_eq!(faults.as_array().map(Vec::len), Some(1), "{document}: {faults}");
            assert_eq!(faults[0]["pointer"], format!("/plugin/{}/stages", before.len()), "{document}");
        }
    }
}

#[apply(on_both)]
async fn what_a_failure_costs_can_differ_by_its_cause(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let fails = "on_error = { default = \"skip\", trap = \"fail\" }";
    let shown = scene.apply(&beside_built_in("test-trap", fails)).await;
    assert_eq!(shown["plugins"][3]["on_error"], json!({"default": "skip", "trap": "fail"}));
    let task = scene.claim_for_nothing().await;
    assert_eq!(scene.step(task).await["outcome"], "failed");
    scene.apply(BUILT_IN).await;
    scene.end(&scene.daemon().claim_one(scene.world.r1).await).await;

    for (guest, more) in [
        ("test-trap", "on_error = { default = \"fail\", trap = \"skip\" }"),
        ("test-loop", "on_error = { trap = \"fail\" }\nlimits = { cpu_ms = 20 }"),
    ] {
        scene.apply(&beside_built_in(guest, more)).await;
        let task = scene.claimed().await;
        assert_eq!(scene.step(id_of(&task)).await["outcome"], "skipped", "{guest}");
        scene.end(&task).await;
    }
}

#[apply(on_both)]
async fn people_see_which_plugins_a_task_went_without(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    scene.apply(&beside_built_in("test-trap", "")).await;
    let task = scene.claimed().await;
    let why = scene.daemon().get(format!("/api/tasks/{}/why", id_of(&task))).await.expect(200);
    let skipped = &why["skipped_plugins"][0];
    assert_eq!(
        (&skipped["plugin"], &skipped["stage"], &skipped["code"]),
        (&json!("extra"), &json!("enrichment"), &json!("trap")),
        "{why}"
    );
    assert_eq!(task.get("skipped_plugins"), None, "a daemon's answer keeps its shape");
    let metrics = gateway.admin().get("/metrics").await.text;
    assert!(
        metrics.lines().any(|line| line.starts_with("switchyard_plugin_failures_total")
            && line.contains("plugin=\"extra\"")
            && line.contains("code=\"trap\"")
            && line.ends_with(" 1")),
        "{metrics}"
    );
    scene.end(&task).await;
}

async fn ready(gateway: &Gateway, status: u16) -> Value {
    gateway.anonymous().get("/readyz").await.expect(status)
}

/// What a monitor reads: how many plugins are broken, and how many of them are required.
async fn gauges(gateway: &Gateway) -> [f64; 2] {
    let text = gateway.admin().get("/metrics").await.text;
    ["switchyard_plugins_broken ", "switchyard_plugins_required_missing "].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}is not in {text}")).parse().unwrap()
    })
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|plugin| plugin["name"].as_str().unwrap()).collect()
}

/// The file is missing when the gateway first starts, and comes later.
#[apply(on_both)]
async fn one_plugin_that_cannot_be_loaded_stops_neither_the_start_nor_the_others(engine: Engine) {
    let mine = format!("{BUILT_IN}\n[[plugin]]\nname = \"mine\"\nsource = \"file:mine.wasm\"\n{ECHO}\n");
    let gateway = Gateway::setup(engine).plugins(&mine).start().await;
    gateway.expect_error("a plugin cannot be loaded, the others run");
    let shown = gateway.admin().plugins().await;
    assert_eq!(names(&shown["plugins"]), ["repo-resolution", "mcp-overlay", "squad-briefing"]);
    assert_eq!(names(&shown["broken"]), ["mine"]);
    let fault = &shown["broken"][0]["faults"][0];
    assert_eq!(fault["pointer"], "/plugin/3/source");
    assert!(fault["message"].as_str().unwrap().contains("mine.wasm"), "{fault}");
    let degraded = json!({"db": "ok", "migrations": "ok", "plugins": "degraded", "broken": ["mine"]});
    assert_eq!(ready(&gateway, 200).await, json!({"status": "degraded", "checks": degraded}));
    assert_eq!(gauges(&gateway).await, [1.0, 0.0]);

    let scene = Scene::new(&gateway).await;
    let task = scene.claimed().await;
    assert_eq!(instructions(&task), "");
    scene.end(&task).await;

    std::fs::copy(component("test-echo"), gateway.folder().join("mine.draft")).unwrap();
    std::fs::rename(gateway.folder().join("mine.draft"), gateway.folder().join("mine.wasm")).unwrap();
    eventually("the plugin is loaded", async || gateway.admin().plugins().await["broken"] == json!([])).await;
    let shown = gateway.admin().plugins().await;
    assert_eq!((&shown["generation"], names(&shown["plugins"]).len()), (&json!(1), 4));
    assert_eq!(ready(&gateway, 200).await["status"], "ok");
    assert_eq!(gauges(&gateway).await, [0.0, 0.0]);
    let task = scene.claimed().await;
    assert_eq!(instructions(&task), "asked");
    scene.end(&task).await;
    gateway.finish().await;
}

/// What is kept of a component is lost, and so is its file; then the file comes back.
#[apply(on_both)]
async fn a_required_plugin_holds_readiness_until_it_is_loaded(gateway: &Gateway) {
    let file = gateway.folder().join("mine.wasm");
    std::fs::copy(component("test-echo"), &file).unwrap();
    let more = format!("source = \"file:{}\"\nrequired = true\n{ECHO}", file.display());
    let applied = gateway
        .admin()
        .apply(&format!("{BUILT_IN}\n[[plugin]]\nname = \"mine\"\n{more}\n"))
        .await
        .expect(200);
    assert_eq!(applied["plugins"][3]["required"], true);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(gateway.execute("DELETE FROM plugin_component", json!([])).await, 1);
    gateway.expect_error("a plugin cannot be loaded, the others run");
    gateway.restart();

    let shown = gateway.admin().plugins().await;
    assert_eq!((&shown["generation"], names(&shown["broken"])), (&applied["generation"], vec!["mine"]));
    let missing = json!({"db": "ok", "migrations": "ok", "plugins": "missing", "broken": ["mine"]});
    assert_eq!(ready(gateway, 503).await, json!({"status": "not_ready", "checks": missing}));
    assert_eq!(gauges(gateway).await, [1.0, 1.0]);
    let scene = Scene::new(gateway).await;
    scene.end(&scene.claimed().await).await;

    // Another component in its place is not what was applied.
    std::fs::copy(component("test-trap"), &file).unwrap();
    eventually("the other component was looked at and left", async || {
        let shown = gateway.admin().plugins().await;
        shown["broken"][0]["faults"][0]["message"].as_str().unwrap().contains("its source holds another")
    })
    .await;
    std::fs::copy(component("test-echo"), &file).unwrap();
    eventually("the plugin is loaded", async || gateway.admin().plugins().await["broken"] == json!([])).await;
    let shown = gateway.admin().plugins().await;
    assert_eq!(
        (&shown["generation"], &shown["plugins"][3]["sha256"]),
        (&applied["generation"], &applied["plugins"][3]["sha256"])
    );
    assert_eq!(ready(gateway, 200).await["status"], "ok");
    let task = scene.claimed().await;
    assert_eq!(step(&gateway.admin().trace(id_of(&task)).await, "mine")["outcome"], "changed");
    scene.end(&task).await;
}
