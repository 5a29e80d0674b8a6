//! What a component says of itself, for tools that have nothing to apply.

use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::component;
use super::engine;
use super::limits::Limits;
use super::manifest;
use super::rules::Rules;
use super::sandbox::describe;

pub struct Inspected {
    pub sha256: String,
    pub name: String,
    pub version: String,
}

/// Compiles it and asks it, in an engine of its own.
pub async fn inspect(bytes: &[u8]) -> anyhow::Result<Inspected> {
    let folder = tempfile::tempdir()?;
    let engine = engine::start()?;
    let cache = Cache::new(folder.path(), Rules::default().code_cache_bytes, &engine);
    let sha256 = hex::encode(Sha256::digest(bytes));
    let component = component::load(&engine, &cache, bytes, &sha256).map_err(anyhow::Error::msg)?;
    let limits = Limits { cpu_ms: 1000, wall_ms: 5000, ..Limits::default() };
    let description = describe(&component, limits).await?;
    manifest::check(&description).map_err(anyhow::Error::msg)?;
    Ok(Inspected { sha256, name: description.name, version: description.version })
}
