//! In Rust. A plugin of the stage `enrichment` begins as the worked example of this repository.

use super::File;
use crate::plugin::stage::Stage;

const EXAMPLE: &str = include_str!("../../../../../plugins/examples/rust/src/lib.rs");
/// Its name, wherever it stands.
const EXAMPLE_NAME: &str = "example-policy";

const TEMPLATE: [(&str, &str); 4] = [
    // Versions that are known to fit; cargo drops what a plugin does not need.
    ("Cargo.lock", include_str!("../../../../../Cargo.lock")),
    ("Cargo.toml", include_str!("../template/rust/Cargo.toml.tmpl")),
    ("build.rs", include_str!("../../../../../plugins/examples/rust/build.rs")),
    (".gitignore", include_str!("../template/rust/gitignore")),
];

pub fn files(name: &str, stages: &[Stage]) -> Vec<File> {
    let filled =
        |text: &str| text.replace("{{name}}", name).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let mut files: Vec<File> =
        TEMPLATE.iter().map(|(path, text)| ((*path).to_owned(), filled(text))).collect();
    if stages == [Stage::Enrichment] {
        files.push(("src/lib.rs".to_owned(), EXAMPLE.replace(EXAMPLE_NAME, name)));
        return files;
    }
    let modules: Vec<String> = stages.iter().map(|stage| stage.as_str().replace('-', "_")).collect();
    let declared = modules.iter().fold(String::new(), |text, module| text + "mod " + module + ";\n");
    let schema = if stages.contains(&Stage::Enrichment) {
        "\n            .config_schema(enrichment::SCHEMA)"
    } else {
        ""
    };
    let lib = include_str!("../template/rust/lib.rs.tmpl")
        .replace("{{modules}}", &declared)
        .replace("{{schema}}", schema)
        .replace("{{stages}}", &modules.join(", "));
    files.push(("src/lib.rs".to_owned(), filled(&lib)));
    for (stage, module) in stages.iter().zip(modules) {
        files.push((format!("src/{module}.rs"), code(*stage).to_owned()));
    }
    files
}

fn code(stage: Stage) -> &'static str {
    match stage {
        Stage::Prepare => include_str!("../template/rust/prepare.rs"),
        Stage::RepoResolution => include_str!("../template/rust/repo_resolution.rs"),
        Stage::McpOverlay => include_str!("../template/rust/mcp_overlay.rs"),
        Stage::SquadBriefing => include_str!("../template/rust/squad_briefing.rs"),
        Stage::Enrichment => include_str!("../template/rust/enrichment.rs"),
        Stage::Finished => include_str!("../template/rust/finished.rs"),
    }
}
