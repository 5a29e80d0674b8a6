//! Sets over time and over nodes: compared, applied a thousand times, changed under load, and
//! seen from every node.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, id_of};
use crate::plugins_scene::{BUILT_IN, Scene, beside_built_in, eventually, instructions, plugin};

fn echo(text: &str) -> String {
    beside_built_in("test-echo", &format!("config = {{ text = \"{text}\" }}"))
}

#[apply(on_both)]
async fn two_sets_are_compared(gateway: &Gateway) {
    let admin = gateway.admin();
    admin.apply(&echo("one")).await.expect(200);
    admin.apply(&echo("two")).await.expect(200);
    let trap = beside_built_in("test-trap", "");
    admin.apply(&trap).await.expect(200);
    let diff = async |path: &str| admin.get(format!("/admin/plugins/generations/{path}")).await.ok();
    let texts = diff("2/diff?to=3").await;
    assert_eq!(
        texts["document"],
        json!([{"op": "replace", "path": "/plugin/3/config/text", "value": "two"}])
    );
    assert_eq!(texts["members"], json!({"added": [], "removed": [], "changed": []}));
    let first = diff("1/diff?to=2").await;
    assert_eq!((&first["from"], &first["to"]), (&json!(1), &json!(2)));
    assert_eq!(first["members"]["added"][0]["name"], "extra");
    assert_eq!(diff("2/diff?to=1").await["members"]["removed"][0]["name"], "extra");
    // Without a second number, it is the one that runs.
    let now = diff("3/diff").await;
    assert_eq!(now["to"], 4);
    let changed = &now["members"]["changed"][0];
    assert_eq!(changed["name"], "extra");
    assert_ne!(changed["from"]["sha256"], changed["to"]["sha256"]);
    for (path, status, error) in [
        ("99/diff", 404, "generation 99 is not kept"),
        ("1/diff?to=99", 404, "generation 99 is not kept"),
        ("x/diff", 400, "invalid generation"),
        ("1/diff?to=x", 400, "invalid generation"),
    ] {
        admin.get(format!("/admin/plugins/generations/{path}")).await.refused(status, error);
    }
}

/// What is not used any more is given back.
#[test]
fn a_thousand_applies_leave_memory_as_it_was() {
    crate::harness::run(Engine::Sqlite, async |gateway| {
        let admin = gateway.admin();
        let documents = [echo("one"), echo("two"), beside_built_in("test-trap", ""), BUILT_IN.to_owned()];
        let mut warm = 0;
        for number in 0..1000 {
            let document = &documents[number % documents.len()];
            admin.apply(document).await.expect(200);
            if number == 200 {
                warm = gateway.resident_kib();
            }
        }
        let after = gateway.resident_kib();
        println!("resident: {warm} KiB after 200 applies, {after} KiB after 1000");
        assert!(after * 4 <= warm * 5, "{warm} KiB grew to {after} KiB");
        assert_eq!(admin.plugins().await["generation"], 1001);
    });
}

/// Eight daemons claim without a pause while the configuration changes 200 times. No claim
/// fails, and each is of one set from beginning to end.
#[apply(on_both)]
async fn a_configuration_changes_200_times_under_load(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let (runtime, admin) = (scene.world.r1, gateway.admin());
    let agent = gateway.seed_agent(runtime, "Busy", json!({"max_concurrent_tasks": 50})).await;
    let set = |text: &str| {
        let config = format!("config = {{ text = \"{text}\" }}");
        plugin("first", "test-echo", &config) + &plugin("second", "test-echo", &config)
    };
    let texts = RefCell::new(HashMap::new());
    let note = |applied: &Value, text: String| {
        texts.borrow_mut().insert(applied["generation"].as_u64().unwrap(), text);
    };
    note(&scene.apply(&set("set 0")).await, "set 0".to_owned());
    let done = Cell::new(false);
    let worker = async || {
        let mut claims: Vec<(Uuid, String)> = Vec::new();
        while !done.get() {
            gateway.seed_issue_task(agent, json!({})).await;
            // `claim` accepts nothing but 200.
            let Some(task) = scene.daemon().claim(runtime).await else { continue };
            claims.push((id_of(&task), instructions(&task).to_owned()));
            scene.end(&task).await;
        }
        claims
    };
    let operator = async {
        for number in 1..=200 {
            let text = format!("set {number}");
            note(&admin.apply(&set(&text)).await.expect(200), text);
        }
        done.set(true);
    };
    let workers = futures_util::future::join_all((0..8).map(|_| worker()));
    let (claims, ()) = tokio::join!(workers, operator);
    let claims = claims.concat();
    assert!(claims.len() > 50, "{} claims", claims.len());
    let mut generations = std::collections::BTreeSet::new();
    for (task, told) in &claims {
        let trace = admin.trace(*task).await;
        let generation = trace["generation"].as_u64().unwrap();
        generations.insert(generation);
        let text = &texts.borrow()[&generation];
        assert_eq!(told, &format!("{text}\n\n{text}"), "{trace}");
    }
    assert!(generations.len() > 10, "claims saw {} sets only", generations.len());
    println!("{} claims of {} sets", claims.len(), generations.len());
}

/// The nodes as one of them sees them: name, generation, and whether it is the one that answers.
async fn nodes(gateway: &Gateway) -> Vec<Value> {
    gateway.admin().get("/admin/plugins/nodes").await.ok()["nodes"].as_array().unwrap().clone()
}

#[apply(on_both)]
async fn a_node_alone_shows_itself(gateway: &Gateway) {
    gateway.admin().apply(&echo("one")).await.expect(200);
    let shown = nodes(gateway).await;
    let [node] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!((&node["generation"], &node["answers"]), (&json!(2), &json!(true)));
    assert!(node["name"].as_str().unwrap().contains("127.0.0.1:"), "{node}");
    assert_eq!(node["digest"], gateway.admin().plugins().await["digest"]);
    assert!(node.get("stuck").is_none() && node["since"].is_string() && node["last_seen_at"].is_string());
}

#[test]
fn every_node_is_seen_from_every_node_until_it_goes() {
    crate::harness::run_with(Engine::Postgres, async |engine| {
        let one = Gateway::start(engine).await;
        let two = one.second_node().await;
        let number = one.admin().apply(&echo("everywhere")).await.expect(200)["generation"].clone();
        for node in [&one, &two] {
            eventually("both are seen with the new set", async || {
                let nodes = nodes(node).await;
                nodes.len() == 2 && nodes.iter().all(|node| node["generation"] == number)
            })
            .await;
            assert_eq!(nodes(node).await.iter().filter(|node| node["answers"] == true).count(), 1);
        }
        two.finish().await;
        eventually("a node that stopped is gone", async || nodes(&one).await.len() == 1).await;
        // One that was cut off says nothing any more, and is forgotten by its age.
        one.execute(
            "INSERT INTO plugin_node (id, name, generation, digest, since, last_seen_at)
             VALUES ($1, 'gone', 1, '', $2, $2)",
            json!([Uuid::new_v4(), "2020-01-01T00:00:00Z"]),
        )
        .await;
        assert_eq!(nodes(&one).await.len(), 1);
        one.admin().apply(&echo("again")).await.expect(200);
        eventually("its row is taken away", async || {
            one.rows("SELECT id FROM plugin_node", Value::Null).await.len() == 1
        })
        .await;
        one.finish().await;
    });
}

/// A node of a newer release may apply what an older one cannot read. The older goes on with
/// what it has, and every node can tell.
#[test]
fn a_set_that_does_not_run_on_a_node_is_seen_with_its_faults() {
    crate::harness::run_with(Engine::Postgres, async |engine| {
        let one = Gateway::start(engine).await;
        one.expect_error("a set that another node applied does not run here");
        one.execute(
            "INSERT INTO plugin_generation (number, digest, document, origin, applied_at)
             VALUES (2, 'd', '{\"novelty\": 1}', 'api', $1)",
            json!(["2026-01-01T00:00:00Z"]),
        )
        .await;
        eventually("it says so", async || nodes(&one).await[0].get("stuck").is_some()).await;
        let node = nodes(&one).await.remove(0);
        assert_eq!((&node["generation"], &node["stuck"]["generation"]), (&json!(1), &json!(2)));
        assert_eq!(node["stuck"]["faults"][0]["pointer"], "/novelty");
        // A newer one is looked at, however short ago the last was refused.
        let applied = one.admin().apply(&echo("three")).await.expect(200);
        assert_eq!(applied["generation"], 3);
        assert_eq!(nodes(&one).await[0].get("stuck"), None);
        one.finish().await;
    });
}

#[test]
fn a_claim_is_explained_by_every_node() {
    crate::harness::run_with(Engine::Postgres, async |engine| {
        let one = Gateway::start(engine).await;
        let two = one.second_node().await;
        let scene = Scene::new(&one).await;
        scene.apply(&echo("here")).await;
        let task = scene.claimed().await;
        let (here, there) = (one.admin().trace(id_of(&task)).await, two.admin().trace(id_of(&task)).await);
        assert_eq!(here, there);
        let names: Vec<Value> = nodes(&one).await.iter().map(|node| node["name"].clone()).collect();
        assert!(names.contains(&there["node"]), "{names:?}");
        let nobody = format!("/admin/tasks/{}/enrichment", Uuid::new_v4());
        two.admin().get(nobody).await.refused(404, "no trace of this task is kept");
        two.finish().await;
        one.finish().await;
    });
}
