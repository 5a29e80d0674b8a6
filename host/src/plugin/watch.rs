//! Applies the document again when its file changes, or at SIGHUP.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::document::DocumentFormat;
use super::plugins::{ApplyError, Plugins};

/// Editors write in several steps; what comes within this counts once.
const SETTLE: Duration = Duration::from_millis(50);
/// Looked at all the same, for file systems that report nothing.
const POLL: Duration = Duration::from_millis(500);
/// How long to wait when another apply is running.
const BUSY: Duration = Duration::from_millis(100);

/// Watches until the process ends. Without a configured document there is nothing to watch.
pub fn watch(plugins: Plugins) {
    if plugins.document().is_some() {
        tokio::spawn(run(plugins));
    }
}

async fn run(plugins: Plugins) {
    let Some(path) = plugins.document().map(Path::to_path_buf) else { return };
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
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let mut seen = digest(&path).await;
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                false
            }
            () = tokio::time::sleep(POLL) => false,
        };
        let now = digest(&path).await;
        // A file that is away for a moment is about to be replaced.
        if now.is_some() && (forced || now != seen) {
            seen = now;
            apply(&plugins, &path).await;
        }
    }
}

async fn apply(plugins: &Plugins, path: &Path) {
    let Ok(text) = tokio::fs::read_to_string(path).await else {
        tracing::error!(path = %path.display(), "the plugin document cannot be read; nothing changed");
        return;
    };
    let base = plugins.base_dir();
    loop {
        match plugins.apply(&text, DocumentFormat::Toml, base.as_deref(), false).await {
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
        }
    }
}

async fn digest(path: &Path) -> Option<[u8; 32]> {
    let bytes = tokio::fs::read(path).await.ok()?;
    Some(Sha256::digest(bytes).into())
}
