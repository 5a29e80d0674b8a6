//! `switchyard plugin dev`: what an author changes runs in a gateway a moment later. It builds,
//! tries the cases, and applies the gateway's own document with this plugin in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::remote::{self, Access};
use super::{beside, build, cases};
use crate::telemetry;

#[derive(clap::Args)]
pub struct Args {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    access: Access,
}

/// How often the folder is looked at. It has a few dozen files, and a look needs no support of
/// the file system.
const LOOK: Duration = Duration::from_millis(250);
/// Folders that tools fill.
const NOT_SOURCES: [&str; 4] = ["target", "node_modules", "__pycache__", "bindings"];
/// A folder that holds more is not a plugin's.
const MAX_FILES: usize = 10_000;

type Seen = Vec<(PathBuf, SystemTime, u64)>;

pub async fn run(args: Args) -> anyhow::Result<()> {
    telemetry::init_for_tools();
    let folder = std::path::absolute(&args.folder)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let seen = look(&folder);
        let round = round(&folder, &args.access);
        tokio::select! {
            done = round => match done {
                Ok(told) => println!("{told}"),
                Err(error) => println!("not applied: {error:#}"),
            },
            () = either(&mut interrupt, &mut terminate) => break,
        }
        println!("waiting for a change in {}", folder.display());
        tokio::select! {
            () = changed(&folder, &seen) => println!("something changed"),
            () = either(&mut interrupt, &mut terminate) => break,
        }
    }
    println!("ended; the gateway goes on with what it has");
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// From sources to a gateway that runs them; what it says is for the author.
async fn round(folder: &Path, access: &Access) -> anyhow::Result<String> {
    let sources = folder.to_owned();
    let component = tokio::task::spawn_blocking(move || build::build(&sources, None)).await??;
    let file = folder.join("cases.yaml");
    if file.is_file() {
        let outcomes = cases::try_all(&component, &file).await?;
        cases::show(&outcomes);
        let failed = cases::failed(&outcomes);
        anyhow::ensure!(failed == 0, "{failed} of {} cases failed", outcomes.len());
    }
    let entry = entry(&component)?;
    let name = remote::word(&entry, "name").to_owned();
    let document = with(current(access).await?, entry);
    let request = access.request(Method::PUT, "/admin/plugins").json(&document);
    let applied = remote::send(request).await?;
    Ok(format!("generation {} runs `{name}`", applied["generation"]))
}

/// The plugin's `[[plugin]]`: as in plugins.toml beside the component, or what is needed.
fn entry(component: &Path) -> anyhow::Result<Value> {
    let mut entry = beside::entry(component)?;
    if entry.get("name").is_none() {
        let name = component.file_stem().and_then(|name| name.to_str());
        entry["name"] = json!(name.context("the component's name is not UTF-8")?);
    }
    entry["source"] = json!(format!("file:{}", component.display()));
    Ok(entry)
}

/// The document that the gateway runs.
async fn current(access: &Access) -> anyhow::Result<Value> {
    let running = remote::send(access.request(Method::GET, "/admin/plugins")).await?;
    let path = format!("/admin/plugins/generations/{}", running["generation"]);
    let mut kept = remote::send(access.request(Method::GET, &path)).await?;
    Ok(kept["document"].take())
}

/// The document with the entry in the place of the one with its name, or at the end.
fn with(mut document: Value, entry: Value) -> Value {
    if !document["plugin"].is_array() {
        document = json!({"plugin": []});
    }
    if let Some(entries) = document["plugin"].as_array_mut() {
        match entries.iter_mut().find(|existing| existing["name"] == entry["name"]) {
            Some(existing) => *existing = entry,
            None => entries.push(entry),
        }
    }
    document
}

/// Ends when the folder is not as it was, and has been at rest for a moment.
async fn changed(folder: &Path, seen: &Seen) {
    let mut last = look(folder);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = look(folder);
        if now == last && now != *seen {
            return;
        }
        last = now;
    }
}

/// Path, age and size of each source, in order.
fn look(folder: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(about) = entry.metadata() else { continue };
            if name.starts_with('.') || seen.len() >= MAX_FILES {
                continue;
            }
            if about.is_dir() {
                if !NOT_SOURCES.contains(&&*name) {
                    folders.push(entry.path());
                }
            } else if !name.ends_with(".wasm") && !name.ends_with(".draft") {
                let changed = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                seen.push((entry.path(), changed, about.len()));
            }
        }
    }
    seen.sort();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_the_place_of_its_namesake() {
        let document = json!({"plugin": [{"name": "a", "source": "x"}, {"name": "b", "source": "y"}]});
        let replaced = with(document.clone(), json!({"name": "a", "source": "z"}));
        assert_eq!(replaced["plugin"][0]["source"], "z");
        assert_eq!(replaced["plugin"][1], document["plugin"][1]);
        let added = with(document, json!({"name": "c", "source": "z"}));
        assert_eq!(added["plugin"].as_array().map(Vec::len), Some(3));
        assert_eq!(with(Value::Null, json!({"name": "c"}))["plugin"][0]["name"], "c");
    }
}
