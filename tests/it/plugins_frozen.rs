//! Plugins that were compiled for a published version of the contract, and are kept as they
//! were: whatever this gateway becomes, they load and answer. Each archive holds a component, a
//! document and its cases; `tests/frozen/README.md` says how they were made.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::plugins_author_scene::{succeeds, told};

/// Version and language, and how many cases the plugin passes.
const FROZEN: [(&str, &str, usize); 3] =
    [("1.0.0", "rust", 3), ("1.0.0", "javascript", 4), ("1.0.0", "python", 4)];

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/frozen").join(version)
}

/// Unpacks an archive and gives the name of the component in it.
fn unpack(archive: &Path, to: &Path) -> String {
    let file = std::fs::File::open(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    let mut archive = zip::ZipArchive::new(file).unwrap();
    archive.extract(to).unwrap();
    archive.file_names().flatten().find(|name| name.ends_with(".wasm")).unwrap().into_owned()
}

#[test]
fn plugins_of_published_versions_load_and_answer() {
    for (version, language, cases) in FROZEN {
        let unpacked = tempfile::tempdir().unwrap();
        let component = unpack(&folder(version).join(format!("{language}.zip")), unpacked.path());
        let tried = told(&succeeds(unpacked.path(), &["test", &component]));
        assert!(tried.contains(&format!("{cases} passed, 0 failed")), "{version} {language}: {tried}");
        let about = succeeds(unpacked.path(), &["inspect", &component, "--json"]);
        let about: Value = serde_json::from_slice(&about.stdout).unwrap();
        let grants: Vec<&str> = about["imports"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|import| import["grant"].as_str())
            .collect();
        let expected: &[&str] = match language {
            "javascript" => &["http", "secrets"],
            "python" => &["clock", "kv"],
            _ => &[],
        };
        assert!(expected.iter().all(|grant| grants.contains(grant)), "{version} {language}: {grants:?}");
    }
}

/// An archive that no test opens keeps nothing.
#[test]
fn every_frozen_plugin_is_tried() {
    let versions = std::fs::read_dir(folder("")).unwrap().map(|entry| entry.unwrap().path());
    for version in versions.filter(|path| path.is_dir()) {
        let name = version.file_name().unwrap().to_string_lossy().into_owned();
        for archive in std::fs::read_dir(&version).unwrap() {
            let archive = archive.unwrap().path();
            let language = archive.file_stem().unwrap().to_string_lossy().into_owned();
            let known = FROZEN.iter().any(|(version, known, _)| *version == name && *known == language);
            assert!(known, "{} is tried by nobody", archive.display());
        }
    }
}
