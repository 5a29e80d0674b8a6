//! Compiled code on disk, by engine and digest. Whatever is wrong with a file only costs
//! another compilation.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::component::Component;

#[derive(Clone)]
pub struct Cache {
    /// Holds a folder for each engine that ever kept code here.
    root: PathBuf,
    folder: PathBuf,
    max_bytes: u64,
    /// What this process made of the files, to spare those that it runs.
    loaded: Arc<Mutex<HashMap<String, Weak<Component>>>>,
}

/// A file begins with a SHA-256 over the component's digest and over the code that follows,
/// so that the code of one component never passes for another's.
const SEAL_BYTES: usize = 32;
/// Older than any write that is still under way.
const ABANDONED: Duration = Duration::from_hours(1);

fn seal(sha256: &str, code: &[u8]) -> [u8; SEAL_BYTES] {
    Sha256::new_with_prefix(sha256).chain_update(code).finalize().into()
}

impl Cache {
    pub fn new(root: &Path, max_bytes: u64, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let folder = root.join(format!("{:016x}", hasher.finish()));
        Self { root: root.to_owned(), folder, max_bytes, loaded: Arc::default() }
    }

    pub(super) fn find_or_compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<wasmtime::component::Component, String> {
        let is_ours = self.is_ours();
        let found = if is_ours { self.find(engine, sha256) } else { None };
        if let Some(found) = found {
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

    /// Its file stays as long as the component is used.
    pub(super) fn note(&self, component: &Arc<Component>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(component.sha256.clone(), Arc::downgrade(component));
    }

    /// Whether nobody else can put code there: what it holds runs outside of any sandbox. A
    /// folder that is not there yet will be made so.
    fn is_ours(&self) -> bool {
        [&self.root, &self.folder]
            .into_iter()
            .all(|path| fs::metadata(path).map_or(true, |about| is_safe(&about)))
    }

    fn find(&self, engine: &Engine, sha256: &str) -> Option<wasmtime::component::Component> {
        let path = self.path(sha256);
        let about = fs::symlink_metadata(&path).ok()?;
        let found = if about.is_file() && is_safe(&about) { read(engine, &path, sha256) } else { None };
        if found.is_none() {
            tracing::warn!(path = %path.display(), "compiled code was unusable and is made again");
            let _ = fs::remove_file(&path);
        } else if let Ok(file) = File::open(&path) {
            // Used just now, so it goes last.
            let _ = file.set_modified(SystemTime::now());
        }
        found
    }

    /// Whole or not at all: a reader never sees half a file.
    fn keep(&self, sha256: &str, code: &[u8]) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&seal(sha256, code))?;
        file.write_all(code)?;
        file.as_file().sync_all()?;
        file.persist(self.path(sha256)).map(drop).map_err(|error| error.error)?;
        self.shrink(sha256);
        Ok(())
    }

    /// Takes away what was used longest ago, of any engine, until the rest is small enough.
    fn shrink(&self, newest: &str) {
        let mut spared: HashSet<PathBuf> = HashSet::from([self.path(newest)]);
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let used = loaded.iter().filter(|(_, component)| component.strong_count() > 0);
        spared.extend(used.map(|(sha256, _)| self.path(sha256)));
        drop(loaded);
        let mut files = self.files();
        files.sort_by_key(|file| file.used_at);
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        for file in files {
            let is_abandoned = file.path.extension().is_none_or(|extension| extension != "cwasm");
            let is_over = total > self.max_bytes && !is_abandoned;
            let is_old = file.used_at.elapsed().is_ok_and(|age| age > ABANDONED);
            if spared.contains(&file.path) || !(is_over || (is_abandoned && is_old)) {
                continue;
            }
            if fs::remove_file(&file.path).is_ok() {
                total = total.saturating_sub(file.bytes);
            }
        }
    }

    /// Only what lies where this cache puts things: the folder may hold something else.
    fn files(&self) -> Vec<Kept> {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let is_engines = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let folders = entries(&self.root).filter(|entry| entry.file_name().to_str().is_some_and(is_engines));
        folders
            .flat_map(|folder| entries(&folder.path()))
            .filter_map(|entry| {
                let about = entry.metadata().ok().filter(Metadata::is_file)?;
                Some(Kept { path: entry.path(), bytes: about.len(), used_at: about.modified().ok()? })
            })
            .collect()
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.cwasm"))
    }
}

struct Kept {
    path: PathBuf,
    bytes: u64,
    used_at: SystemTime,
}

/// Whether only this user, or root, can have written it.
fn is_safe(about: &Metadata) -> bool {
    let ours = fs::metadata("/proc/self").ok().map(|process| process.uid());
    about.permissions().mode() & 0o022 == 0
        && (about.uid() == 0 || ours.is_none_or(|ours| ours == about.uid()))
}

fn read(engine: &Engine, path: &Path, sha256: &str) -> Option<wasmtime::component::Component> {
    let file = fs::read(path).ok()?;
    let (sealed, code) = file.split_at_checked(SEAL_BYTES)?;
    (seal(sha256, code) == sealed).then(|| deserialize(engine, code).ok()).flatten()
}

#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code; this code was compiled here, or lies in a folder of ours with its digest"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<wasmtime::component::Component> {
    // SAFETY: the bytes come from `Engine::precompile_component` of an engine with the same
    // compatibility hash, unaltered as their seal shows, from a folder that only the
    // gateway's own user can write.
    unsafe { wasmtime::component::Component::deserialize(engine, code) }
}
