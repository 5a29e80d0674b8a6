//! In Python.

use super::File;
use crate::plugin::stage::Stage;

const TEMPLATE: [(&str, &str); 2] = [
    ("requirements.txt", include_str!("../template/python/requirements.txt")),
    (".gitignore", include_str!("../template/python/gitignore")),
];

pub fn files(name: &str, stages: &[Stage]) -> Vec<File> {
    let mut files: Vec<File> =
        TEMPLATE.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let mut imports = String::new();
    let mut modules: Vec<String> = Vec::new();
    let mut classes = String::new();
    let (mut logs, mut repos) = (false, false);
    for stage in stages {
        let module = stage.as_str().replace('-', "_");
        let types = types(*stage);
        if !types.is_empty() {
            let import = format!("from wit_world.exports.{module} import {types}\n");
            imports.push_str(&import);
        }
        logs |= matches!(stage, Stage::Enrichment | Stage::Finished);
        repos |= *stage == Stage::RepoResolution;
        let (code, class, test) = code(*stage);
        classes.push_str(class);
        files.push((format!("{module}.py"), code.to_owned()));
        files.push((format!("test_{module}.py"), test.to_owned()));
        modules.push(module);
    }
    imports.push_str("from wit_world.exports.manifest import Description\n");
    if logs {
        imports.push_str("from wit_world.imports import log\n");
    }
    if repos {
        imports.push_str("from wit_world.imports.types import Repo\n");
    }
    imports.push_str("\nimport ");
    imports.push_str(&modules.join("\nimport "));
    imports.push_str("\n\n");
    let schema = if stages.contains(&Stage::Enrichment) { "json.dumps(enrichment.SCHEMA)" } else { "None" };
    let app = include_str!("../template/python/app.py.tmpl")
        .replace("{{name}}", name)
        .replace("{{imports}}\n", &imports)
        .replace("{{schema}}", schema)
        .replace("{{classes}}\n", &classes);
    files.push(("app.py".to_owned(), app));
    files
}

/// The types of its interface that a stage's class names.
fn types(stage: Stage) -> &'static str {
    match stage {
        Stage::RepoResolution => "Resolution_These, Resolution_Workspace",
        Stage::McpOverlay => "Merged_AgentConfig, Merged_Config",
        Stage::Enrichment => "Decision_Deny, Decision_Patch, Denial, Operation_AppendInstructions",
        Stage::Prepare => "ConnectedApp, Output",
        Stage::SquadBriefing | Stage::Finished => "",
    }
}

/// What decides, the class that the gateway calls, and the tests of the first.
fn code(stage: Stage) -> (&'static str, &'static str, &'static str) {
    macro_rules! of {
        ($name:literal) => {
            (
                include_str!(concat!("../template/python/", $name, ".py")),
                include_str!(concat!("../template/python/", $name, ".class.py")),
                include_str!(concat!("../template/python/test_", $name, ".py")),
            )
        };
    }
    match stage {
        Stage::Prepare => of!("prepare"),
        Stage::RepoResolution => of!("repo_resolution"),
        Stage::McpOverlay => of!("mcp_overlay"),
        Stage::SquadBriefing => of!("squad_briefing"),
        Stage::Enrichment => of!("enrichment"),
        Stage::Finished => of!("finished"),
    }
}
