//! One configured component, and calling it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use super::bindings::exports::switchyard::plugin::{finished, manifest};
use super::bindings::switchyard::plugin::types;
use super::breaker::Breaker;
use super::component::Component;
use super::convert;
use super::counters::{Counters, CountersBody};
use super::error::PluginError;
use super::imports::Host;
use super::limits::{Limits, MAX_ITEMS, Memory};
use super::stage::{
    BriefingInput, Decision, McpInput, Merged, Operation, Repo, RepoInput, Resolution, Stage, Subject,
};

/// How long a call waits for a place before it gives up.
const QUEUE_WAIT: Duration = Duration::from_millis(250);
/// The most that is kept of what a guest says of a failure or a trap.
const MESSAGE_BYTES: usize = 2048;
/// What host functions may copy for a guest in one call.
const HOSTCALL_FUEL: usize = 16 << 20;

/// What a claim does when this plugin fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It goes on without the plugin's part.
    #[default]
    Skip,
    /// The task goes back to the queue.
    Fail,
}

/// What was granted by name; everything else is refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Grants {
    /// Variables it may put into the agent's environment.
    pub env: Vec<String>,
    /// JSON Pointers it may set.
    pub write: Vec<String>,
    pub view_custom_env: bool,
    pub view_mcp_secrets: bool,
}

/// What the document says of a plugin, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub name: String,
    pub stages: Vec<Stage>,
    pub on_error: OnError,
    /// JSON text that satisfied the plugin's schema.
    pub config: String,
    pub limits: Limits,
    pub grants: Grants,
}

pub struct Plugin {
    pub name: String,
    pub version: String,
    pub sha256: String,
    pub stages: Vec<Stage>,
    pub on_error: OnError,
    pub grants: Grants,
    pub limits: Limits,
    config: String,
    component: Arc<Component>,
    places: Arc<Semaphore>,
    /// Shared by all plugins: what the pool of instances holds.
    pool: Arc<Semaphore>,
    breaker: Breaker,
    counters: Counters,
}

/// Waited for a place, made the instance, ran the guest: microseconds each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    pub queue_us: u64,
    pub instantiate_us: u64,
    pub guest_us: u64,
}

/// What came of a call, and how long it took.
#[derive(Debug)]
pub struct Report<T> {
    pub result: Result<T, PluginError>,
    pub times: Times,
}

/// What a guest's function gives: a trap, a failure it tells of, or a value.
type Returned<T> = wasmtime::Result<Result<T, types::Failure>>;

impl Plugin {
    pub fn new(entry: Entry, version: String, component: Arc<Component>, pool: Arc<Semaphore>) -> Self {
        Self {
            name: entry.name,
            version,
            sha256: component.sha256.clone(),
            stages: entry.stages,
            on_error: entry.on_error,
            grants: entry.grants,
            places: Arc::new(Semaphore::new(entry.limits.max_concurrent)),
            limits: entry.limits,
            config: entry.config,
            component,
            pool,
            breaker: Breaker::default(),
            counters: Counters::default(),
        }
    }

    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }

    pub fn counters(&self) -> CountersBody {
        self.counters.body()
    }

    pub fn breaker_state(&self) -> &'static str {
        self.breaker.name(Instant::now())
    }

    /// Stage `repo-resolution`.
    pub async fn resolve_repos(&self, subject: &Subject, input: &RepoInput) -> Report<Resolution> {
        let Some(indices) = self.component.repo_resolution.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::repo_input(input));
        let bytes = input.workspace_repos.iter().map(repo_bytes).sum::<usize>()
            + input.resources.iter().map(|resource| resource.resource_ref.len() + 64).sum::<usize>();
        let report = self
            .run(&subject.task_id, bytes, move |store, instance| {
                Box::pin(async move {
                    indices.load(&mut *store, instance)?.call_resolve(&mut *store, &call, &given).await
                })
            })
            .await;
        self.checked(report.map(convert::resolution), |resolution| match resolution {
            Resolution::Workspace => (0, 0),
            Resolution::These(repos) => (repos.iter().map(repo_bytes).sum(), repos.len()),
        })
    }

    /// Stage `mcp-overlay`.
    pub async fn merge_mcp(&self, subject: &Subject, input: &McpInput) -> Report<Merged> {
        let Some(indices) = self.component.mcp_overlay.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::mcp_input(input));
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let report = self
            .run(
                &subject.task_id,
                length(&input.agent_config) + length(&input.overlay),
                move |store, instance| {
                    Box::pin(async move {
                        indices.load(&mut *store, instance)?.call_merge(&mut *store, &call, &given).await
                    })
                },
            )
            .await;
        self.checked(report.map(convert::merged), |merged| match merged {
            Merged::Config(text) => (text.len(), 1),
            Merged::AgentConfig | Merged::None => (0, 0),
        })
    }

    /// Stage `squad-briefing`.
    pub async fn brief_squad(&self, subject: &Subject, input: &BriefingInput) -> Report<Option<String>> {
        let Some(indices) = self.component.squad_briefing.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::briefing_input(input));
        let members = input.members.iter().map(|member| {
            let skills = member.skills.iter().flatten().map(String::len).sum::<usize>();
            member.name.len() + member.role.len() + skills + 64
        });
        let bytes = input.squad_instructions.len() + members.sum::<usize>();
        let report = self
            .run(&subject.task_id, bytes, move |store, instance| {
                Box::pin(async move {
                    indices.load(&mut *store, instance)?.call_brief(&mut *store, &call, &given).await
                })
            })
            .await;
        self.checked(report, |text| (text.as_ref().map_or(0, String::len), 1))
    }

    /// Stage `enrichment`; the claim is JSON text.
    pub async fn enrich(&self, subject: &Subject, claim: &str) -> Report<Decision> {
        let Some(indices) = self.component.enrichment.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::enrichment_input(claim));
        let report = self
            .run(&subject.task_id, claim.len(), move |store, instance| {
                Box::pin(async move {
                    indices.load(&mut *store, instance)?.call_enrich(&mut *store, &call, &given).await
                })
            })
            .await;
        self.checked(report.map(convert::decision), |decision| match decision {
            Decision::Deny { code, reason } => (code.len() + reason.len(), 1),
            Decision::Patch(operations) => (operations.iter().map(operation_bytes).sum(), operations.len()),
        })
    }

    /// Stage `finished`; the task is JSON text.
    pub async fn finished(&self, subject: &Subject, task: &str) -> Report<()> {
        let Some(indices) = self.component.finished.clone() else { return Report::missing() };
        let call = self.call(subject);
        let given = finished::Input { task: task.to_owned(), attributes: Vec::new() };
        let report = self
            .run(&subject.task_id, task.len(), move |store, instance| {
                Box::pin(async move {
                    indices.load(&mut *store, instance)?.call_finished(&mut *store, &call, &given).await
                })
            })
            .await;
        self.checked(report, |()| (0, 0))
    }

    fn call(&self, subject: &Subject) -> types::Call {
        convert::call(subject, &self.config, self.limits.cpu_ms)
    }

    /// One call in a fresh sandbox, under every limit.
    async fn run<T, F>(&self, task: &str, input_bytes: usize, call: F) -> Report<T>
    where
        F: for<'a> FnOnce(&'a mut Store<Host>, &'a Instance) -> BoxFuture<'a, Returned<T>> + Send,
    {
        if input_bytes > self.limits.max_input_bytes {
            let limit = self.limits.max_input_bytes;
            return Report::refused(PluginError::TooLarge { what: "input", bytes: input_bytes, limit });
        }
        if !self.breaker.admits(Instant::now()) {
            return Report::refused(PluginError::BreakerOpen);
        }
        let queued = Instant::now();
        let Some(_places) = self.place().await else {
            return Report { result: Err(PluginError::Overloaded), times: Times::queued(queued) };
        };
        let times = Times::queued(queued);
        let mut sandbox = Sandbox::new(&self.component, &self.name, task, &self.limits);
        let outcome = sandbox.run(&self.component, self.limits, times, call).await;
        self.counters.record(
            outcome.result.as_ref().err(),
            outcome.times.instantiate_us + outcome.times.guest_us,
            sandbox.dropped_lines(),
        );
        outcome
    }

    /// A place of this plugin's and one of the pool's.
    async fn place(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        if let (Ok(own), Ok(pool)) =
            (self.places.clone().try_acquire_owned(), self.pool.clone().try_acquire_owned())
        {
            return Some((own, pool));
        }
        let both = async {
            let own = self.places.clone().acquire_owned().await.ok()?;
            Some((own, self.pool.clone().acquire_owned().await.ok()?))
        };
        tokio::time::timeout(QUEUE_WAIT, both).await.ok().flatten()
    }

    /// Looks at the size of what came out, and tells the breaker how it went. A failure that
    /// the guest tells of itself is not a fault of the plugin's.
    fn checked<T>(&self, mut report: Report<T>, size: impl Fn(&T) -> (usize, usize)) -> Report<T> {
        if let Ok(value) = &report.result {
            let (bytes, items) = size(value);
            let limit = self.limits.max_output_bytes;
            if bytes > limit {
                report.result = Err(PluginError::TooLarge { what: "output", bytes, limit });
            } else if items > MAX_ITEMS {
                let problem = format!("{items} items are over the {MAX_ITEMS} that one call may give");
                report.result = Err(PluginError::InvalidOutput(problem));
            }
        }
        match &report.result {
            Ok(_) | Err(PluginError::Failed { .. }) => self.breaker.record(true, Instant::now()),
            // Not the guest's doing.
            Err(PluginError::BreakerOpen | PluginError::Overloaded | PluginError::NoSuchStage) => {}
            Err(_) => self.breaker.record(false, Instant::now()),
        }
        report
    }
}

/// What a component says of itself, asked under the same limits as any call.
pub async fn describe(component: &Component, limits: Limits) -> Result<manifest::Description, PluginError> {
    let indices = component.manifest.clone();
    let mut sandbox = Sandbox::new(component, "unnamed", "", &limits);
    let report = sandbox
        .run(component, limits, Times::default(), move |store, instance| {
            Box::pin(
                async move { indices.load(&mut *store, instance)?.call_describe(&mut *store).await.map(Ok) },
            )
        })
        .await;
    report.result
}

/// A fresh store: nothing survives from one call to the next.
struct Sandbox {
    store: Store<Host>,
}

/// The guest used up its time; told apart from other traps by its type.
#[derive(Debug, thiserror::Error)]
#[error("the guest's time is up")]
struct TimeUp;

impl Sandbox {
    fn new(component: &Component, plugin: &str, task: &str, limits: &Limits) -> Self {
        let host = Host::new(plugin, task, Memory::new(limits.memory_bytes()), limits.ticks());
        let mut store = Store::new(component.pre.engine(), host);
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        // Fires only while the guest runs, so a wait is not billed; each time it lets other
        // work of this thread go first.
        store.epoch_deadline_callback(|mut store| {
            let host = store.data_mut();
            host.ticks += 1;
            if host.ticks >= host.max_ticks {
                return Err(TimeUp.into());
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store.set_epoch_deadline(1);
        Self { store }
    }

    fn dropped_lines(&self) -> u32 {
        self.store.data().dropped_lines()
    }

    async fn run<T, F>(
        &mut self,
        component: &Component,
        limits: Limits,
        mut times: Times,
        call: F,
    ) -> Report<T>
    where
        F: for<'a> FnOnce(&'a mut Store<Host>, &'a Instance) -> BoxFuture<'a, Returned<T>> + Send,
    {
        let began = Instant::now();
        let work = async {
            let instance = component.pre.instantiate_async(&mut self.store).await?;
            times.instantiate_us = micros(began);
            call(&mut self.store, &instance).await
        };
        let ended = tokio::time::timeout(limits.wall(), work).await;
        times.guest_us = micros(began).saturating_sub(times.instantiate_us);
        let result = match ended {
            Err(_) => Err(PluginError::Timeout(limits.wall_ms)),
            Ok(Err(error)) => Err(self.why(&error, limits)),
            Ok(Ok(Err(failure))) => {
                Err(PluginError::Failed { code: cut(&failure.code), message: cut(&failure.message) })
            }
            Ok(Ok(Ok(value))) => Ok(value),
        };
        Report { result, times }
    }

    fn why(&self, error: &wasmtime::Error, limits: Limits) -> PluginError {
        if error.downcast_ref::<TimeUp>().is_some() {
            PluginError::Deadline(limits.cpu_ms)
        } else if self.store.data().memory.was_refused() {
            PluginError::OutOfMemory(limits.memory_mib)
        } else {
            PluginError::Trapped(cut(&error.root_cause().to_string()))
        }
    }
}

impl<T> Report<T> {
    fn refused(error: PluginError) -> Self {
        Self { result: Err(error), times: Times::default() }
    }

    fn missing() -> Self {
        Self::refused(PluginError::NoSuchStage)
    }

    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Report<U> {
        Report { result: self.result.map(convert), times: self.times }
    }
}

impl Times {
    fn queued(since: Instant) -> Self {
        Self { queue_us: micros(since), ..Self::default() }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_BYTES)].to_owned()
}

fn repo_bytes(repo: &Repo) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    repo.url.len() + length(&repo.description) + length(&repo.reference)
}

fn operation_bytes(operation: &Operation) -> usize {
    match operation {
        Operation::AppendInstructions(text) | Operation::AppendContext(text) | Operation::AddArg(text) => {
            text.len()
        }
        Operation::AddRepo(repo) => repo_bytes(repo),
        Operation::PutMcpServer(name, text) | Operation::PutEnv(name, text) | Operation::Set(name, text) => {
            name.len() + text.len()
        }
    }
}
