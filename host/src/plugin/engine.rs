//! The one engine of the process: how code is compiled, where instances live, and the
//! clock that interrupts guests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How many calls may be under way at once, over all plugins.
pub const CALLS: u32 = 64;
/// How many sandboxes may be kept between calls, over all plugins.
pub const WARM: u32 = 16;
/// Beside them, one component at a time is asked what it is when a document is applied, and
/// a set that another node applied may be made meanwhile.
const INSTANCES: u32 = CALLS + WARM + 2;
/// What one component may be made of. Guests of the SDK have three core instances at the
/// most, one memory and a few tables; a script engine has many more.
const CORE_INSTANCES_A_CALL: u32 = 40;
const MEMORIES_A_CALL: u32 = 4;
const TABLES_A_CALL: u32 = 16;
/// The largest memory that any limit can grant.
pub const MAX_MEMORY_BYTES: usize = 256 << 20;
/// How often the epoch moves: the grain in which guest time is billed.
pub const TICK: Duration = Duration::from_millis(5);

/// Ticks of this process's engines. Wasmtime tells nobody where its epoch stands.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// To tell whether the epoch has moved between two moments.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// A memory of the SDK's guests fits into this, so that a slot is made fresh by clearing
/// it, without a system call.
const KEEP_RESIDENT: usize = 256 << 10;

/// Makes the engine and starts its clock. Instances come from a pool, which is what makes
/// a fresh one for every call affordable; where the address space for it cannot be had,
/// they are made on demand.
///
/// One that counts instructions is for authors: guests run at half the speed or less.
pub fn start(counting: bool) -> anyhow::Result<Engine> {
    let engine = match Engine::new(&config(true, counting)) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(%error, "no pool for guests could be made; instances are made on demand");
            Engine::new(&config(false, counting)).map_err(anyhow::Error::from)?
        }
    };
    let ticked = engine.weak();
    // A thread of its own: a busy runtime must not stop the clock that guards it. It holds
    // the engine weakly and ends with it.
    std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(TICK);
            match ticked.upgrade() {
                Some(engine) => {
                    engine.increment_epoch();
                    TICKS.fetch_add(1, Ordering::Relaxed);
                }
                None => return,
            }
        }
    })?;
    Ok(engine)
}

fn config(pooling: bool, counting: bool) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    config.consume_fuel(counting);
    config.memory_init_cow(true);
    config.max_wasm_stack(512 << 10);
    config.async_stack_size(1 << 20);
    if pooling {
        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(INSTANCES)
            .total_core_instances(INSTANCES * CORE_INSTANCES_A_CALL)
            .total_memories(INSTANCES * MEMORIES_A_CALL)
            .total_tables(INSTANCES * TABLES_A_CALL)
            .total_stacks(INSTANCES)
            .max_memories_per_component(MEMORIES_A_CALL)
            .max_tables_per_component(CORE_INSTANCES_A_CALL * 2)
            .max_core_instances_per_component(CORE_INSTANCES_A_CALL * 2)
            .table_elements(50_000)
            .max_memory_size(MAX_MEMORY_BYTES)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_RESIDENT)
            .async_stack_keep_resident(64 << 10);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}
