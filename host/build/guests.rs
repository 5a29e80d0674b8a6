//! The guests, and how they become components.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wit_component::ComponentEncoder;

use crate::{environment, toolchain};

/// Package and folder below `plugins/`. A component has its package's name.
const GUESTS: [(&str, &str); 17] = [
    ("mcp-overlay", "mcp-overlay"),
    ("squad-briefing", "squad-briefing"),
    ("repo-resolution", "repo-resolution"),
    ("example-policy", "examples/rust"),
    ("test-anonymous", "test-anonymous"),
    ("test-deny", "test-deny"),
    ("test-echo", "test-echo"),
    ("test-faults", "test-faults"),
    ("test-garbage", "test-garbage"),
    ("test-hog", "test-hog"),
    ("test-import", "test-import"),
    ("test-loop", "test-loop"),
    ("test-prepare", "test-prepare"),
    ("test-reach", "test-reach"),
    ("test-remember", "test-remember"),
    ("test-slow-describe", "test-slow-describe"),
    ("test-trap", "test-trap"),
];

/// Compiles all guests in one call, so that what they share is built once.
pub fn compile(root: &Path, target: &Path) -> Result<(), String> {
    let (cargo, rustc) = (environment::variable("CARGO")?, environment::variable("RUSTC")?);
    let mut command = toolchain::cargo_build(&cargo, &rustc)?;
    command.current_dir(root).args(["--locked", "--profile", "guest", "--target-dir"]).arg(target);
    for (package, _) in GUESTS {
        command.args(["--package", package]);
    }
    let output = command.output().map_err(|error| format!("cannot run cargo for the guests: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the guests do not build ({})\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Encodes each core module as a component and gives their paths.
pub fn encode(target: &Path, newest: SystemTime) -> Result<Vec<PathBuf>, String> {
    let modules = target.join(toolchain::TARGET).join("guest");
    let folder = target.join("components");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    GUESTS
        .iter()
        .map(|(package, _)| {
            let module = modules.join(package.replace('-', "_")).with_extension("wasm");
            let path = folder.join(package).with_extension("wasm");
            component(&module)
                .and_then(|bytes| replace(&path, &bytes, newest).map_err(|error| error.to_string()))
                .map_err(|error| format!("the guest {package} does not become a component: {error}"))?;
            Ok(path)
        })
        .collect()
}

fn component(module: &Path) -> Result<Vec<u8>, String> {
    let core = fs::read(module).map_err(|error| format!("cannot read {}: {error}", module.display()))?;
    let encoder = ComponentEncoder::default().validate(true).module(&core);
    encoder.and_then(|mut encoder| encoder.encode()).map_err(|error| format!("{error:#}"))
}

/// Puts a component in place whole, since another build may be reading it. It is as old as
/// the newest thing it was made from: were it newer, cargo would run this script again.
fn replace(path: &Path, bytes: &[u8], newest: SystemTime) -> std::io::Result<()> {
    match fs::read(path) {
        Ok(existing) if existing == bytes => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    fs::write(&draft, bytes)?;
    fs::File::options().write(true).open(&draft)?.set_modified(newest)?;
    fs::rename(&draft, path)
}

/// What the guests are made from. Their tests are not part of it, so editing one does not
/// rebuild the host.
pub fn inputs(root: &Path) -> Vec<PathBuf> {
    let plugins = root.join("plugins");
    let sdk = ["sdk/Cargo.toml", "sdk/src", "sdk-build/Cargo.toml", "sdk-build/src"];
    let of_guests = GUESTS.iter().flat_map(|(_, folder)| {
        let folder = plugins.join(folder);
        ["Cargo.toml", "build.rs", "src"].map(|part| folder.join(part))
    });
    let shared =
        ["wit", "Cargo.lock", "Cargo.toml", "host/build.rs", "host/build"].map(|path| root.join(path));
    shared.into_iter().chain(sdk.map(|part| plugins.join(part))).chain(of_guests).collect()
}

/// When the youngest of these files was changed.
pub fn newest(paths: &[PathBuf]) -> SystemTime {
    paths.iter().map(|path| changed(path)).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn changed(path: &Path) -> SystemTime {
    let Ok(metadata) = fs::metadata(path) else { return SystemTime::UNIX_EPOCH };
    let own = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let Ok(entries) = fs::read_dir(path) else { return own };
    entries.flatten().map(|entry| changed(&entry.path())).fold(own, SystemTime::max)
}
