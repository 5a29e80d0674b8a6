//! From bytes to something that can be instantiated in microseconds.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::bindings::EveryStage;
use super::bindings::exports::switchyard::plugin as exports;
use super::grants::IMPORTS;
use super::imports::Host;
use super::stage::Stage;

/// A compiled component, linked, with the stages it serves.
pub struct Component {
    pub sha256: String,
    pub pre: InstancePre<Host>,
    pub manifest: exports::manifest::GuestIndices,
    pub prepare: Option<exports::prepare::GuestIndices>,
    pub repo_resolution: Option<exports::repo_resolution::GuestIndices>,
    pub mcp_overlay: Option<exports::mcp_overlay::GuestIndices>,
    pub squad_briefing: Option<exports::squad_briefing::GuestIndices>,
    pub enrichment: Option<exports::enrichment::GuestIndices>,
    pub finished: Option<exports::finished::GuestIndices>,
    /// Those it serves.
    pub stages: Vec<Stage>,
    /// Whether its engine counts instructions.
    pub counts: bool,
    /// What it imports that must be granted, out of [`IMPORTS`].
    pub imports: Vec<&'static str>,
}

/// Compiles and links. Takes tens of milliseconds for a new component, so it must be off
/// the runtime's threads. The error is for the operator.
pub fn load(engine: &Engine, cache: &Cache, bytes: &[u8], sha256: &str) -> Result<Arc<Component>, String> {
    let compiled = cache.find_or_compile(engine, bytes, sha256)?;
    let mut linker: Linker<Host> = Linker::new(engine);
    EveryStage::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)
        .map_err(|error| format!("the host could not be linked: {error:#}"))?;
    let imports = imports(engine, &compiled)?;
    let pre = linker
        .instantiate_pre(&compiled)
        .map_err(|error| format!("the component does not fit this host: {error:#}"))?;
    let manifest = exports::manifest::GuestIndices::new(&pre).map_err(|_| {
        "the component exports no `switchyard:plugin/manifest@1.0.0`; build it with the SDK of this version".to_owned()
    })?;
    let names = export_names(engine, &compiled);
    let serves = |stage: Stage| names.iter().any(|name| name == &interface(stage.as_str()));
    /// The indices of an interface that is exported; that it is, and does not fit, is an error.
    macro_rules! indices {
        ($module:ident, $stage:expr) => {
            if serves($stage) {
                let found = exports::$module::GuestIndices::new(&pre);
                Some(found.map_err(|error| format!("stage `{}`: {error:#}", $stage.as_str()))?)
            } else {
                None
            }
        };
    }
    let component = Component {
        sha256: sha256.to_owned(),
        manifest,
        prepare: indices!(prepare, Stage::Prepare),
        repo_resolution: indices!(repo_resolution, Stage::RepoResolution),
        mcp_overlay: indices!(mcp_overlay, Stage::McpOverlay),
        squad_briefing: indices!(squad_briefing, Stage::SquadBriefing),
        enrichment: indices!(enrichment, Stage::Enrichment),
        finished: indices!(finished, Stage::Finished),
        stages: Stage::ALL.into_iter().filter(|stage| serves(*stage)).collect(),
        counts: wasmtime::Store::new(engine, ()).get_fuel().is_ok(),
        imports,
        pre,
    };
    if component.stages.is_empty() {
        return Err("the component exports no stage; a plugin serves at least one".to_owned());
    }
    Ok(Arc::new(component))
}

fn interface(name: &str) -> String {
    format!("switchyard:plugin/{name}@1.0.0")
}

fn export_names(engine: &Engine, component: &wasmtime::component::Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// What must be granted of what it imports. What nobody offers is refused.
fn imports(engine: &Engine, component: &wasmtime::component::Component) -> Result<Vec<&'static str>, String> {
    let mut granted = Vec::new();
    for (name, _) in component.component_type().imports(engine) {
        if [interface("log"), interface("types")].iter().any(|free| free == name) {
            continue;
        }
        if let Some(known) = IMPORTS.into_iter().find(|known| interface(known) == name) {
            granted.push(known);
            continue;
        }
        let cure = if name.starts_with("wasi:") {
            "plugins have no WASI; build for wasm32-unknown-unknown, or with your tool's option that stubs WASI out"
        } else if name.starts_with("switchyard:plugin/") {
            "it is of another version of the contract; build with the SDK of this gateway"
        } else {
            "a plugin may import `log`, `kv`, `http`, `secrets`, `clock` and `random` of `switchyard:plugin@1.0.0`"
        };
        return Err(format!("the component imports `{name}`, which this host does not offer: {cure}"));
    }
    Ok(granted)
}

/// Compiled code on disk, by engine and digest. Whatever is wrong with a file only costs
/// another compilation.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// A file begins with the SHA-256 of what follows.
const DIGEST_BYTES: usize = 32;

impl Cache {
    pub fn new(root: &Path, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder: root.join(format!("{:016x}", hasher.finish())) }
    }

    fn find_or_compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<wasmtime::component::Component, String> {
        let is_ours = self.is_ours();
        if let Some(found) = self.find(engine, sha256).filter(|_| is_ours) {
            return Ok(found);
        }
        let started = std::time::Instant::now();
        let code = engine
            .precompile_component(bytes)
            .map_err(|error| format!("this is not a WebAssembly component: {error:#}"))?;
        tracing::info!(sha256, millis = started.elapsed().as_millis(), "a component was compiled");
        let component = deserialize(engine, &code)
            .map_err(|error| format!("the compiled component could not be loaded: {error:#}"))?;
        let kept = if is_ours { self.keep(sha256, &code) } else { Err(ErrorKind::PermissionDenied.into()) };
        if let Err(error) = kept {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code was not kept");
        }
        Ok(component)
    }

    /// Whether nobody else can put code there: what it holds runs outside of any sandbox. A
    /// folder that is not there yet will be made so.
    fn is_ours(&self) -> bool {
        let others =
            |folder: &Path| fs::metadata(folder).is_ok_and(|about| about.permissions().mode() & 0o022 != 0);
        !others(&self.folder) && !self.folder.parent().is_some_and(others)
    }

    fn find(&self, engine: &Engine, sha256: &str) -> Option<wasmtime::component::Component> {
        let path = self.path(sha256);
        let file = fs::read(&path).ok()?;
        let (digest, code) = file.split_at_checked(DIGEST_BYTES)?;
        let found =
            (Sha256::digest(code).as_slice() == digest).then(|| deserialize(engine, code).ok()).flatten();
        if found.is_none() {
            tracing::warn!(path = %path.display(), "compiled code was unusable and is made again");
            let _ = fs::remove_file(&path);
        }
        found
    }

    /// Whole or not at all: a reader never sees half a file, and a mapped one is never
    /// written over.
    fn keep(&self, sha256: &str, code: &[u8]) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        file.as_file().sync_all()?;
        file.persist(self.path(sha256)).map(drop).map_err(|error| error.error)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.cwasm"))
    }
}

#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code; this code was compiled here, or lies in a folder of ours with its digest"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<wasmtime::component::Component> {
    // SAFETY: the bytes come from `Engine::precompile_component` of an engine with the same
    // compatibility hash, unaltered as their digest shows, from a folder that only the
    // gateway's own user can write.
    unsafe { wasmtime::component::Component::deserialize(engine, code) }
}
