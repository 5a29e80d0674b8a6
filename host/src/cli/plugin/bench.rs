//! `switchyard plugin bench`: what a call takes, beside what it may take.

use serde_json::{Value, json};

use super::run::{self, Target};
use super::workbench::{self, Workbench};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// How many calls, one after the other
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    calls: u32,
    /// Keep the instance between calls, as a document does with `warm` among its limits
    #[arg(long)]
    warm: bool,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

/// Calls that are made first and not counted: they warm the caches of the machine.
const WARM_UP: u32 = 10;

pub async fn run(args: Args) -> anyhow::Result<()> {
    let (target, input) = (&args.target, workbench::read_json(&args.target.input)?);
    let mut entry = target.entry()?;
    if args.warm {
        entry["limits"]["warm"] = 1.into();
    }
    let plugin = Workbench::new()?.plugin(&target.component, entry).await?;
    let stage = workbench::stage(&plugin, target.stage.as_deref()).map_err(anyhow::Error::msg)?;
    run::calls(&plugin, stage, &input, WARM_UP).await?;
    let taken = run::calls(&plugin, stage, &input, args.calls).await?;
    let instructions = run::instructions(target, stage, &input).await?;
    let instantiate = Spread::of(taken.iter().map(|(instantiate, ..)| *instantiate));
    let guest = Spread::of(taken.iter().map(|(_, guest, _)| *guest));
    let peak = taken.iter().map(|(.., memory)| *memory).max().unwrap_or_default();
    let limits = &plugin.limits;
    if args.json {
        let figures = json!({
            "stage": stage.as_str(),
            "version": plugin.version,
            "calls": args.calls,
            "instantiate_us": instantiate.json(),
            "guest_us": guest.json(),
            "instructions": instructions,
            "peak_memory_bytes": peak,
            "limits": {"cpu_ms": limits.cpu_ms, "memory_mib": limits.memory_mib},
        });
        println!("{figures:#}");
        return Ok(());
    }
    println!("{} of {}, {} calls", stage.as_str(), plugin.version, args.calls);
    println!("{:<14} {:>12} {:>12} {:>12}", "", "p50", "p99", "limit");
    println!("{:<14} {:>9} µs {:>9} µs", "instantiate", instantiate.p50, instantiate.p99);
    println!("{:<14} {:>9} µs {:>9} µs {:>9} ms", "guest", guest.p50, guest.p99, limits.cpu_ms);
    println!("{:<14} {instructions:>12}", "instructions");
    println!("{:<14} {:>8} KiB {:>12} {:>8} MiB", "peak memory", peak.div_ceil(1024), "", limits.memory_mib);
    Ok(())
}

struct Spread {
    p50: u64,
    p99: u64,
}

impl Spread {
    fn of(taken: impl Iterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = taken.collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99) }
    }

    fn json(&self) -> Value {
        json!({"p50": self.p50, "p99": self.p99})
    }
}
