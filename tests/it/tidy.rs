//! What the tree must look like: who imports what, files that go in pairs, documents that
//! name what there is, and contracts that do not move.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use switchyard::config::Config;
use switchyard::plugin::limits::Limits;
use switchyard::plugin::{reader, reader_grants, reader_rollout, recording};

/// Folders of `host/src`, and what none of their files may name.
const MAY_NOT_NAME: [(&str, &[&str]); 7] = [
    (
        "model",
        &[
            "axum",
            "sqlx",
            "wasmtime",
            "tokio",
            "reqwest",
            "crate::app",
            "crate::auth",
            "crate::claim",
            "crate::cli",
            "crate::dispatch",
            "crate::enrich",
            "crate::http",
            "crate::live",
            "crate::plugin",
            "crate::store",
        ],
    ),
    (
        "store",
        &[
            "axum",
            "wasmtime",
            "crate::app",
            "crate::claim",
            "crate::dispatch",
            "crate::enrich",
            "crate::http",
        ],
    ),
    (
        "plugin",
        &["axum", "sqlx", "crate::app", "crate::claim", "crate::dispatch", "crate::enrich", "crate::http"],
    ),
    (
        "enrich",
        &[
            "axum",
            "sqlx",
            "wasmtime",
            "crate::app",
            "crate::claim",
            "crate::dispatch",
            "crate::http",
            "crate::store",
        ],
    ),
    ("dispatch", &["axum", "sqlx", "wasmtime", "crate::http", "crate::cli"]),
    ("claim", &["axum", "sqlx", "wasmtime", "crate::http", "crate::cli"]),
    ("http", &["sqlx", "wasmtime", "crate::cli"]),
];

/// Crates with one importer, and the folder of `host/src` that it is.
const SOLE_IMPORTERS: [(&str, &str); 3] =
    [("sqlx", "store"), ("wasmtime", "plugin"), ("redis", "live/redis")];

/// What is left of each published version of the contract when comments are taken away. A
/// published version never changes; what comes next gets a folder of its own.
const PUBLISHED: [(&str, &str); 1] =
    [("wit", "93d89b738231e82aa2dff4389b11a5adc4c822cd1df009c5b934b3027c385c71")];

const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the host lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below the folder with one of these endings, but for what is built.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry of a folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "data", "node_modules"].contains(&name.as_str()) {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether the code names this crate or module: a word of its own before `::`, or after
/// `use` or `extern crate`. Comments do not count.
fn names(code: &str, what: &str) -> bool {
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|line| {
        line.match_indices(what).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + what.len()..]);
            let stands_alone = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let is_path = after.starts_with("::");
            let is_whole = after.starts_with([';', ' ', ',']) && before.trim_end().ends_with("use");
            stands_alone && (is_path || is_whole)
        })
    })
}

#[test]
fn each_layer_names_only_what_it_may() {
    let source = root().join("host/src");
    let mut found = Vec::new();
    for (folder, forbidden) in MAY_NOT_NAME {
        for file in files(&source.join(folder), &[".rs"]) {
            let code = read(&file);
            let named = forbidden.iter().filter(|what| names(&code, what));
            found.extend(named.map(|what| format!("{} names {what}", file.display())));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn some_crates_have_one_importer_each() {
    let source = root().join("host/src");
    for (what, folder) in SOLE_IMPORTERS {
        let importers: Vec<PathBuf> =
            files(&source, &[".rs"]).into_iter().filter(|file| names(&read(file), what)).collect();
        assert!(!importers.is_empty(), "nobody imports {what}: does this test still see imports?");
        let strangers: Vec<_> =
            importers.iter().filter(|file| !file.starts_with(source.join(folder))).collect();
        assert!(strangers.is_empty(), "{what} belongs to {folder}: {strangers:?}");
    }
}

#[test]
fn migrations_go_in_pairs() {
    let names = |engine: &str| -> BTreeSet<String> {
        let list = files(&root().join("migrations").join(engine), &[".sql"]);
        list.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
    };
    assert!(!names("sqlite").is_empty());
    assert_eq!(names("sqlite"), names("postgres"));
}

#[test]
fn every_path_that_the_map_names_exists() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let named: Vec<&str> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            text.contains('/') && !text.contains([' ', '{', '<', ':', '*']) && !text.starts_with('/')
        })
        .collect();
    assert!(named.len() > 20, "does this test still see paths? {named:?}");
    let missing: Vec<&&str> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
}

/// The cells of each row of a table whose first cell is a key in back-ticks, below this
/// heading or opening line.
fn table(document: &str, opening: &str) -> Vec<Vec<String>> {
    let (_, rest) = document.split_once(opening).unwrap_or_else(|| panic!("no `{opening}`"));
    let rows =
        rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cells| cells[0].starts_with('`'))
        .collect()
}

fn key(cells: &[String]) -> &str {
    cells[0].trim_matches('`')
}

#[test]
fn the_settings_are_documented_with_their_defaults() {
    let document = read(&root().join("docs/configuration.md"));
    let defaults = serde_json::to_value(Config::default()).expect("the settings are plain");
    let defaults = defaults.as_object().expect("a struct is an object");
    let rows = table(&document, "| key | variable |");
    let documented: BTreeSet<&str> = rows.iter().map(|cells| key(cells)).collect();
    assert_eq!(documented, defaults.keys().map(String::as_str).collect());
    for cells in &rows {
        let key = key(cells);
        assert_eq!(cells[1], format!("`SWITCHYARD_{}`", key.to_uppercase()));
        let stated = cells[3].trim_matches('`');
        match &defaults[key] {
            Value::Null => assert!(!stated.is_empty(), "{key}: say what happens without it"),
            Value::String(text) => assert_eq!(stated, text, "{key}"),
            other => assert_eq!(stated, other.to_string(), "{key}"),
        }
    }
}

#[test]
fn the_plugin_document_is_documented_key_by_key() {
    let document = read(&root().join("docs/configuration.md"));
    let documented = |opening: &str| -> BTreeSet<String> {
        table(&document, opening).iter().map(|cells| key(cells).to_owned()).collect()
    };
    let known = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(ToString::to_string).collect() };
    let mut keys = documented("## `plugins.toml`");
    keys.extend(["limits".to_owned(), "grants".to_owned()]);
    assert_eq!(keys, known(&[&reader::KEYS[..], &reader_rollout::ROLLOUT_KEYS].concat()));
    assert_eq!(documented("`[plugin.grants]`"), known(&reader_grants::KEYS));
    assert_eq!(documented("`[plugin.limits]`"), known(&reader::LIMIT_KEYS));
    assert_eq!(documented("`[recording]`"), known(&recording::RECORDING_KEYS));
    let defaults = serde_json::to_value(Limits::default()).expect("limits are numbers");
    for cells in table(&document, "`[plugin.limits]`") {
        assert_eq!(cells[1], defaults[key(&cells)].to_string(), "{}", cells[0]);
    }
}

#[test]
fn code_in_the_guide_is_taken_from_what_compiles() {
    let guide = read(&root().join("docs/plugins.md"));
    for (language, example, endings) in [
        ("rust", "rust", &[".rs"][..]),
        ("javascript", "javascript", &[".js"]),
        ("python", "python", &[".py"]),
        ("yaml", "javascript", &[".yaml"]),
    ] {
        let example = files(&root().join("plugins/examples").join(example), endings);
        let sources: Vec<String> = example.iter().map(|path| read(path)).collect();
        let blocks: Vec<&str> = guide
            .split(&format!("\n```{language}\n"))
            .skip(1)
            .map(|rest| rest.split("\n```").next().unwrap_or_default())
            .collect();
        assert!(!blocks.is_empty(), "does this test still see code in {language}?");
        for block in blocks {
            let known = sources.iter().any(|source| source.contains(block.trim_end()));
            assert!(known, "this code of docs/plugins.md compiles nowhere:\n{block}");
        }
    }
}

/// `plugin new` writes the SDK beside a plugin: a file that is forgotten there breaks every
/// new plugin.
#[test]
fn a_new_plugin_gets_the_whole_sdk() {
    let written = read(&root().join("host/src/cli/plugin/new.rs"));
    for folder in ["plugins/sdk", "plugins/sdk-build", "wit"] {
        for file in files(&root().join(folder), &[".rs", ".toml", ".wit"]) {
            let name = file.strip_prefix(root()).expect("a file of the workspace").display().to_string();
            assert!(written.contains(&format!("\"{name}\"")), "`plugin new` does not write {name}");
        }
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let endings = [".rs", ".md", ".wit", ".toml", ".sql", ".py", ".js"];
    let long: Vec<String> = files(&root(), &endings)
        .into_iter()
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["unimplemented", "!("], ["todo", "!("], ["#[ig", "nore"]]
        .map(|w| w.concat());
    let mut found = Vec::new();
    for path in files(&root(), &[".rs", ".wit", ".toml", ".sql", ".md"]) {
        let text = read(&path);
        found.extend(
            words
                .iter()
                .filter(|word| text.contains(word.as_str()))
                .map(|word| format!("{}: {word}", path.display())),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_published_contract_never_changes() {
    for (folder, expected) in PUBLISHED {
        let mut hasher = Sha256::new();
        for file in files(&root().join(folder), &[".wit"]) {
            for line in read(&file).lines() {
                let line = line.split("//").next().unwrap_or_default().trim();
                if !line.is_empty() {
                    hasher.update(line);
                    hasher.update("\n");
                }
            }
        }
        let found = hex::encode(hasher.finalize());
        assert_eq!(found, expected, "{folder} is published: add a version instead of changing this one");
    }
}

#[test]
fn every_item_of_the_contract_is_documented() {
    let mut bare = Vec::new();
    for file in files(&root().join("wit"), &[".wit"]) {
        let text = read(&file);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let is_plain = line.is_empty() || line.starts_with("//") || *line == "}";
            let needs_none =
                ["package ", "use ", "import ", "export "].iter().any(|word| line.starts_with(word));
            if !is_plain
                && !needs_none
                && !lines[..number].last().is_some_and(|above| above.starts_with("///"))
            {
                bare.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}
