//! From `plugin new` to a claim that the running gateway enriched, in each language; and the
//! examples of this repository. What a language needs, `.ci/guests` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, id_of, run, run_with};
use crate::plugins_author_scene::{command, copy, succeeds, told, tool};
use crate::plugins_scene::{Scene, instructions, step};
use crate::plugins_web::Web;

/// `switchyard plugin apply` to a running gateway.
fn apply(gateway: &Gateway, folder: &Path, document: &str) {
    let (url, token) = gateway.admin_access();
    let mut apply = command(folder, &["apply", document]);
    apply.env("SWITCHYARD_ADMIN_URL", url).env("SWITCHYARD_ADMIN_TOKEN", token);
    let output = apply.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

/// Paths in a document that is applied are the gateway's: here they are made whole.
fn whole(folder: &Path) -> String {
    let document = std::fs::read_to_string(folder.join("plugins.toml")).unwrap();
    document.replace("\"file:", &format!("\"file:{}/", folder.display()))
}

/// Whether the tool of a language does not install on this machine, as `make test` found out.
fn cannot_be_built(language: &str) -> bool {
    let without = std::env::var("SWITCHYARD_WITHOUT_LANGUAGES").unwrap_or_default();
    let cannot = without.split_whitespace().any(|named| named == language);
    if cannot {
        eprintln!("not tried: the tool of {language} does not install here");
    }
    cannot
}

/// Begins a plugin, runs its unit tests, builds it, tries its cases, and applies it to a
/// gateway, whose next claim carries its notice.
fn from_nothing_to_a_claim(language: &str, unit_tests: &[&str], before_build: impl FnOnce(&Path)) {
    if cannot_be_built(language) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stages = "enrichment,finished,prepare,repo-resolution,mcp-overlay,squad-briefing";
    succeeds(folder.path(), &["new", "house-rules", "--lang", language, "--stage", stages]);
    let plugin = folder.path().join("house-rules");
    before_build(&plugin);
    tool(&plugin, unit_tests[0], &unit_tests[1..]);
    succeeds(&plugin, &["build"]);
    let tried = told(&succeeds(&plugin, &["test"]));
    assert!(tried.contains("12 passed, 0 failed"), "{tried}");
    let about = succeeds(&plugin, &["inspect", "house-rules.wasm", "--json"]);
    let about: Value = serde_json::from_slice(&about.stdout).unwrap();
    assert_eq!(about["name"], "house-rules");
    assert_eq!(about["stages"].as_array().unwrap().len(), 6, "{about}");
    run(Engine::Sqlite, async |gateway| {
        let scene = Scene::new(gateway).await;
        std::fs::write(plugin.join("whole.toml"), whole(&plugin)).unwrap();
        apply(gateway, &plugin, "whole.toml");
        let task = scene.claimed().await;
        assert!(instructions(&task).ends_with("Production is frozen until Monday."), "{task}");
        scene.end(&task).await;
        // Another stage tells the log, once the task has ended.
        let lines = gateway.logged("is completed", 1).await;
        assert!(lines[0].contains("house-rules"), "{lines:?}");
    });
}

#[test]
fn from_an_empty_folder_to_a_claim_in_rust() {
    from_nothing_to_a_claim("rust", &["true"], |plugin| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-plugin-of-every-stage");
        std::fs::create_dir_all(&kept).unwrap();
        std::os::unix::fs::symlink(&kept, plugin.join("target")).unwrap();
    });
}

#[test]
fn from_an_empty_folder_to_a_claim_in_javascript() {
    from_nothing_to_a_claim("javascript", &["npm", "test"], |_| {});
}

#[test]
fn from_an_empty_folder_to_a_claim_in_python() {
    from_nothing_to_a_claim("python", &["python3", "-m", "unittest", "-q"], |_| {});
}

/// A copy of an example, built and tried.
fn example(language: &str, unit_tests: &[&str], cases: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("example");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    copy(&root.join("plugins/examples").join(language), &plugin);
    tool(&plugin, unit_tests[0], &unit_tests[1..]);
    succeeds(&plugin, &["build"]);
    let tried = told(&succeeds(&plugin, &["test"]));
    assert!(tried.contains(cases), "{tried}");
    (folder, plugin)
}

#[test]
fn tickets_that_a_task_mentions_are_looked_up() {
    if cannot_be_built("javascript") {
        return;
    }
    let (_folder, plugin) = example("javascript", &["npm", "test"], "4 passed, 0 failed");
    run_with(Engine::Sqlite, async |engine| {
        let web = Web::start().await;
        let setup = Gateway::setup(engine).env("SWITCHYARD_PLUGIN_SECRET_TRACKER", "s3cret-of-the-tracker");
        let gateway = setup.start().await;
        let scene = Scene::new(&gateway).await;
        let tickets = web.url("/tickets");
        let document = whole(&plugin)
            .replace("https://tracker.example.com/api/tickets", &tickets)
            .replace("[\"GET\"]", "[\"GET\"]\nnetworks = [\"127.0.0.0/8\", \"::1/128\"]")
            .replace("[\"tracker.example.com\"]", "[\"localhost\"]");
        scene.apply(&document).await;
        let prompt = "Refunds are wrong, as in PAY-12 and UTF-8";
        gateway.seed_quick_create(scene.world.g1, prompt, json!({})).await;
        let task = scene.daemon().claim_one(scene.world.r1).await;
        assert!(
            instructions(&task).ends_with(
                "Tickets that this task mentions:\n- PAY-12: Round half to even (https://t.example/12)"
            ),
            "{:#}",
            gateway.admin().trace(id_of(&task)).await
        );
        let asked = web.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0]["call"], "GET /tickets/PAY-12");
        let heads = asked[0]["headers"].as_array().unwrap();
        assert!(heads.contains(&json!(["authorization", "Bearer s3cret-of-the-tracker"])), "{heads:?}");
        scene.end(&task).await;
        gateway.finish().await;
    });
}

#[test]
fn a_workspace_over_its_budget_gets_no_task() {
    if cannot_be_built("python") {
        return;
    }
    let (_folder, plugin) = example("python", &["python3", "-m", "unittest", "-q"], "4 passed, 0 failed");
    run(Engine::Sqlite, async |gateway| {
        let scene = Scene::new(gateway).await;
        scene.apply(&whole(&plugin).replace("tasks_a_day = 200", "tasks_a_day = 1")).await;
        let task = scene.claimed().await;
        scene.end(&task).await;
        let denied = scene.claim_for_nothing().await;
        let step = step(&gateway.admin().trace(denied).await, "cost-guard");
        assert_eq!((&step["outcome"], &step["code"]), (&json!("denied"), &json!("over-budget")), "{step}");
    });
}

/// The binary in the folder of a plugin, until it is told to stop.
#[test]
fn what_an_author_changes_runs_a_moment_later() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &["new", "house-rules", "--lang", "javascript"]);
    let plugin = folder.path().join("house-rules");
    run(Engine::Sqlite, async |gateway| {
        let (url, token) = gateway.admin_access();
        let mut dev: Command = command(&plugin, &["dev"]);
        dev.env("SWITCHYARD_ADMIN_URL", url).env("SWITCHYARD_ADMIN_TOKEN", token);
        let mut dev = Spoken::start(dev);
        dev.says("runs `house-rules`");
        dev.says("waiting for a change");
        let scene = Scene::new(gateway).await;
        let task = scene.claimed().await;
        assert!(instructions(&task).ends_with("Production is frozen until Monday."), "{task}");
        scene.end(&task).await;

        let document = std::fs::read_to_string(plugin.join("plugins.toml")).unwrap();
        std::fs::write(plugin.join("plugins.toml"), document.replace("until Monday", "until Friday"))
            .unwrap();
        dev.says("something changed");
        dev.says("runs `house-rules`");
        let task = scene.claimed().await;
        assert!(instructions(&task).ends_with("Production is frozen until Friday."), "{task}");
        scene.end(&task).await;
        // The built-in plugins are still there.
        assert_eq!(gateway.admin().plugins().await["plugins"].as_array().unwrap().len(), 4);

        // What does not pass its cases is not applied.
        dev.says("waiting for a change");
        let cases = std::fs::read_to_string(plugin.join("cases.yaml")).unwrap();
        std::fs::write(plugin.join("cases.yaml"), cases.replace("Be kind. }]", "Be mean. }]")).unwrap();
        dev.says("not applied: 1 of 3 cases failed");
        dev.says("waiting for a change");
        assert!(dev.interrupted().success());
    });
}

/// A process whose standard output is read line by line.
struct Spoken {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Spoken {
    fn start(mut command: Command) -> Self {
        use std::io::BufRead;
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until a line holds the text.
    #[track_caller]
    fn says(&mut self, text: &str) {
        let mut before = Vec::new();
        for line in self.lines.by_ref().map_while(Result::ok) {
            if line.contains(text) {
                return;
            }
            before.push(line);
        }
        panic!("it ended without saying `{text}`:\n{}", before.join("\n"));
    }

    fn interrupted(mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        self.says("ended");
        self.child.wait().unwrap()
    }
}
