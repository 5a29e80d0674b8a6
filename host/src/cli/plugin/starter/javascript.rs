//! In JavaScript.

use super::File;
use crate::plugin::stage::Stage;

const TEMPLATE: [(&str, &str); 3] = [
    ("package.json", include_str!("../template/javascript/package.json.tmpl")),
    ("package-lock.json", include_str!("../template/javascript/package-lock.json.tmpl")),
    (".gitignore", include_str!("../template/javascript/gitignore")),
];

pub fn files(name: &str, stages: &[Stage]) -> Vec<File> {
    let mut files: Vec<File> =
        TEMPLATE.iter().map(|(path, text)| ((*path).to_owned(), text.replace("{{name}}", name))).collect();
    let (mut imports, mut exports) = (String::new(), String::new());
    let mut schema = "null";
    for stage in stages {
        let (interface, function) = names(*stage);
        let module = stage.as_str();
        // A module cannot import a name that it exports.
        let local = if function == interface { format!("{function}Task") } else { function.to_owned() };
        let mut imported = if local == function { local.clone() } else { format!("{function} as {local}") };
        if *stage == Stage::Enrichment {
            imported.push_str(", schema");
            schema = "JSON.stringify(schema)";
        }
        let import = format!("import {{ {imported} }} from \"./{module}.js\";\n");
        let export = format!(
            "\nexport const {interface} = {{\n  {function}: (call, input) => {local}(call, input, write),\n}};\n"
        );
        imports.push_str(&import);
        exports.push_str(&export);
        let (code, test) = code(*stage);
        files.push((format!("{module}.js"), code.to_owned()));
        files.push((format!("{module}.test.js"), test.to_owned()));
    }
    let plugin = include_str!("../template/javascript/plugin.js.tmpl")
        .replace("{{name}}", name)
        .replace("{{imports}}\n", &format!("{imports}\n"))
        .replace("{{schema}}", schema)
        .replace("{{exports}}\n", &exports);
    files.push(("plugin.js".to_owned(), plugin));
    files
}

/// A stage's interface and function, as JavaScript writes them.
fn names(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Prepare => ("prepare", "prepare"),
        Stage::RepoResolution => ("repoResolution", "resolve"),
        Stage::McpOverlay => ("mcpOverlay", "merge"),
        Stage::SquadBriefing => ("squadBriefing", "brief"),
        Stage::Enrichment => ("enrichment", "enrich"),
        Stage::Finished => ("finished", "finished"),
    }
}

/// What serves a stage, and its tests.
fn code(stage: Stage) -> (&'static str, &'static str) {
    macro_rules! of {
        ($name:literal) => {
            (
                include_str!(concat!("../template/javascript/", $name, ".js")),
                include_str!(concat!("../template/javascript/", $name, ".test.js")),
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
