//! What a new plugin begins as: for each language and stage a few lines that work, their unit
//! tests, an input and the cases of `switchyard plugin test`.

mod javascript;
mod python;
mod rust;

use super::language::Language;
use crate::plugin::stage::Stage;

/// Path and text of a file.
pub type File = (String, String);

const CASES: &str = include_str!("../template/cases.yaml.tmpl");
const DOCUMENT: &str = include_str!("../template/plugins.toml.tmpl");

/// The files that are the plugin's own, in its folder.
pub fn files(name: &str, language: Language, stages: &[Stage]) -> Vec<File> {
    let mut files = match language {
        Language::Rust => rust::files(name, stages),
        Language::Javascript => javascript::files(name, stages),
        Language::Python => python::files(name, stages),
    };
    if language != Language::Rust {
        files.push(("wit/world.wit".to_owned(), world(name, stages)));
    }
    files.push(("plugins.toml".to_owned(), document(name, language, stages)));
    let mut cases = CASES.to_owned();
    for stage in stages {
        let input = input(stages, *stage);
        let (example, case) = tried(*stage);
        cases.push_str(&case.replace("{{input}}", &input));
        files.push((input, example.to_owned()));
    }
    files.push(("cases.yaml".to_owned(), cases));
    files
}

/// The file with the example of a stage's input.
fn input(stages: &[Stage], stage: Stage) -> String {
    if stages.first() == Some(&stage) {
        "input.json".to_owned()
    } else {
        format!("input-{}.json", stage.as_str())
    }
}

/// The world of a plugin, in a package of its own, so that it can import more.
fn world(name: &str, stages: &[Stage]) -> String {
    let included = |stage: &Stage| format!("  include switchyard:plugin/{}-plugin@1.0.0;\n", stage.as_str());
    let included: String = stages.iter().map(included).collect();
    format!(
        "package local:{name};\n\n/// What this plugin serves and reaches. Further imports, such as\n\
         /// `import switchyard:plugin/kv@1.0.0;`, each need the grant of their name.\n\
         world plugin {{\n{included}}}\n"
    )
}

/// A document with the plugin, behind the built-in ones that it does not stand in for.
fn document(name: &str, language: Language, stages: &[Stage]) -> String {
    let entry = |stage: &Stage| {
        let stage = stage.as_str();
        format!("\n[[plugin]]\nname = \"{stage}\"\nsource = \"builtin:{stage}\"\n")
    };
    let deciding = [Stage::RepoResolution, Stage::McpOverlay, Stage::SquadBriefing];
    let builtin: String = deciding.iter().filter(|stage| !stages.contains(stage)).map(entry).collect();
    let mut more = String::new();
    // An interpreter is slower to wake than a guest of Rust, and larger.
    match language {
        Language::Rust => {}
        Language::Javascript => {
            more.push_str("\n[plugin.limits]\nmemory_mib = 64\ncpu_ms = 250\nwall_ms = 2000\n");
        }
        Language::Python => {
            more.push_str("\n[plugin.limits]\nmemory_mib = 128\ncpu_ms = 500\nwall_ms = 2000\n");
        }
    }
    if stages.contains(&Stage::Enrichment) {
        more.push_str(
            "\n[plugin.config]\nnotice = \"Production is frozen until Monday.\"\ndeny_args = [\"--no-sandbox\"]\n",
        );
    }
    DOCUMENT.replace("{{builtin}}", &builtin).replace("{{name}}", name).replace("{{more}}\n", &more)
}

/// An input of a stage, and the cases that every language's example passes.
fn tried(stage: Stage) -> (&'static str, &'static str) {
    macro_rules! of {
        ($name:literal) => {
            (
                include_str!(concat!("../template/stages/", $name, ".json")),
                include_str!(concat!("../template/stages/", $name, ".yaml")),
            )
        };
    }
    match stage {
        Stage::Prepare => of!("prepare"),
        Stage::RepoResolution => of!("repo-resolution"),
        Stage::McpOverlay => of!("mcp-overlay"),
        Stage::SquadBriefing => of!("squad-briefing"),
        Stage::Enrichment => of!("enrichment"),
        Stage::Finished => of!("finished"),
    }
}
