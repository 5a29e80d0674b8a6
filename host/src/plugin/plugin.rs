//! One configured component, and calling it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::bindings::exports::switchyard::plugin::finished;
use super::bindings::switchyard::plugin::types;
use super::component::Component;
use super::convert;
use super::counters::{Counters, CountersBody};
use super::error::PluginError;
use super::grants::Grants;
use super::imports::Host;
use super::lane::Lane;
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
use super::standing::Standing;
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
    /// Of the calls that tasks wait for which are about to be queued.
    pub enqueue_limits: Limits,
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
    claims: Lane,
    enqueues: Lane,
    /// Shared by all plugins: what the pool of instances holds.
    pool: Arc<Semaphore>,
    warm: Warm,
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
            reach: Reach::new(
                &entry.name,
                &entry.grants,
                secrets,
                &entry.limits,
                &outside,
                both,
                entry.role == Role::Shadow,
            ),
            name: entry.name,
            version,
            sha256: component.sha256.clone(),
            stages: entry.stages,
            policy: entry.policy,
            origin: entry.origin,
            grants: entry.grants,
            warm: Warm::new(&entry.limits, warm),
            claims: Lane::of_claims(entry.limits),
            enqueues: Lane::of_enqueues(entry.enqueue_limits),
            limits: entry.limits,
            role: entry.role,
            config: entry.config,
            component,
            pool,
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
        matches!(self.role, Role::Canary { .. })
            && (self.claims.breaker.is_open() || self.enqueues.breaker.is_open())
    }

    /// For an author's desk, where each call is asked for whatever came of those before.
    pub fn close_breakers(&self) {
        self.claims.breaker.close();
        self.enqueues.breaker.close();
    }

    /// Of both lanes the one that is further from closed.
    pub fn breaker_state(&self) -> &'static str {
        let now = Instant::now();
        let states = [self.claims.breaker.name(now), self.enqueues.breaker.name(now)];
        ["open", "half_open"].into_iter().find(|state| states.contains(state)).unwrap_or("closed")
    }

    /// Stage `prepare`. `accept` gets what came back, and the references in it; what it refuses
    /// is a failure of the plugin's.
    pub async fn prepare<T>(
        &self,
        subject: &Subject,
        input: &PrepareInput,
        accept: impl FnOnce(PrepareOutput, &[Standing]) -> Result<T, String>,
    ) -> Report<T> {
        let Some(indices) = self.component.prepare.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::prepare_input(input));
        let lane = &self.enqueues;
        let report = self.run(lane, subject, size::of_prepare_input(input), move |store, instance| {
            Box::pin(async move {
                let output =
                    indices.load(&mut *store, instance)?.call_prepare(&mut *store, &call, &given).await?;
                Ok(output.map(|output| (output, store.data().standing())))
            })
        });
        let report = report.await.map(|(output, standing)| (convert::prepared(output), standing));
        let size = |(output, _): &(PrepareOutput, Vec<Standing>)| size::of_prepare_output(output);
        self.judge(lane, report, size, |(output, standing)| accept(output, &standing))
    }

    /// Stage `repo-resolution`.
    pub async fn resolve_repos(&self, subject: &Subject, input: &RepoInput) -> Report<Resolution> {
        let Some(indices) = self.component.repo_resolution.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::repo_input(input));
        let report = self.run(&self.claims, subject, size::of_repo_input(input), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_resolve(&mut *store, &call, &given).await
            })
        });
        self.judge(&self.claims, report.await.map(convert::resolution), size::of_resolution, Ok)
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
        let report = self.run(&self.claims, subject, size::of_mcp_input(input), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_merge(&mut *store, &call, &given).await
            })
        });
        self.judge(&self.claims, report.await.map(convert::merged), size::of_merged, accept)
    }

    /// Stage `squad-briefing`.
    pub async fn brief_squad(&self, subject: &Subject, input: &BriefingInput) -> Report<Option<String>> {
        let Some(indices) = self.component.squad_briefing.clone() else { return Report::missing() };
        let (call, given) = (self.call(subject), convert::briefing_input(input));
        let report =
            self.run(&self.claims, subject, size::of_briefing_input(input), move |store, instance| {
                Box::pin(async move {
                    indices.load(&mut *store, instance)?.call_brief(&mut *store, &call, &given).await
                })
            });
        self.judge(&self.claims, report.await, |text| Size::of(text.as_ref().map_or(0, String::len)), Ok)
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
        let report = self.run(&self.claims, subject, bytes, move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_enrich(&mut *store, &call, &given).await
            })
        });
        self.judge(&self.claims, report.await.map(convert::decision), size::of_decision, accept)
    }

    /// Stage `finished`; the task is JSON text.
    pub async fn finished(&self, subject: &Subject, task: &str) -> Report<()> {
        let Some(indices) = self.component.finished.clone() else { return Report::missing() };
        let call = self.call(subject);
        let given = finished::Input { task: task.to_owned(), attributes: Vec::new() };
        let report = self.run(&self.claims, subject, task.len(), move |store, instance| {
            Box::pin(async move {
                indices.load(&mut *store, instance)?.call_finished(&mut *store, &call, &given).await
            })
        });
        self.judge(&self.claims, report.await, |()| Size::of(0), Ok)
    }

    fn call(&self, subject: &Subject) -> types::Call {
        convert::call(subject, &self.config, self.limits.cpu_ms)
    }

    /// One call in a fresh sandbox, or one that was kept, under every limit.
    async fn run<T, F>(&self, lane: &Lane, subject: &Subject, input_bytes: usize, call: F) -> Report<T>
    where
        F: for<'a> FnOnce(&'a mut Store<Host>, &'a Instance) -> BoxFuture<'a, Returned<T>> + Send,
    {
        let limit = self.limits.max_input_bytes;
        if input_bytes > limit {
            return Report::refused(PluginError::TooLarge { what: "input", bytes: input_bytes, limit });
        }
        let queued = Instant::now();
        let Some(_admission) = lane.breaker.admit(queued) else {
            return Report::refused(PluginError::BreakerOpen);
        };
        let Some(_places) = lane.place(&self.pool).await else {
            return Report { times: Times::queued(queued), ..Report::refused(PluginError::Overloaded) };
        };
        let limits = lane.limits(queued);
        let times = Times { bytes_in: input_bytes as u64, ..Times::queued(queued) };
        let names = (self.name.as_str(), subject.task_id.as_str());
        let (mut sandbox, calls) = match self.warm.take() {
            Some((mut sandbox, calls)) => {
                sandbox.renew(names, &limits, Some(self.reach.clone()));
                (sandbox, calls)
            }
            None => (Sandbox::new(&self.component, names, &limits, Some(self.reach.clone())), 0),
        };
        sandbox.share_log(LogShare::new(&limits, self.log.clone()));
        let report = sandbox.run(&self.component, &limits, times, call).await;
        for counters in [&self.counters, &self.totals] {
            counters.dropped_lines(sandbox.dropped_lines());
        }
        self.warm.keep(sandbox, calls + 1, report.result.as_ref().err());
        report
    }

    /// Looks at what came out, and remembers how the call went.
    fn judge<T, U>(
        &self,
        lane: &Lane,
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
        if lane.record(result.as_ref().err()) && self.is_lost_canary() {
            self.alarm.notify_one();
        }
        Report { result, times, instructions: report.instructions }
    }
}
