//! One call of a guest: a store and an instance under every limit. Both are fresh, and
//! dropped at the end, unless the plugin's document asks for some to be kept
//! ([`super::warm`]).

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use super::bindings::exports::switchyard::plugin::manifest;
use super::bindings::switchyard::plugin::types;
use super::component::Component;
use super::error::PluginError;
use super::imports::Host;
use super::limits::{Limits, Memory};
use super::log_share::LogShare;
use super::reach::Reach;
use super::report::{Report, Times, micros};

/// The most that is kept of what a guest says of a failure or a trap.
const MESSAGE_BYTES: usize = 2048;
/// What lifting a result may cost beside its text: a vector's elements are larger here than
/// in the guest.
const LIFT_SLACK: usize = 4 << 20;

/// How wasmtime says that more was about to cross than the store allows; it has no type for
/// it that can be named.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// What a guest's function gives: a trap, a failure it tells of, or a value.
pub type Returned<T> = wasmtime::Result<Result<T, types::Failure>>;

pub struct Sandbox {
    store: Store<Host>,
    /// Made by the first call.
    instance: Option<Instance>,
    /// Whether the engine counts instructions.
    counts: bool,
}

/// The guest used up its time; told apart from other traps by its type.
#[derive(Debug, thiserror::Error)]
#[error("the guest's time is up")]
struct TimeUp;

impl Sandbox {
    pub fn new(
        component: &Component,
        (plugin, task): (&str, &str),
        limits: &Limits,
        reach: Option<Arc<Reach>>,
    ) -> Self {
        let memory = Memory::new(limits.memory_bytes());
        let ends = Instant::now() + limits.wall();
        let host = Host::new((plugin, task), memory, limits.ticks(), reach, ends);
        let mut store = Store::new(component.pre.engine(), host);
        store.limiter(|host| &mut host.memory);
        // Fires only while the guest runs, so a wait is not billed; each time it lets other
        // work of this thread go first.
        store.epoch_deadline_callback(|mut store| {
            let host = store.data_mut();
            // The tick that passed while the guest waited is not the guest's.
            if !std::mem::take(&mut host.forgiven) {
                host.ticks += 1;
            }
            if host.ticks >= host.max_ticks {
                return Err(TimeUp.into());
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        let mut sandbox = Self { store, instance: None, counts: component.counts };
        sandbox.set_allowances(limits);
        sandbox
    }

    /// Makes one that was called before ready for its next call.
    pub fn renew(&mut self, (plugin, task): (&str, &str), limits: &Limits, reach: Option<Arc<Reach>>) {
        let ends = Instant::now() + limits.wall();
        let host = self.store.data_mut();
        let memory = std::mem::replace(&mut host.memory, Memory::new(0));
        *host = Host::new((plugin, task), memory, limits.ticks(), reach, ends);
        self.set_allowances(limits);
    }

    /// What each call has anew.
    fn set_allowances(&mut self, limits: &Limits) {
        self.store.set_hostcall_fuel(limits.max_output_bytes.saturating_add(LIFT_SLACK));
        self.store.set_epoch_deadline(1);
        if self.counts {
            // Only engines that count have fuel to set; here it is a meter, not a limit.
            let _ = self.store.set_fuel(u64::MAX);
        }
    }

    /// What its memories and tables hold.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory.used()
    }

    pub fn share_log(&mut self, share: LogShare) {
        self.store.data_mut().log = share;
    }

    pub fn dropped_lines(&self) -> u32 {
        self.store.data().dropped_lines()
    }

    pub async fn run<T, F>(
        &mut self,
        component: &Component,
        limits: &Limits,
        mut times: Times,
        call: F,
    ) -> Report<T>
    where
        F: for<'a> FnOnce(&'a mut Store<Host>, &'a Instance) -> BoxFuture<'a, Returned<T>> + Send,
    {
        let began = Instant::now();
        let work = async {
            let instance = match self.instance {
                Some(instance) => instance,
                None => component.pre.instantiate_async(&mut self.store).await?,
            };
            self.instance = Some(instance);
            times.instantiate_us = micros(began);
            call(&mut self.store, &instance).await
        };
        let ended = tokio::time::timeout(limits.wall(), work).await;
        let host = self.store.data();
        times.host_us = host.waited_us();
        times.peak_memory_bytes = host.memory.used() as u64;
        times.guest_us = micros(began).saturating_sub(times.instantiate_us).saturating_sub(times.host_us);
        let result = match ended {
            Err(_) => Err(PluginError::Timeout(limits.wall_ms)),
            Ok(Err(error)) => Err(self.why(&error, limits)),
            Ok(Ok(Err(failure))) => {
                Err(PluginError::Failed { code: cut(&failure.code), message: cut(&failure.message) })
            }
            Ok(Ok(Ok(value))) => Ok(value),
        };
        let instructions = self.counts.then(|| u64::MAX - self.store.get_fuel().unwrap_or(u64::MAX));
        Report { result, times, instructions }
    }

    fn why(&self, error: &wasmtime::Error, limits: &Limits) -> PluginError {
        if error.downcast_ref::<TimeUp>().is_some() {
            PluginError::Deadline(limits.cpu_ms)
        } else if self.store.data().memory.was_refused() {
            PluginError::OutOfMemory(limits.memory_mib)
        } else if error.root_cause().to_string().contains(FUEL_EXHAUSTED) {
            PluginError::OutputOverflow(limits.max_output_bytes)
        } else {
            PluginError::Trapped(cut(&error.root_cause().to_string()))
        }
    }
}

/// What a component says of itself, asked under the same limits as any call.
pub async fn describe(component: &Component, limits: Limits) -> Result<manifest::Description, PluginError> {
    let indices = component.manifest.clone();
    let mut sandbox = Sandbox::new(component, ("unnamed", ""), &limits, None);
    let report = sandbox
        .run(component, &limits, Times::default(), move |store, instance| {
            Box::pin(
                async move { indices.load(&mut *store, instance)?.call_describe(&mut *store).await.map(Ok) },
            )
        })
        .await;
    report.result
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MESSAGE_BYTES)].to_owned()
}
