//! What a plugin's author does, from an empty folder on, with nothing but the binary and
//! Rust.

use std::path::Path;

use serde_json::{Value, json};

use crate::plugins_author_scene::{fails, succeeds, switchyard, told};
use crate::plugins_scene::component;

#[test]
fn a_new_plugin_builds_runs_and_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["new", "house-rules"]);
    let plugin = folder.path().join("house-rules");
    // What was built before is kept between runs of the tests.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugin");
    std::fs::create_dir_all(&kept).unwrap();
    std::os::unix::fs::symlink(&kept, plugin.join("target")).unwrap();
    succeeds(&plugin, &["build"]);
    let arguments =
        ["run", "house-rules.wasm", "--input", "input.json", "--config", "{\"notice\":\"Be kind.\"}"];
    let ran = succeeds(&plugin, &arguments);
    let returned: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(returned, json!({"patch": [{"append-instructions": "Be kind."}]}));
    // Without `--config`, as plugins.toml beside it says.
    let ran = succeeds(&plugin, &["run", "house-rules.wasm", "--input", "input.json", "--json"]);
    let figures: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let notice = &figures["output"]["patch"][0]["append-instructions"];
    assert_eq!(notice, "Production is frozen until Monday.", "{figures}");
    for figure in ["instructions", "peak_memory_bytes"] {
        assert!(figures[figure].as_u64().unwrap() > 1000, "{figure} of {figures}");
    }
    assert!(told(&succeeds(&plugin, &["test"])).contains("3 passed, 0 failed"));
    let sound = succeeds(&plugin, &["check", "plugins.toml"]);
    assert!(told(&sound).contains("house-rules"), "{}", told(&sound));
    assert!(fails(folder.path(), &["new", "house-rules"]).contains("cannot make"));
}

#[test]
fn a_name_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["House", "../up", "a b", "-x", "x-", "1x", ""] {
        let told = fails(folder.path(), &["new", "--", name]);
        assert!(told.contains("is no name for a plugin"), "{name}: {told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_component_is_run_with_the_gateways_own_limits() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.json");
    std::fs::write(&input, "{}").unwrap();
    let run = |guest: &str, more: &[&str]| {
        let (component, input) = (component(guest), input.display().to_string());
        let arguments = [&["run", component.as_str(), "--input", input.as_str()], more].concat();
        switchyard(folder.path(), &arguments)
    };
    for (guest, more, expected) in [
        ("test-loop", &[][..], "(deadline)"),
        ("test-trap", &[], "(trap)"),
        ("test-hog", &[], "(memory)"),
        ("test-echo", &["--config", "{\"text\":1}"], "/plugin/0/config/text"),
        ("test-echo", &["--config", "{"], "--config is not JSON"),
        ("test-anonymous", &[], "manifest"),
    ] {
        let output = run(guest, more);
        assert!(!output.status.success(), "{guest} {more:?}");
        assert!(told(&output).contains(expected), "{guest} {more:?}: {}", told(&output));
    }
    let lines = run("test-echo", &["--config", "{\"text\":\"hello\",\"log_lines\":2}"]);
    assert!(told(&lines).contains("line 1") && told(&lines).contains("instructions"), "{}", told(&lines));
}

#[test]
fn every_stage_can_be_run_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.json");
    for (guest, given, expected) in [
        (
            "repo-resolution",
            json!({"resources": [{"resource_type": "github_repo", "resource_ref": {"url": "u", "ref": " v "}}]}),
            json!({"these": [{"url": "u", "description": null, "ref": "v"}]}),
        ),
        ("repo-resolution", json!({"kind": "chat"}), json!("workspace")),
    ] {
        std::fs::write(&input, given.to_string()).unwrap();
        let output = succeeds(folder.path(), &["run", &component(guest), "--input", "input.json"]);
        let returned: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(returned, expected, "{guest} {given}");
    }
    let squad = json!({"squad_name": "Core", "leader_id": "l", "leader_name": "Lea", "members": [
        {"kind": "agent", "id": "b", "name": "Ben", "skills": ["rust"]}]});
    std::fs::write(&input, squad.to_string()).unwrap();
    let output = succeeds(folder.path(), &["run", &component("squad-briefing"), "--input", "input.json"]);
    assert!(told(&output).contains("- Ben — agent — skills: rust — `[@Ben](mention://agent/b)`"));
    std::fs::write(&input, json!({"squad_nam": "Core"}).to_string()).unwrap();
    assert!(
        fails(folder.path(), &["run", &component("squad-briefing"), "--input", "input.json"])
            .contains("squad_nam")
    );
}

#[test]
fn a_document_is_checked_without_a_gateway() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(component("test-echo"), folder.path().join("echo.wasm")).unwrap();
    let file = folder.path().join("plugins.toml");
    std::fs::write(&file, "[[plugin]]\nname = \"a\"\nsource = \"file:echo.wasm\"\n").unwrap();
    succeeds(folder.path(), &["check", "plugins.toml"]);
    std::fs::write(&file, "[[plugin]]\nname = \"a\"\nsource = \"file:ech.wasm\"\nhue = 1\n").unwrap();
    let told = fails(folder.path(), &["check", "plugins.toml"]);
    assert!(
        told.contains("/plugin/0/hue: unknown key") && told.contains("/plugin/0/source: cannot read"),
        "{told}"
    );
    assert!(fails(folder.path(), &["check", "nowhere.toml"]).contains("cannot read nowhere.toml"));
}
