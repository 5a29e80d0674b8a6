//! A simulation of the gateway's life, one seed at a time: daemons, producers and a clock
//! that is set by hand drive the real engine on a real database, while requests and answers
//! are lost, calls come twice or late, daemons and the gateway crash, and sweeps come at
//! the worst moment. After every step the laws of the queue hold.
//!
//! `SWITCHYARD_SIM_SEEDS` says how many seeds are run, an eightieth of them on PostgreSQL, whose
//! databases take longer to make; `SWITCHYARD_SIM_SEED` runs one again and prints its steps.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod broken;
mod call;
mod database;
mod fate;
mod laws;
#[path = "../it/harness/postgres.rs"]
mod postgres;
mod server;
mod tally;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use broken::Variant;
use database::Database;
use tally::Tally;
use world::World;

/// How many steps a seed takes before everything is brought to its end.
const STEPS: usize = 90;
/// How many seeds are run unless the environment says otherwise.
const SEEDS: u64 = 60;
/// Seeds that a broken variant gets to be caught in.
const CATCH_WITHIN: u64 = 200;

/// What became of a seed: the law that was broken, if one was.
async fn run(
    seed: u64,
    database: &Database,
    variant: Variant,
    loud: bool,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    let world = AssertUnwindSafe(async {
        let mut world = World::new(seed, database, variant, loud, tally.clone()).await;
        let outcome = live(&mut world).await;
        world.leave().await;
        outcome
    });
    match world.catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("a panic: {}", text.unwrap_or_default()))
        }
    }
}

async fn live(world: &mut World) -> Result<(), String> {
    for _ in 0..STEPS {
        world.step().await?;
    }
    world.bring_to_an_end().await
}

/// Of every so many seeds one is run.
fn seeds(one_in: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SWITCHYARD_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("SWITCHYARD_SIM_SEEDS").unwrap_or(SEEDS) / one_in).collect(),
    }
}

/// Runs every seed, each half of them on a thread of its own.
fn check(database: &Database, one_in: u64) {
    let seeds = seeds(one_in);
    let loud = seeds.len() == 1;
    let tally = Arc::new(Tally::default());
    let failures: Vec<String> = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            let mine: Vec<u64> = seeds.iter().copied().filter(|seed| seed % 2 == half).collect();
            let tally = &tally;
            scope.spawn(move || {
                stay_on(half);
                let mut failures = Vec::new();
                for seed in mine {
                    if let Err(law) = block_on(run(seed, database, Variant::Real, loud, tally)) {
                        failures.push(format!(
                            "seed {seed}: {law}; run it again with SWITCHYARD_SIM_SEED={seed}"
                        ));
                    }
                }
                failures
            })
        });
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed\n{}",
        failures.len(),
        seeds.len(),
        failures.join("\n")
    );
    println!("{} seeds passed: {tally}", seeds.len());
}

/// Keeps this thread, and those that it starts, on one processor: the worlds of a half wait for
/// their own database at every step, and waking it elsewhere costs more than the step.
fn stay_on(half: u64) {
    let mut processors = CpuSet::new();
    // Slower where it cannot be had, and right all the same.
    if processors.set(usize::try_from(half).unwrap()).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &processors);
    }
}

/// A variant that breaks a law on purpose is caught, or the laws are worth nothing.
fn is_caught(variant: Variant, law: &str) {
    let database = Database::sqlite();
    let caught = (1..=CATCH_WITHIN).find_map(|seed| {
        block_on(run(seed, &database, variant, false, &Arc::default()))
            .err()
            .filter(|broken| broken.contains(law))
            .map(|_| seed)
    });
    let seed =
        caught.unwrap_or_else(|| panic!("{variant:?} was not caught by `{law}` in {CATCH_WITHIN} seeds"));
    println!("{variant:?} was caught by `{law}` at seed {seed}");
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn the_laws_hold_on_sqlite() {
    check(&Database::sqlite(), 1);
}

#[test]
fn the_laws_hold_on_postgres() {
    let database = Database::postgres();
    check(&database, 80);
}

#[test]
fn counting_before_locking_is_caught() {
    is_caught(Variant::CountsBeforeItLocks, "cap");
}

#[test]
fn ending_a_task_without_looking_at_its_epoch_is_caught() {
    is_caught(Variant::EndsWithoutEpoch, "outcome");
}
