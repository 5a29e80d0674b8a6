//! What a component is, told without a document: who it says it is, what it serves and
//! imports, and what it is made of.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmparser::{Instance, Parser, Payload};

use super::cache::Cache;
use super::component;
use super::engine;
use super::limits::Limits;
use super::rules::Rules;
use super::sandbox::describe;

/// As the admin API would show it, and more.
#[derive(Debug, Serialize)]
pub struct Inspection {
    pub name: String,
    pub version: String,
    pub summary: String,
    pub stages: Vec<&'static str>,
    pub imports: Vec<Import>,
    pub config_schema: Option<Value>,
    pub size_bytes: usize,
    pub sha256: String,
    #[serde(flatten)]
    pub parts: Parts,
}

#[derive(Debug, Serialize)]
pub struct Import {
    /// Such as `switchyard:plugin/kv@1.0.0`.
    pub interface: String,
    /// The key of `[plugin.grants]` that it needs.
    pub grant: Option<String>,
}

/// What an instance of it takes from the pool.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    pub core_instances: usize,
    pub memories: usize,
    pub initial_memory_bytes: u64,
}

/// Interfaces that every plugin may import.
const FREE: [&str; 2] = ["types", "log"];

/// The error is for the author.
pub async fn inspect(cache_dir: &Path, bytes: &[u8]) -> anyhow::Result<Inspection> {
    let engine = engine::start(false)?;
    let cache = Cache::new(cache_dir, Rules::default().code_cache_bytes, &engine);
    let sha256 = hex::encode(Sha256::digest(bytes));
    let component = component::load(&engine, &cache, bytes, &sha256).map_err(anyhow::Error::msg)?;
    // As when a document is applied.
    let limits = Limits { cpu_ms: 1000, wall_ms: 5000, memory_mib: 256, ..Limits::default() };
    let described = describe(&component, limits).await?;
    let names = component.pre.component().component_type();
    let imports = names.imports(&engine).map(|(name, _)| import(name)).collect();
    Ok(Inspection {
        name: described.name,
        version: described.version,
        summary: described.summary,
        stages: component.stages.iter().map(|stage| stage.as_str()).collect(),
        imports,
        config_schema: described.config_schema.map(|text| serde_json::from_str(&text).unwrap_or(text.into())),
        size_bytes: bytes.len(),
        sha256,
        parts: parts(bytes)?,
    })
}

fn import(interface: &str) -> Import {
    let name = interface.strip_prefix("switchyard:plugin/").unwrap_or(interface);
    let name = name.split('@').next().unwrap_or_default();
    let grant = (!FREE.contains(&name)).then(|| name.to_owned());
    Import { interface: interface.to_owned(), grant }
}

/// Counts modules that are instantiated, and the memories that modules bring. A memory of 64
/// bits or with pages of another size is counted by its minimum, too.
fn parts(bytes: &[u8]) -> anyhow::Result<Parts> {
    let mut parts = Parts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    parts.core_instances += usize::from(matches!(instance?, Instance::Instantiate { .. }));
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(16).min(16);
                    parts.memories += 1;
                    parts.initial_memory_bytes =
                        parts.initial_memory_bytes.saturating_add(memory.initial.saturating_mul(page));
                }
            }
            _ => {}
        }
    }
    Ok(parts)
}
