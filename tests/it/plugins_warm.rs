//! Instances that are kept between calls, which a document asks for by name.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Gateway, id_of};
use crate::plugins_scene::{Scene, beside_built_in, instructions, step};

/// Claims one task after another, and gives what the guest said of each.
async fn said(scene: &Scene<'_>, claims: usize) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..claims {
        let task = scene.claimed().await;
        said.push(instructions(&task).to_owned());
        scene.end(&task).await;
    }
    said
}

async fn applied(scene: &Scene<'_>, does: &str, limits: &str) {
    let more = format!("config = {{ does = \"{does}\" }}\nlimits = {{ {limits} }}");
    scene.apply(&beside_built_in("test-remember", &more)).await;
}

#[apply(on_both)]
async fn an_instance_is_kept_only_where_the_document_says_so(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    applied(&scene, "", "cpu_ms = 50").await;
    assert_eq!(said(&scene, 3).await, ["call 1", "call 1", "call 1"]);
    applied(&scene, "", "warm = 1, warm_calls = 3").await;
    assert_eq!(said(&scene, 5).await, ["call 1", "call 2", "call 3", "call 1", "call 2"]);
    // A plugin that is made anew starts with nothing.
    applied(&scene, "", "warm = 1, warm_calls = 4").await;
    assert_eq!(said(&scene, 2).await, ["call 1", "call 2"]);
}

#[apply(on_both)]
async fn an_instance_that_failed_is_not_kept(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    applied(&scene, "trap", "warm = 2").await;
    assert_eq!(said(&scene, 4).await, ["call 1", "call 2", "", "call 1"]);
    // A failure that the guest tells of itself is no reason.
    applied(&scene, "fail", "warm = 2").await;
    assert_eq!(said(&scene, 4).await, ["call 1", "call 2", "", "call 4"]);
}

#[apply(on_both)]
async fn an_instance_that_grew_is_not_kept_and_memory_stays_limited(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    // A mebibyte a call beside the first half: over two of them it ends.
    applied(&scene, "grow", "warm = 1, memory_mib = 4").await;
    let first = said(&scene, 4).await;
    assert_eq!(first, ["call 1", "call 2", "call 1", "call 2"]);
    let task = scene.claimed().await;
    let trace = gateway.admin().trace(id_of(&task)).await;
    let peak = step(&trace, "extra")["peak_memory_bytes"].as_u64().unwrap();
    assert!(peak <= 4 << 20, "{trace}");
    scene.end(&task).await;
}

#[apply(on_both)]
async fn bounds_of_what_is_kept_are_told(gateway: &Gateway) {
    let admin = gateway.admin();
    for (limits, pointer) in
        [("warm = 17", "/plugin/3/limits/warm"), ("warm = 1, warm_calls = 0", "/plugin/3/limits/warm_calls")]
    {
        let document = beside_built_in("test-remember", &format!("limits = {{ {limits} }}"));
        let request =
            admin.put("/admin/plugins", document.as_str()).header("content-type", "application/toml");
        let answer: Value = request.await.expect(422);
        assert_eq!(answer["faults"][0]["pointer"], json!(pointer), "{answer}");
    }
}
