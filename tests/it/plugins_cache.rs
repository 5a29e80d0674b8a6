//! Compiled plugins on disk: whatever lies there, the plugin runs as it was applied.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use macro_rules_attribute::apply;

use crate::harness::{Engine, Gateway, Setup, sha256};
use crate::plugins_scene::{Scene, component, instructions, plugin};

/// The same plugin with each of these guests' code at hand.
fn document() -> String {
    plugin("extra", "test-echo", "config = { text = \"echoed\" }")
}

fn setup(engine: Engine, cache: &Path) -> Setup {
    Gateway::setup(engine).env("SWITCHYARD_CODE_CACHE_DIR", cache.to_str().unwrap()).plugins(&document())
}

fn digest(guest: &str) -> String {
    sha256(&fs::read(component(guest)).unwrap())
}

/// The files of the one engine that ran here, by name.
fn files(cache: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()))
        .collect();
    files.sort();
    files
}

fn code(cache: &Path, guest: &str) -> PathBuf {
    let name = format!("{}.cwasm", digest(guest));
    files(cache).into_iter().find(|file| file.ends_with(&name)).unwrap_or_else(|| panic!("no {name}"))
}

/// How often the guest was compiled.
fn compiled(gateway: &Gateway) -> usize {
    let digest = digest("test-echo");
    gateway
        .log()
        .iter()
        .filter(|line| line.contains("a component was compiled") && line.contains(&digest))
        .count()
}

async fn echoes(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let task = scene.claimed().await;
    assert_eq!(instructions(&task), "echoed");
    scene.end(&task).await;
}

#[apply(on_both)]
async fn a_file_that_is_torn_foreign_or_another_components_is_made_again(engine: Engine) {
    let cache = tempfile::tempdir().unwrap();
    let gateway = setup(engine, cache.path()).start().await;
    gateway.admin().apply(&plugin("extra", "test-trap", "")).await.expect(200);
    gateway.admin().apply(&document()).await.expect(200);
    assert_eq!(compiled(&gateway), 1);
    gateway.restart();
    assert_eq!(compiled(&gateway), 1, "what is whole is used");
    let mine = code(cache.path(), "test-echo");
    let whole = fs::read(&mine).unwrap();
    let other = fs::read(code(cache.path(), "test-trap")).unwrap();
    let flipped: Vec<u8> = whole
        .iter()
        .enumerate()
        .map(|(at, byte)| if at == whole.len() / 2 { byte ^ 1 } else { *byte })
        .collect();
    let mut expected = 1;
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("garbage", b"\x7fELF and so on".repeat(100)),
        ("flipped", flipped),
        ("another's", other),
    ] {
        fs::write(&mine, bytes).unwrap();
        gateway.restart();
        expected += 1;
        assert_eq!(compiled(&gateway), expected, "{what}");
        assert_eq!(fs::read(&mine).unwrap().len(), whole.len(), "{what}: it was made again");
    }
    fs::set_permissions(&mine, Permissions::from_mode(0o666)).unwrap();
    gateway.restart();
    assert_eq!(compiled(&gateway), expected + 1, "others could have written it");
    echoes(&gateway).await;
    gateway.finish().await;
}

#[apply(on_both)]
async fn a_folder_that_others_can_write_or_nobody_can_is_done_without(engine: Engine) {
    let cache = tempfile::tempdir().unwrap();
    fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
    let gateway = setup(engine, cache.path()).start().await;
    assert_eq!(files(cache.path()), Vec::<PathBuf>::new());
    echoes(&gateway).await;
    gateway.restart();
    assert_eq!(compiled(&gateway), 2);
    gateway.finish().await;

    // A file in the folder's place keeps everybody out, root as well.
    let file = cache.path().join("file");
    fs::write(&file, "").unwrap();
    let gateway = setup(engine, &file).start().await;
    echoes(&gateway).await;
    gateway.finish().await;
}

#[apply(on_both)]
async fn what_was_used_longest_ago_goes_first_and_what_runs_never(engine: Engine) {
    let cache = tempfile::tempdir().unwrap();
    let gateway = setup(engine, cache.path()).env("SWITCHYARD_CODE_CACHE_MIB", "0").start().await;
    for guest in ["test-trap", "test-loop"] {
        gateway.admin().apply(&format!("{}{}", document(), plugin("other", guest, ""))).await.expect(200);
    }
    assert_eq!(files(cache.path()).len(), 3, "sets that can be gone back to use them all");
    // A new process runs only the last set; what comes anew makes the rest go.
    gateway.restart();
    gateway.admin().apply(&plugin("extra", "test-hog", "")).await.expect(200);
    let left: Vec<PathBuf> =
        ["test-echo", "test-loop", "test-hog"].map(|guest| code(cache.path(), guest)).to_vec();
    assert_eq!(files(cache.path()).len(), left.len(), "{:?}", files(cache.path()));
    gateway.finish().await;
}
