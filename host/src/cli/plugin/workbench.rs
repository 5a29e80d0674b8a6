//! An engine for an author's desk: it makes plugins as a gateway does and calls their stages,
//! with no gateway around.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::model::time::Clock;
use crate::plugin::document::{DocumentFormat, Fault};
use crate::plugin::generation::Origin;
use crate::plugin::plugin::Plugin;
use crate::plugin::plugins::{ApplyError, Plugins, Sent, Settings};
use crate::plugin::reach::Outside;
use crate::plugin::report::Report;
use crate::plugin::rules::Rules;
use crate::plugin::stage::{Kind, PrepareOutput, Stage, Subject};
use crate::plugin::standing::{self, Standing};
use crate::plugin::{input, output};

/// Compiled components that are kept for the next time, by an author who builds all day.
const KEPT: usize = 16;
/// The name of a plugin that no document names.
pub const UNNAMED: &str = "under-test";

pub struct Workbench {
    plugins: Plugins,
    _cache: Cache,
}

impl Workbench {
    pub fn new() -> anyhow::Result<Self> {
        Self::with(Plugins::idle, Outside::of_a_tool())
    }

    /// One whose plugins reach what somebody wrote for them, and nothing else.
    pub fn reaching(outside: Outside) -> anyhow::Result<Self> {
        Self::with(Plugins::idle, outside)
    }

    /// One that counts the instructions of guests, which makes them slower than a gateway's.
    pub fn counting() -> anyhow::Result<Self> {
        Self::with(Plugins::counting, Outside::of_a_tool())
    }

    fn with(
        make: impl FnOnce(Settings, Clock) -> anyhow::Result<Plugins>,
        outside: Outside,
    ) -> anyhow::Result<Self> {
        let cache = Cache::new()?;
        let settings = Settings {
            cache_dir: cache.folder().to_owned(),
            document: None,
            db: None,
            outside,
            rules: Rules::default(),
        };
        Ok(Self { plugins: make(settings, Clock::system())?, _cache: cache })
    }

    /// Makes one plugin of a component; `more` are further members of its `[[plugin]]`.
    pub async fn plugin(&self, component: &Path, more: Value) -> anyhow::Result<Arc<Plugin>> {
        match self.try_plugin(component, more).await? {
            Ok(plugin) => Ok(plugin),
            Err(faults) => {
                for fault in &faults {
                    eprintln!("{}", told(fault));
                }
                bail!("{} faults", faults.len())
            }
        }
    }

    /// As [`Workbench::plugin`], with the faults as a value.
    pub async fn try_plugin(
        &self,
        component: &Path,
        more: Value,
    ) -> anyhow::Result<Result<Arc<Plugin>, Vec<Fault>>> {
        let component = std::path::absolute(component)?;
        let mut entry = more;
        if entry.get("name").is_none() {
            entry["name"] = json!(UNNAMED);
        }
        entry["source"] = json!(format!("file:{}", component.display()));
        let text = json!({"plugin": [entry]}).to_string();
        let sent = Sent { text, format: DocumentFormat::Json, origin: Origin::Api };
        match self.plugins.apply(sent, false).await {
            Ok(generation) => {
                let plugin = generation.plugins.first().context("the document holds no plugin")?;
                Ok(Ok(plugin.clone()))
            }
            Err(ApplyError::Faults(faults)) => Ok(Err(faults)),
            Err(error) => Err(error.into()),
        }
    }
}

pub fn told(fault: &Fault) -> String {
    let place = if fault.pointer.is_empty() { "(document)" } else { &fault.pointer };
    format!("{place}: {}", fault.message)
}

/// The stage that is meant, when the component leaves no doubt or it is named.
pub fn stage(plugin: &Plugin, named: Option<&str>) -> Result<Stage, String> {
    let names = || plugin.stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>().join(", ");
    match (named, plugin.stages.as_slice()) {
        (None, [stage]) => Ok(*stage),
        (None, _) => Err(format!("the component serves {}; say which stage", names())),
        (Some(named), stages) => {
            let found = stages.iter().find(|stage| stage.as_str() == named).copied();
            found.ok_or_else(|| format!("the component does not serve `{named}`; it serves {}", names()))
        }
    }
}

/// Calls a stage with an input as a file says it. An input of another shape is an error.
pub async fn call(plugin: &Plugin, stage: Stage, given: &Value) -> anyhow::Result<Report<Value>> {
    let subject = Subject {
        task_id: "00000000-0000-4000-8000-000000000001".to_owned(),
        workspace_id: "00000000-0000-4000-8000-000000000002".to_owned(),
        agent_id: "00000000-0000-4000-8000-000000000003".to_owned(),
        kind: Kind::Direct,
    };
    call_for(plugin, &subject, stage, given).await
}

/// As [`call`], for a task that is known.
pub async fn call_for(
    plugin: &Plugin,
    subject: &Subject,
    stage: Stage,
    given: &Value,
) -> anyhow::Result<Report<Value>> {
    plugin.close_breakers();
    Ok(match stage {
        Stage::RepoResolution => {
            let report = plugin.resolve_repos(subject, &read::<input::RepoResolution>(given)?.into()).await;
            report.map(|resolution| output::resolution(&resolution))
        }
        Stage::McpOverlay => {
            let report = plugin.merge_mcp(subject, &read::<input::Mcp>(given)?.into(), Ok).await;
            report.map(|merged| output::merged(&merged))
        }
        Stage::SquadBriefing => {
            let report = plugin.brief_squad(subject, &read::<input::Briefing>(given)?.into()).await;
            report.map(|text| json!(text))
        }
        Stage::Enrichment => {
            let report = plugin.enrich(subject, given.to_string(), Ok).await;
            report.map(|decision| output::decision(&decision))
        }
        Stage::Finished => {
            let report = plugin.finished(subject, &given.to_string()).await;
            report.map(|()| Value::Null)
        }
        Stage::Prepare => {
            let report = plugin.prepare(subject, &read::<input::Prepare>(given)?.into(), kept).await;
            report.map(|prepared| output::prepared(&prepared))
        }
    })
}

/// As a gateway would keep it, secrets in the places of their references.
fn kept(mut prepared: PrepareOutput, standing: &[Standing]) -> Result<PrepareOutput, String> {
    let overlay: Option<Value> = prepared.overlay.as_deref().and_then(|text| serde_json::from_str(text).ok());
    if let Some(mut overlay) = overlay {
        standing::fill(&mut overlay, standing)?;
        prepared.overlay = Some(overlay.to_string());
    }
    Ok(prepared)
}

/// The JSON in a file.
pub fn read_json(file: &Path) -> anyhow::Result<Value> {
    let shown = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))
}

fn read<T: DeserializeOwned>(given: &Value) -> anyhow::Result<T> {
    serde_json::from_value(given.clone()).context("this is not an input of the stage")
}

/// Where compiled code is kept: in the author's own cache, so that what did not change is not
/// compiled again. An interpreter takes many seconds.
pub enum Cache {
    Kept(PathBuf),
    /// Whoever has no home keeps nothing.
    Passing(TempDir),
}

impl Cache {
    pub fn new() -> anyhow::Result<Self> {
        let named =
            |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
        Ok(match caches {
            Some(caches) => Self::Kept(caches.join("switchyard/compiled")),
            None => Self::Passing(tempfile::tempdir()?),
        })
    }

    pub fn folder(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Passing(folder) => folder.path(),
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        forget_oldest(self.folder());
    }
}

/// Removes the code that was compiled longest ago.
fn forget_oldest(folder: &Path) {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries(folder).flat_map(|engine| entries(&engine.path()).collect::<Vec<_>>());
    let mut files: Vec<(SystemTime, PathBuf)> = files
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .filter(|(_, path)| path.extension().is_some_and(|extension| extension == "cwasm"))
        .collect();
    files.sort();
    let over = files.len().saturating_sub(KEPT);
    for (_, path) in &files[..over] {
        // Somebody else may have been faster.
        let _ = fs::remove_file(path);
    }
}
