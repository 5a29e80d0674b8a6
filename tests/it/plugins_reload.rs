//! How a set comes to run without anybody calling the admin API: the watched file, SIGHUP,
//! a restart, another node.

use std::path::PathBuf;

use macro_rules_attribute::apply;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway};
use crate::plugins_scene::{BUILT_IN, beside_built_in, component, eventually, plugin};

fn echo(text: &str) -> String {
    beside_built_in("test-echo", &format!("config = {{ text = \"{text}\" }}"))
}

fn document(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("plugins.toml")
}

/// As an editor does: a new file in the old one's place.
fn save(gateway: &Gateway, text: &str) {
    let draft = gateway.folder().join("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, document(gateway)).unwrap();
}

async fn runs(gateway: &Gateway, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let admin = gateway.admin();
    eventually(what, async || holds(&admin.plugins().await)).await;
    admin.plugins().await
}

#[apply(on_both)]
async fn a_changed_file_runs_and_a_bad_one_does_not(engine: Engine) {
    let gateway = Gateway::setup(engine).plugins(BUILT_IN).start().await;
    let first = gateway.admin().plugins().await;
    assert_eq!((&first["generation"], &first["origin"]), (&json!(1), &json!("file")));
    save(&gateway, &echo("one"));
    runs(&gateway, "the new document runs", |shown| shown["generation"] == 2).await;

    gateway.expect_error("the plugin document was not applied");
    save(&gateway, &plugin("extra", "test-echo", "config = { text = 1 }"));
    let shown = runs(&gateway, "the refusal is shown", |shown| shown.get("refused").is_some()).await;
    assert_eq!(shown["generation"], 2);
    assert_eq!(shown["refused"]["faults"][0]["pointer"], "/plugin/0/config/text");

    save(&gateway, &echo("two"));
    let shown = runs(&gateway, "the mended document runs", |shown| shown["generation"] == 3).await;
    assert_eq!(shown.get("refused"), None);
    gateway.finish().await;
}

#[apply(on_both)]
async fn a_component_that_is_built_again_runs(engine: Engine) {
    let gateway = Gateway::setup(engine).plugins("").start().await;
    let file = gateway.folder().join("mine.wasm");
    std::fs::copy(component("test-trap"), &file).unwrap();
    save(&gateway, "[[plugin]]\nname = \"mine\"\nsource = \"file:mine.wasm\"\n");
    let before = runs(&gateway, "the plugin runs", |shown| shown["generation"] == 2).await;
    let draft = gateway.folder().join("mine.draft");
    std::fs::copy(component("test-loop"), &draft).unwrap();
    std::fs::rename(draft, &file).unwrap();
    let after = runs(&gateway, "the new component runs", |shown| shown["generation"] == 3).await;
    assert_eq!(before["digest"], after["digest"], "the document is the same");
    assert_ne!(before["plugins"][0]["sha256"], after["plugins"][0]["sha256"]);
    gateway.finish().await;
}

#[apply(on_both)]
async fn sighup_reads_the_document_again(engine: Engine) {
    let gateway = Gateway::setup(engine).plugins(BUILT_IN).start().await;
    gateway.admin().apply("").await.expect(200);
    // The file did not change, so nobody reads it until somebody says so.
    gateway.signal(Signal::SIGHUP);
    let shown = runs(&gateway, "the file's set runs", |shown| shown["generation"] == 3).await;
    assert_eq!(shown["plugins"].as_array().map(Vec::len), Some(3));
    gateway.finish().await;
}

#[apply(on_both)]
async fn sighup_without_a_document_is_no_end(gateway: &Gateway) {
    gateway.signal(Signal::SIGHUP);
    eventually("the signal was heard", async || {
        gateway.log().iter().any(|line| line.contains("there is no plugin document to read again"))
    })
    .await;
    assert_eq!(gateway.admin().plugins().await["generation"], 1);
}

#[apply(on_both)]
async fn what_was_applied_survives_a_restart_without_its_files(gateway: &Gateway) {
    let file = gateway.folder().join("mine.wasm");
    std::fs::copy(component("test-echo"), &file).unwrap();
    let source = format!("source = \"file:{}\"", file.display());
    let admin = gateway.admin();
    let entry = format!("[[plugin]]\nname = \"mine\"\n{source}\nconfig = {{ text = \"x\" }}\n");
    let before = admin.apply(&entry).await.expect(200);
    std::fs::remove_file(&file).unwrap();
    gateway.restart();
    let after = admin.plugins().await;
    for member in ["generation", "digest", "origin", "applied_at"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    assert_eq!(before["plugins"][0]["sha256"], after["plugins"][0]["sha256"]);
    gateway.crash();
    assert_eq!(admin.plugins().await["generation"], before["generation"]);
    // Going back works after a restart as before it, and so does going forth.
    admin.post("/admin/plugins/rollback", json!({"generation": 1})).await.expect(200);
    let again = admin.post("/admin/plugins/rollback", json!({"generation": 2})).await.expect(200);
    assert_eq!(again["digest"], before["digest"]);
}

#[apply(on_both)]
async fn a_restart_takes_the_file_when_it_changed_and_what_ran_when_not(engine: Engine) {
    let gateway = Gateway::setup(engine).plugins(BUILT_IN).start().await;
    let admin = gateway.admin();
    gateway.restart();
    assert_eq!(admin.plugins().await["generation"], 1, "the same file is no new set");
    admin.apply(&echo("by hand")).await.expect(200);
    gateway.restart();
    let shown = admin.plugins().await;
    assert_eq!((&shown["generation"], &shown["origin"]), (&json!(2), &json!("api")));

    save(&gateway, &echo("by file"));
    runs(&gateway, "the file runs", |shown| shown["origin"] == "file").await;
    gateway.restart();
    assert_eq!(admin.plugins().await["generation"], 3);
    gateway.finish().await;
}

#[apply(on_both)]
async fn the_last_good_set_goes_on_when_the_file_is_bad_at_a_restart(engine: Engine) {
    let gateway = Gateway::setup(engine).plugins(&echo("good")).start().await;
    let admin = gateway.admin();
    gateway.expect_error("the plugin document was not applied");
    save(&gateway, "[[plugin]]\nname = \"a\"\n");
    runs(&gateway, "the refusal is shown", |shown| shown.get("refused").is_some()).await;
    gateway.expect_error("the last good set of plugins goes on");
    gateway.restart();
    let shown = admin.plugins().await;
    assert_eq!((&shown["generation"], &shown["plugins"][3]["name"]), (&json!(1), &json!("extra")));
    assert_eq!(shown["refused"]["faults"][0]["pointer"], "/plugin/0/source");
    save(&gateway, BUILT_IN);
    runs(&gateway, "the mended document runs", |shown| shown["generation"] == 2).await;
    gateway.finish().await;
}

/// Nothing ever ran, so there is nothing to go on with.
#[test]
fn a_first_start_with_a_bad_document_tells_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugins.toml");
    std::fs::write(&file, "shade = 1\n[[plugin]]\nname = \"a\"\n").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_switchyard"));
    command.env_clear().args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    command.arg(folder.path().join("data")).arg("--plugins").arg(&file);
    command.env("SWITCHYARD_CODE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/code-cache"));
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("/shade: unknown key") && told.contains("/plugin/0/source: is required"), "{told}");
}

#[test]
fn what_one_node_applies_runs_on_the_other() {
    crate::harness::run_with(Engine::Postgres, async |engine| {
        let one = Gateway::start(engine).await;
        let two = one.second_node().await;
        let applied = one.admin().apply(&echo("everywhere")).await.expect(200);
        let shown =
            runs(&two, "the other node follows", |shown| shown["generation"] == applied["generation"]).await;
        assert_eq!(shown["plugins"][3]["sha256"], applied["plugins"][3]["sha256"]);
        let back = two.admin().post("/admin/plugins/rollback", json!({"generation": 1})).await.expect(200);
        runs(&one, "and back", |shown| shown["generation"] == back["generation"]).await;
        two.finish().await;
        one.finish().await;
    });
}
