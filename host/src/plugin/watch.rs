//! Applies the document again when its file changes, when a component it names does, or at
//! SIGHUP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::document::{Document, DocumentFormat};
use super::generation::Origin;
use super::plugins::{ApplyError, Plugins, Sent};
use super::source::{Signed, Source};

/// Editors write in several steps; what comes within this counts once.
const SETTLE: Duration = Duration::from_millis(50);
/// Looked at all the same, for file systems that report nothing.
const POLL: Duration = Duration::from_millis(500);
/// How long to wait when another apply is running.
const BUSY: Duration = Duration::from_millis(100);

/// What the document and its components looked like.
pub type Seen = Option<[u8; 32]>;

/// Watches until the process ends.
pub fn watch(plugins: Plugins) {
    tokio::spawn(run(plugins));
}

async fn run(plugins: Plugins) {
    // Taken even without a document: unheard, the signal would end the process.
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let Some(path) = plugins.document().map(Path::to_path_buf) else {
        while hangup.recv().await.is_some() {
            tracing::info!("there is no plugin document to read again");
        }
        return;
    };
    let (sender, mut changes) = mpsc::channel(1);
    // The folder, because an editor may put a new file in the old one's place.
    let folder = plugins.base_dir();
    let watcher = notify::recommended_watcher(move |_| {
        // Full means that a look is due already.
        let _ = sender.try_send(());
    });
    let _watcher = watcher.ok().and_then(|mut watcher| {
        let folder = folder?;
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "the plugin document is polled: its folder cannot be watched");
                None
            }
        }
    });
    let mut seen = plugins.seen();
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                false
            }
            () = tokio::time::sleep(POLL) => false,
        };
        let now = look(&path, plugins.base_dir()).await;
        // A file that is away for a moment is about to be replaced.
        if now.is_some() && (forced || now != seen) {
            seen = now;
            apply(&plugins, &path).await;
        }
    }
}

async fn apply(plugins: &Plugins, path: &Path) {
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        // It was there a moment ago: it is being replaced, and is looked at again, or the gateway
        // stops and reads no more files.
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the plugin document cannot be read; nothing changed");
            return;
        }
    };
    let sent = Sent { text, format: DocumentFormat::Toml, origin: Origin::File };
    loop {
        match plugins.apply(sent.clone(), false).await {
            Ok(_) => return,
            Err(ApplyError::Busy) => tokio::time::sleep(BUSY).await,
            Err(ApplyError::Faults(faults)) => {
                for fault in &faults {
                    tracing::error!(
                        path = %path.display(), pointer = fault.pointer, plugin.name = fault.plugin,
                        "the plugin document was not applied: {}", fault.message
                    );
                }
                return;
            }
            Err(error @ ApplyError::Store(_)) => {
                tracing::error!(path = %path.display(), %error, "the plugin document was not applied");
                return;
            }
        }
    }
}

/// A digest over the document's text and over the size and age of each file that it names:
/// components and signatures.
pub async fn look(path: &Path, base: Option<PathBuf>) -> Seen {
    let text = tokio::fs::read_to_string(path).await.ok()?;
    let mut hasher = Sha256::new_with_prefix(&text);
    let wanted = match Document::parse(&text, DocumentFormat::Toml) {
        Ok(document) => document.plugins,
        Err((_, readable)) => readable,
    };
    for wanted in wanted {
        let component = if let Source::File(file) = wanted.source { Some(file) } else { None };
        let signature = if let Some(Signed::File(file)) = wanted.signature { Some(file) } else { None };
        for file in component.into_iter().chain(signature) {
            let file = base.as_deref().unwrap_or(Path::new("/")).join(file);
            if let Ok(about) = tokio::fs::metadata(&file).await {
                hasher.update(about.len().to_le_bytes());
                let age = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
                hasher.update(age.unwrap_or_default().as_nanos().to_le_bytes());
            }
        }
    }
    Some(hasher.finalize().into())
}
