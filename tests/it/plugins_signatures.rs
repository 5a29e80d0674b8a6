//! Components that somebody vouches for, and the operator's caps.

use std::path::Path;

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, command};
use crate::plugins_scene::{BUILT_IN, component};

/// Runs the binary, which must succeed, and gives what it printed.
fn switchyard(folder: &Path, arguments: &[&str]) -> String {
    let output = command().current_dir(folder).arg("plugin").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn keygen(folder: &Path, name: &str) -> String {
    switchyard(folder, &["keygen", "--out", name])
}

/// A signature of a guest of this repository.
fn sign(folder: &Path, guest: &str, key: &str) -> String {
    let out = format!("{guest}.{key}.sig");
    switchyard(folder, &["sign", &component(guest), "--key", key, "--out", &out])
}

fn document(more: &str) -> String {
    let echo = component("test-echo");
    format!(
        "{BUILT_IN}\n[[plugin]]\nname = \"extra\"\nsource = \"file:{echo}\"\nconfig = {{ text = \"x\" }}\n{more}\n"
    )
}

fn with(signature: &str) -> String {
    document(&format!("signature = \"{signature}\""))
}

async fn refused(gateway: &Gateway, document: &str, pointer: &str, part: &str) -> Value {
    let answer = gateway.admin().apply(document).await.expect(422);
    assert_eq!(answer["faults"][0]["pointer"], pointer, "{answer}");
    assert!(answer["faults"][0]["message"].as_str().unwrap().contains(part), "no `{part}` in {answer}");
    answer
}

#[apply(on_both)]
async fn where_it_is_required_only_what_a_trusted_key_signed_runs(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (old, new) = (keygen(folder, "old"), keygen(folder, "new"));
    keygen(folder, "stranger");
    let gateway = Gateway::setup(engine)
        .env("SWITCHYARD_PLUGIN_SIGNATURES", "require")
        .env("SWITCHYARD_PLUGIN_KEYS", &format!("old:{old}, new:{new}"))
        .start()
        .await;
    let admin = gateway.admin();
    assert_eq!(
        admin.plugins().await["plugins"].as_array().map(Vec::len),
        Some(3),
        "built-in plugins need none"
    );
    let at = "/plugin/3/signature";
    refused(&gateway, &document(""), at, "sign it with `switchyard plugin sign").await;
    refused(
        &gateway,
        &with(&sign(folder, "test-echo", "stranger")),
        at,
        "none of the trusted keys (old new)",
    )
    .await;
    refused(&gateway, &with(&sign(folder, "test-trap", "new")), at, "none of the trusted keys").await;
    refused(&gateway, &with("AAAA"), at, "base64").await;
    refused(&gateway, &with("file:/nowhere.sig"), at, "/nowhere.sig").await;
    // While keys are rotated both count.
    for key in ["old", "new"] {
        let shown = admin.apply(&with(&sign(folder, "test-echo", key))).await.expect(200);
        assert_eq!(shown["plugins"][3]["signed_by"], key, "{shown}");
    }
    // A signature in a file is kept with the set.
    let file = gateway.folder().join("echo.sig");
    std::fs::copy(folder.join("test-echo.old.sig"), &file).unwrap();
    admin.apply(&with(&format!("file:{}", file.display()))).await.expect(200);
    std::fs::remove_file(&file).unwrap();
    gateway.restart();
    let shown = admin.plugins().await;
    assert_eq!((&shown["plugins"][3]["signed_by"], &shown["broken"]), (&json!("old"), &json!([])));
    gateway.finish().await;
}

#[apply(on_both)]
async fn where_it_is_not_required_a_signature_is_only_told_of(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let key = keygen(folder.path(), "key");
    let signature = sign(folder.path(), "test-echo", "key");
    for (policy, warns) in [("off", false), ("warn", true)] {
        let setup = Gateway::setup(engine).env("SWITCHYARD_PLUGIN_SIGNATURES", policy);
        let gateway = setup.env("SWITCHYARD_PLUGIN_KEYS", &key).start().await;
        let shown = gateway.admin().apply(&document("")).await.expect(200);
        assert_eq!(shown["plugins"][3]["signed_by"], Value::Null);
        let told = "the component is not signed";
        if warns {
            gateway.logged(told, 1).await;
        }
        let shown = gateway.admin().apply(&with(&signature)).await.expect(200);
        assert_eq!(shown["plugins"][3]["signed_by"].as_str().map(str::len), Some(16), "a fingerprint");
        assert!(warns || !gateway.log().iter().any(|line| line.contains(told)), "{policy}");
        gateway.finish().await;
    }
}

#[test]
fn a_secret_key_is_its_owners_and_is_never_written_over() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    keygen(folder.path(), "key");
    let file = folder.path().join("key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    let mut again = command();
    again.current_dir(folder.path()).args(["plugin", "keygen", "--out", "key"]);
    assert!(!again.output().unwrap().status.success());
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[apply(on_both)]
async fn a_document_that_asks_for_more_than_the_operators_caps_is_refused(engine: Engine) {
    let caps = "{cpu_ms = 20, max_concurrent = 4, memory_mib = 128}";
    let gateway = Gateway::setup(engine).env("SWITCHYARD_PLUGIN_CAPS", caps).start().await;
    let at = "/plugin/3/limits/cpu_ms";
    refused(&gateway, &document("limits = { cpu_ms = 21 }"), at, "plugin_caps.cpu_ms").await;
    let shown =
        gateway.admin().apply(&document("limits = { cpu_ms = 20, memory_mib = 100 }")).await.expect(200);
    let limits = &shown["plugins"][3]["limits"];
    assert_eq!((&limits["cpu_ms"], &limits["memory_mib"]), (&json!(20), &json!(100)));
    assert_eq!(limits["max_concurrent"], 4, "a default is lowered");
    gateway.finish().await;
}
