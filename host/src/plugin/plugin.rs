//! One configured component, and calling it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::bindings::exports::switchyard::plugin::finished;
use super::bindings::switchyard::plugin::types;
use super::breaker::Breaker;
use super::component::Component;
use super::convert;
use super::counters::{Counters, CountersBody};
use super::error::PluginError;
use super::grants::Grants;
use super::imports::Host;
use super::limits::{Limits, MAX_ITEMS};
use super::log_share::{LogShare, Minute};
use super::policy::Policy;
use super::reach::{Outside, Reach, Secrets};
use super::report::{Report, Times};
use super::rollout::Role;
use super::sandbox::{Returned, Sandbox};
use super::size::{self, Size};
use super::stage::{
    BriefingInput, Decision, McpInput, Merged, PrepareInput, PrepareOutput, RepoInput, Resolution, Stage,
    Subject,
};
use super::warm::Warm;

/// What the document says of a plugin, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub name: String,
    pub stages: Vec<Stage>,
    pub policy: Policy,
    /// JSON text that satisfied the plugin's schema.
    pub config: String,
    pub limits: Limits,
    pub grants: Grants,
    pub role: Role,
    /// Where it came from.
    pub origin: Provenance,
}

/// Where a component came from, and who vouches for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Provenance {
    /// As the document says, a tag with the digest it stood for.
    pub source: String,
    /// The trusted key that signed it.
    pub signed_by: Option<String>,
}

/// What a plugin is given by its gateway.
pub struct Workplace {
    pub pool: Arc<Semaphore>,
    pub warm: Arc<Semaphore>,
    pub outside: Outside,
    pub secrets: Secrets,
    pub totals: Arc<Counters>,
    pub alarm: Arc<Notify>,
}

pub struct Plugin {
    pub name: String,
    pub version: String,
    pub sha256: String,
    pub stages: Vec<Stage>,
    pub policy: Policy,
    pub grants: Grants,
    pub limits: Limits,
    pub role: Role,
    pub origin: Provenance,
    config: String,
    component: Arc<Component>,
    places: Semaphore,
    /// Shared by all plugins: what the pool of instances holds.
    pool: Arc<Semaphore>,
    warm: Warm,
    breaker: Breaker,
    log: Arc<Minute>,
    reach: Arc<Reach>,
    counters: Arc<Counters>,
    /// Those of every plugin that has had this name.
    totals: Arc<Counters>,
    /// Told when this is a canary and its breaker opens.
    alarm: Arc<Notify>,
}

impl Plugin {
    pub fn new(entry: Entry, version: String, component: Arc<Component>, workplace: Workplace) -> Self {
        let Workplace { pool, warm, outside, secrets, totals, alarm } = workplace;
        let counters = Arc::<Counters>::default();
        let both = [counters.clone(), totals.clone()];
        Self {
            reach: Reach::new(&entry.name, &entry.grants, secrets, &entry.limits, &outside, both),
            name: entry.name,
            version,
            sha256: component.sha256.clone(),
            stages: entry.stages,
            policy: entry.policy,
            origin: entry.origin,
            grants: entry.grants,
            places: Semaphore::new(entry.limits.max_concurrent),
            warm: Warm::new(&entry.limits, warm),
            limits: entry.limits,
            role: entry.role,
            config: entry.config,
            component,
            pool,
            breaker: Breaker::default(),
            log: Arc::default(),
            counters,
            totals,
            alarm,
        }
    }

    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }

    pub fn counters(&self) -> CountersBody {
        self.counters.body()
    }

    /// A canary that failed too often to go on with.
    pub fn is_lost_canary(&self) -> bool {
        matches!(self.role, Role::Canary { .. }) && self.breaker.is_open()
    }

    pub fn breaker_state(&self) -> &'static str {
        self.breaker.name(Instant::now())
    }

    /// Stage `prepare`. What `accept` refuses is a failure of the plugin's.
    pub async fn prepare<T>(
        &self,
        subject: &Subject,
        input: &PrepareInput,
        accept: impl FnOnce(PrepareOutput) -> Result<T, String>,
    ) -> Report<T> {
        let Some(indices) = self.component.prepare.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::prepare_input(input));
        let report = self.run(subject, size::of_prepare_input(input), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_prepare(&mut *store, &call, &given).await
            })
        });
        self.judge(report.await.map(convert::prepared), size::of_prepare_output, accept)
    }

    /// Stage `repo-resolution`.
    pub async fn resolve_repos(&self, subject: &Subject, input: &RepoInput) -> Report<Resolution> {
        let Some(indices) = self.component.repo_resolution.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::repo_input(input));
        let report = self.run(subject, size::of_repo_input(input), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_resolve(&mut *store, &call, &given).await
            })
        });
        self.judge(report.await.map(convert::resolution), size::of_resolution, Ok)
    }

    /// Stage `mcp-overlay`. What `accept` refuses is a failure of the plugin's.
    pub async fn merge_mcp<T>(
        &self,
        subject: &Subject,
        input: &McpInput,
        accept: impl FnOnce(Merged) -> Result<T, String>,
    ) -> Report<T> {
        let Some(indices) = self.component.mcp_overlay.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::mcp_input(input));
        let report = self.run(subject, size::of_mcp_input(input), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_merge(&mut *store, &call, &given).await
            })
        });
        self.judge(report.await.map(convert::merged), size::of_merged, accept)
    }

    /// Stage `squad-briefing`.
    pub async fn brief_squad(&self, subject: &Subject, input: &BriefingInput) -> Report<Option<String>> {
        let Some(indices) = self.component.squad_briefing.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::briefing_input(input));
        let report = self.run(subject, size::of_briefing_input(input), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_brief(&mut *store, &call, &given).await
            })
        });
        self.judge(report.await, |text| Size::of(text.as_ref().map_or(0, String::len)), Ok)
    }

    /// Stage `enrichment`; the claim is JSON text. What `accept` refuses is a failure of the
    /// plugin's.
    pub async fn enrich<T>(
        &self,
        subject: &Subject,
        claim: String,
        accept: impl FnOnce(Decision) -> Result<T, String>,
    ) -> Report<T> {
        let Some(indices) = self.component.enrichment.clone() else { return Report::missing() };
        let (call, bytes) = (self.call(subject), claim.len());
        let given = convert::enrichment_input(claim);
        let report = self.run(subject, bytes, move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_enrich(&mut *store, &call, &given).await
            })
        });
        self.judge(report.await.map(convert::decision), size::of_decision, accept)
    }

    /// Stage `finished`; the task is JSON text.
    pub async fn finished(&self, subject: &Subject, task: &str) -> Report<()> {
        let Some(indices) = self.component.finished.clone() else { return Report::missing() };
        let call = self.call(subject);
        let given = finished::Input { task: task.to_owned(), attributes: Vec::new() };
        let report = self.run(subject, task.len(), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_finished(&mut *store, &call, &given).await
            })
        });
        self.judge(report.await, |()| Size::of(0), Ok)
    }

    fn call(&self, subject: &Subject) -> types::Call {
        convert::call(subject, &self.config, self.limits.cpu_ms)
    }

    /// One call in a fresh sandbox, or one that was kept, under every limit.
    async fn run<T, F>(&self, subject: &Subject, input_bytes: usize, call: F) -> Report<T>
    where
        F: for<'a> FnOnce(&'a mut Store<Host>, &'a Instance) -> BoxFuture<'a, Returned<T>> + Send,
    {
        let limit = self.limits.max_input_bytes;
        if input_bytes > limit {
            return Report::refused(PluginError::TooLarge { what: "input", bytes: input_bytes, limit });
        }
        let queued = Instant::now();
        let Some(_admission) = self.breaker.admit(queued) else {
            return Report::refused(PluginError::BreakerOpen);
        };
        let Some(_places) = self.place().await else {
            return Report { times: Times::queued(queued), ..Report::refused(PluginError::Overloaded) };
        };
        let times = Times { bytes_in: input_bytes as u64, ..Times::queued(queued) };
        let names = (self.name.as_str(), subject.task_id.as_str());
        let (mut sandbox, calls) = match self.warm.take() {
            Some((mut sandbox, calls)) => {
                sandbox.renew(names, &self.limits, Some(self.reach.clone()));
                (sandbox, calls)
            }
            None => (Sandbox::new(&self.component, names, &self.limits, Some(self.reach.clone())), 0),
        };
        sandbox.share_log(LogShare::new(&self.limits, self.log.clone()));
        let report = sandbox.run(&self.component, &self.limits, times, call).await;
        for counters in [&self.counters, &self.totals] {
            counters.dropped_lines(sandbox.dropped_lines());
        }
        self.warm.keep(sandbox, calls + 1, report.result.as_ref().err());
        report
    }

    /// A place of this plugin's and one of the pool's.
    async fn place(&self) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        if let (Ok(own), Ok(pool)) = (self.places.try_acquire(), self.pool.try_acquire()) {
            return Some((own, pool));
        }
        let both = async { Some((self.places.acquire().await.ok()?, self.pool.acquire().await.ok()?)) };
        let patience = Duration::from_millis(self.limits.queue_ms);
        tokio::time::timeout(patience, both).await.ok().flatten()
    }

    /// Looks at what came out, and remembers how the call went.
    fn judge<T, U>(
        &self,
        report: Report<T>,
        size: impl FnOnce(&T) -> Size,
        accept: impl FnOnce(T) -> Result<U, String>,
    ) -> Report<U> {
        let limit = self.limits.max_output_bytes;
        let mut times = report.times;
        let result = report.result.and_then(|value| {
            let Size { bytes, items } = size(&value);
            times.bytes_out = bytes as u64;
            if bytes > limit {
                return Err(PluginError::TooLarge { what: "output", bytes, limit });
            }
            if items > MAX_ITEMS {
                let problem = format!("{items} items are over the {MAX_ITEMS} that one call may give");
                return Err(PluginError::InvalidOutput(problem));
            }
            accept(value).map_err(PluginError::InvalidOutput)
        });
        for counters in [&self.counters, &self.totals] {
            counters.record(result.as_ref().err(), times.total_us());
        }
        match &result {
            // A failure that the guest tells of itself is no fault of the plugin's.
            Ok(_) | Err(PluginError::Failed { .. }) => self.breaker.record(true, Instant::now()),
            Err(error) if error.is_the_guests() => {
                self.breaker.record(false, Instant::now());
                if self.is_lost_canary() {
                    self.alarm.notify_one();
                }
            }
            Err(_) => {}
        }
        Report { result, times, instructions: report.instructions }
    }
}
