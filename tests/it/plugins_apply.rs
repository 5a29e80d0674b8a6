//! Applying a document: all of it, or nothing and every reason why.

use std::cell::Cell;

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::Gateway;
use crate::plugins_scene::{BUILT_IN, beside_built_in, component, plugin};

/// The document is refused with just these faults, as pointer and part of the message, and
/// the set that ran goes on.
async fn refused(gateway: &Gateway, document: &str, expected: &[(&str, &str)]) {
    let admin = gateway.admin();
    let before = admin.plugins().await;
    for dry_run in [true, false] {
        let path = format!("/admin/plugins?dry_run={dry_run}");
        let answer = admin.put(path, document).header("content-type", "application/toml").await.expect(422);
        assert_eq!(answer["error"], "the document was not applied; nothing changed");
        let faults = answer["faults"].as_array().unwrap();
        for (pointer, part) in expected {
            let is_told = faults.iter().any(|fault| {
                fault["pointer"] == *pointer && fault["message"].as_str().unwrap().contains(part)
            });
            assert!(is_told, "no fault at `{pointer}` with `{part}` of\n{document}\nin {answer:#}");
        }
        assert_eq!(faults.len(), expected.len(), "of\n{document}\nin {answer:#}");
    }
    let after = admin.plugins().await;
    assert_eq!((&after["generation"], &after["plugins"]), (&before["generation"], &before["plugins"]));
}

fn entry(lines: &str) -> String {
    format!("[[plugin]]\n{lines}\n")
}

#[apply(on_both)]
async fn every_fault_of_a_document_is_told_with_its_place(gateway: &Gateway) {
    let merge = "name = \"a\"\nsource = \"builtin:mcp-overlay\"";
    for (document, pointer, part) in [
        ("[[plugin]\n".to_owned(), "", "line 1"),
        ("colour = 1".to_owned(), "/colour", "unknown key"),
        ("plugin = 1".to_owned(), "/plugin", "list of tables"),
        ("plugin = [1]".to_owned(), "/plugin/0", "must be a table"),
        (entry("source = \"builtin:mcp-overlay\""), "/plugin/0/name", "is required"),
        (entry("name = \"a\""), "/plugin/0/source", "is required"),
        (entry("name = \"A b\"\nsource = \"builtin:mcp-overlay\""), "/plugin/0/name", "no name"),
        (entry("name = \"a\"\nsource = \"ftp:x\""), "/plugin/0/source", "no source"),
        (entry("name = \"a\"\nsource = \"builtin:x\""), "/plugin/0/source", "there are repo-resolution"),
        (entry(&format!("{merge}\ncolour = 1")), "/plugin/0/colour", "unknown key"),
        (entry(&format!("{merge}\n\"a/b~c\" = 1")), "/plugin/0/a~1b~0c", "unknown key"),
        (entry(&format!("{merge}\nenabled = \"yes\"")), "/plugin/0/enabled", "true or false"),
        (entry(&format!("{merge}\non_error = \"shrug\"")), "/plugin/0/on_error", "neither"),
        (entry(&format!("{merge}\nsha256 = \"12\"")), "/plugin/0/sha256", "64 hex digits"),
        (
            entry(&format!("{merge}\nsha256 = \"{}\"", "0".repeat(64))),
            "/plugin/0/sha256",
            "the component's digest is",
        ),
        (entry(&format!("{merge}\nstages = []")), "/plugin/0/stages", "not empty"),
        (entry(&format!("{merge}\nstages = [\"nap\"]")), "/plugin/0/stages/0", "no stage"),
        (entry(&format!("{merge}\nstages = [\"enrichment\"]")), "/plugin/0/stages", "does not serve"),
        (entry(&format!("{merge}\nconfig = 1")), "/plugin/0/config", "must be a table"),
        (entry(&format!("{merge}\nconfig = {{ a = 1 }}")), "/plugin/0/config", "properties"),
        (entry(&format!("{merge}\nlimits = {{ cpu_ms = 0 }}")), "/plugin/0/limits/cpu_ms", "from 1 to 10000"),
        (
            entry(&format!("{merge}\nlimits = {{ wall_ms = 1.5 }}")),
            "/plugin/0/limits/wall_ms",
            "whole number",
        ),
        (entry(&format!("{merge}\nlimits = {{ speed = 1 }}")), "/plugin/0/limits/speed", "unknown key"),
        (entry(&format!("{merge}\ngrants = {{ all = true }}")), "/plugin/0/grants/all", "unknown key"),
        (entry(&format!("{merge}\ngrants = {{ env = \"A\" }}")), "/plugin/0/grants/env", "list"),
        (entry(&format!("{merge}\ngrants = {{ env = [\"A B\"] }}")), "/plugin/0/grants/env/0", "variable"),
        (
            entry(&format!("{merge}\ngrants = {{ write = [\"agent\"] }}")),
            "/plugin/0/grants/write/0",
            "begins with",
        ),
        (
            entry(&format!("{merge}\ngrants = {{ write = [\"/agent\"] }}")),
            "/plugin/0/grants/write/0",
            "no plugin may",
        ),
        (
            entry(&format!("{merge}\ngrants = {{ view = [\"all\"] }}")),
            "/plugin/0/grants/view/0",
            "custom_env",
        ),
        (format!("{}{}", entry(merge), entry(merge)), "/plugin/1/name", "taken by /plugin/0"),
        (
            format!("{}{}", entry(merge), entry("name = \"b\"\nsource = \"builtin:mcp-overlay\"")),
            "/plugin/1/stages",
            "served by another plugin",
        ),
        (plugin("a", "test-echo", "config = { text = 1 }"), "/plugin/0/config/text", "string"),
        (plugin("a", "test-echo", "config = { hue = 1 }"), "/plugin/0/config", "hue"),
        (plugin("a", "test-deny", "config = { code = \"c\" }"), "/plugin/0/config", "required"),
        (plugin("a", "test-anonymous", ""), "/plugin/0/source", "manifest"),
        (plugin("a", "test-slow-describe", ""), "/plugin/0/source", "could not describe itself"),
        (entry("name = \"a\"\nsource = \"file:/nowhere/x.wasm\""), "/plugin/0/source", "/nowhere/x.wasm"),
        (entry("name = \"a\"\nsource = \"file:x.wasm\""), "/plugin/0/source", "relative to nothing"),
        (entry("name = \"a\"\nsource = \"file:/\""), "/plugin/0/source", "not a file"),
    ] {
        let pointer = [(pointer, part)];
        if document.contains("[[plugin]\n")
            || !document.contains("source = \"builtin:mcp-overlay\"\n[[plugin]]")
        {
            refused(gateway, &document, &pointer).await;
        } else {
            // The pair of equal plugins has both faults: the name, and the stage.
            let both = [pointer[0], ("/plugin/1/stages", "served by another plugin")];
            let names_differ = document.contains("\"b\"");
            refused(gateway, &document, if names_differ { &both[..1] } else { &both }).await;
        }
    }
}

#[apply(on_both)]
async fn what_is_no_component_is_refused(gateway: &Gateway) {
    let good = std::fs::read(component("test-echo")).unwrap();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\n".to_vec()),
        ("module", b"\0asm\x01\0\0\0".to_vec()),
        ("cut", good[..good.len() / 2].to_vec()),
        (
            "flipped",
            good.iter().enumerate().map(|(at, byte)| if at == 9 { byte ^ 0xff } else { *byte }).collect(),
        ),
    ] {
        let file = gateway.folder().join(format!("{name}.wasm"));
        std::fs::write(&file, bytes).unwrap();
        let document = entry(&format!("name = \"a\"\nsource = \"file:{}\"", file.display()));
        refused(gateway, &document, &[("/plugin/0/source", "component")]).await;
    }
}

#[apply(on_both)]
async fn all_faults_come_in_one_answer(gateway: &Gateway) {
    let document = format!(
        "shade = 1\n{}{}{}",
        plugin("one", "test-echo", "config = { text = 1, log_lines = -1 }\nlimits = { cpu_ms = 0 }"),
        entry("name = \"two\"\nsource = \"file:/nowhere\"\non_error = \"shrug\""),
        plugin("three", "test-anonymous", ""),
    );
    let expected = [
        ("/shade", "unknown key"),
        ("/plugin/0/config/text", "string"),
        ("/plugin/0/config/log_lines", "minimum"),
        ("/plugin/0/limits/cpu_ms", "from 1"),
        ("/plugin/1/source", "/nowhere"),
        ("/plugin/1/on_error", "shrug"),
        ("/plugin/2/source", "manifest"),
    ];
    refused(gateway, &document, &expected).await;
}

#[apply(on_both)]
async fn a_dry_run_changes_nothing(gateway: &Gateway) {
    let admin = gateway.admin();
    let document = beside_built_in("test-echo", "config = { text = \"x\" }");
    let put = |query: &str| {
        admin
            .put(format!("/admin/plugins{query}"), document.as_str())
            .header("content-type", "application/toml")
    };
    let would = put("?dry_run=true").await.expect(200);
    assert_eq!((&would["generation"], &would["dry_run"]), (&json!(2), &json!(true)));
    assert_eq!(would["plugins"].as_array().map(Vec::len), Some(4));
    assert_eq!(admin.plugins().await["generation"], 1);
    assert_eq!(
        admin.get("/admin/plugins/generations").await.ok()["generations"].as_array().map(Vec::len),
        Some(1)
    );
    put("?dry_run=perhaps").await.expect(400);
    let did = put("").await.expect(200);
    assert_eq!((&did["generation"], &did["digest"]), (&json!(2), &would["digest"]));
}

#[apply(on_both)]
async fn one_apply_runs_at_a_time(gateway: &Gateway) {
    let admin = gateway.admin();
    // It is asked who it is for a whole second of its time, and never says.
    let slow = plugin("slow", "test-slow-describe", "");
    let ended = Cell::new(false);
    let first = async {
        let answer = loop {
            let answer = admin.apply(&slow).await;
            if answer.status != 409 {
                break answer;
            }
        };
        ended.set(true);
        assert_eq!(answer.expect(422)["faults"][0]["pointer"], "/plugin/0/source");
    };
    let second = async {
        loop {
            let answer = admin.apply(BUILT_IN).await;
            if answer.status == 409 {
                return answer.refused(409, "another apply is running; try again when it has ended");
            }
            assert_eq!(answer.status, 200, "{answer}");
            assert!(!ended.get(), "the second was never in the first one's way");
        }
    };
    tokio::join!(first, second);
    assert_eq!(admin.plugins().await["plugins"].as_array().map(Vec::len), Some(3));
}

#[apply(on_both)]
async fn earlier_sets_are_listed_and_run_again(gateway: &Gateway) {
    let admin = gateway.admin();
    let first = admin.plugins().await;
    let names = |set: &Value| -> Vec<String> {
        let plugins = set["plugins"].as_array().unwrap();
        plugins.iter().map(|plugin| plugin["name"].as_str().unwrap().to_owned()).collect()
    };
    admin.apply(&beside_built_in("test-echo", "config = { text = \"x\" }")).await.expect(200);
    admin.apply("").await.expect(200);
    assert!(names(&admin.plugins().await).is_empty());
    let list = admin.get("/admin/plugins/generations").await.ok();
    let list = list["generations"].as_array().unwrap();
    let numbers: Vec<&Value> = list.iter().map(|kept| &kept["generation"]).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let running: Vec<&Value> = list.iter().map(|kept| &kept["running"]).collect();
    assert_eq!(running, [true, false, false]);
    assert_eq!(list[1]["plugins"][3]["sha256"].as_str().map(str::len), Some(64));

    let back = admin.post("/admin/plugins/rollback", json!({"generation": 2})).await.expect(200);
    assert_eq!((&back["generation"], &back["origin"]), (&json!(4), &json!("rollback")));
    assert_eq!(names(&back).last().map(String::as_str), Some("extra"));
    let second = admin.get("/admin/plugins/generations/2").await.ok();
    assert_eq!(second["digest"], back["digest"]);
    assert_eq!(second["document"]["plugin"][3]["config"]["text"], "x");
    admin.post("/admin/plugins/rollback", json!({"generation": 1})).await.expect(200);
    assert_eq!(admin.plugins().await["digest"], first["digest"]);

    admin
        .post("/admin/plugins/rollback", json!({"generation": 99}))
        .await
        .refused(404, "generation 99 is not kept");
    admin.get("/admin/plugins/generations/99").await.refused(404, "generation 99 is not kept");
    admin.get("/admin/plugins/generations/x").await.refused(400, "invalid generation");
    admin.post("/admin/plugins/rollback", json!({})).await.refused(400, "generation is required");
    admin.post("/admin/plugins/rollback", json!({"generation": -1})).await.expect(400);
}

#[apply(on_both)]
async fn a_document_is_the_same_in_toml_and_json(gateway: &Gateway) {
    let admin = gateway.admin();
    let toml = admin.apply("[[plugin]]\nname = \"a\"\nsource = \"builtin:mcp-overlay\"\n").await.expect(200);
    let document = json!({"plugin": [{"source": "builtin:mcp-overlay", "name": "a"}]});
    let as_json = admin.put("/admin/plugins", document).await.expect(200);
    assert_eq!(as_json["digest"], toml["digest"]);
    admin.put("/admin/plugins", "").header("content-type", "text/plain").await.expect(415);
    admin.put("/admin/plugins", "").await.expect(415);
    let latin = admin.put("/admin/plugins", vec![0xff]).header("content-type", "application/toml").await;
    latin.refused(400, "the document is not UTF-8");
    let large = "#".repeat((1 << 20) + 1);
    admin.apply(&large).await.expect(413);
}

#[apply(on_both)]
async fn a_disabled_plugin_is_checked_and_does_not_run(gateway: &Gateway) {
    let off = plugin("extra", "test-echo", "enabled = false\nconfig = { text = \"x\" }");
    let shown = gateway.admin().apply(&off).await.expect(200);
    assert_eq!(shown["plugins"], json!([]));
    let bad = plugin("extra", "test-echo", "enabled = false\nconfig = { text = 1 }");
    refused(gateway, &bad, &[("/plugin/0/config/text", "string")]).await;
    // Two for one stage are fine when only one of them is on.
    let second = entry("name = \"b\"\nsource = \"builtin:mcp-overlay\"\nenabled = false");
    gateway.admin().apply(&format!("{BUILT_IN}{second}")).await.expect(200);
}
