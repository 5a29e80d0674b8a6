//! From bytes to something that can be instantiated in microseconds.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::bindings::EveryStage;
use super::bindings::exports::switchyard::plugin as exports;
use super::cache::Cache;
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
    let component = link(&linker(engine)?, &compiled, sha256)?;
    cache.note(&component);
    Ok(component)
}

/// What the host offers.
fn linker(engine: &Engine) -> Result<Linker<Host>, String> {
    let mut linker = Linker::new(engine);
    EveryStage::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)
        .map_err(|error| format!("the host could not be linked: {error:#}"))?;
    Ok(linker)
}

fn link(
    linker: &Linker<Host>,
    compiled: &wasmtime::component::Component,
    sha256: &str,
) -> Result<Arc<Component>, String> {
    let engine = linker.engine();
    let imports = imports(engine, compiled)?;
    let pre = linker
        .instantiate_pre(compiled)
        .map_err(|error| format!("the component does not fit this host: {error:#}"))?;
    let manifest = exports::manifest::GuestIndices::new(&pre).map_err(|_| {
        "the component exports no `switchyard:plugin/manifest@1.0.0`; build it with the SDK of this version".to_owned()
    })?;
    let names = export_names(engine, compiled);
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::engine;
    use super::super::limits::Limits;
    use super::super::sandbox::describe;
    use super::*;

    /// A plugin that was compiled against the contract as it is published.
    fn frozen() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/frozen/1.0.0/rust.zip");
        let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut bytes = Vec::new();
        archive.by_index(0).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_plugin_of_today_loads_in_a_host_whose_contract_has_grown() {
        let engine = engine::start(false).unwrap();
        let mut grown = linker(&engine).unwrap();
        let mut lookup = grown.instance("switchyard:plugin/lookup@1.1.0").unwrap();
        lookup.func_wrap("find", |_, (name,): (String,)| Ok((name.len() as u64,))).unwrap();
        let mut log = grown.instance("switchyard:plugin/log@1.1.0").unwrap();
        log.func_wrap("flush", |_, (): ()| Ok(())).unwrap();
        let compiled = wasmtime::component::Component::new(&engine, frozen()).unwrap();
        let component = link(&grown, &compiled, "frozen").unwrap();
        assert!(component.stages.contains(&Stage::Enrichment));
        let limits = Limits { cpu_ms: 1000, wall_ms: 5000, ..Limits::default() };
        assert!(!describe(&component, limits).await.unwrap().name.is_empty());
    }
}
