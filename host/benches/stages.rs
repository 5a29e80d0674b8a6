//! What plugins add to a claim. Every figure stands beside floors of the same run: the
//! merge of a 4 KB configuration compiled for the host, and the first-party plugins' own
//! code without a sandbox. Absolute times move by a factor of two on a shared machine; the
//! ratios hold.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at what goes wrong")]

#[path = "stages/inputs.rs"]
mod inputs;
#[path = "stages/native.rs"]
mod native;

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use switchyard::enrich::{self, Draft};
use switchyard::model::time::Clock;
use switchyard::plugin::document::DocumentFormat;
use switchyard::plugin::generation::{Generation, Origin};
use switchyard::plugin::plugin::Plugin;
use switchyard::plugin::plugins::{Plugins, Sent, Settings};
use switchyard::plugin::reach::Outside;
use switchyard::plugin::rules::Rules;
use switchyard::plugin::stage::{McpInput, Stage};
use tokio::runtime::Runtime;

/// One plugin alone, or all three.
const SETS: [(&str, &[&str]); 5] = [
    ("none", &[]),
    ("repo_resolution", &["repo-resolution"]),
    ("mcp_overlay", &["mcp-overlay"]),
    ("squad_briefing", &["squad-briefing"]),
    ("all_three", &["repo-resolution", "mcp-overlay", "squad-briefing"]),
];

fn stages(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let settings = Settings {
        cache_dir: cache.path().to_owned(),
        document: None,
        db: None,
        outside: Outside::of_a_tool(),
        rules: Rules::default(),
    };
    let plugins = runtime.block_on(Plugins::start(settings, Clock::system())).unwrap();

    floors(criterion);
    calls(criterion, &runtime, &plugins.snapshot());
    let mut group = criterion.benchmark_group("pipeline");
    for (name, set) in SETS {
        let generation = runtime.block_on(apply(&plugins, set));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(claims(&generation, rounds)));
        });
    }
    group.finish();
    let all = runtime.block_on(apply(&plugins, SETS[4].1));
    criterion.bench_function("pipeline_two_threads/all_three", |bencher| {
        bencher.iter_custom(|rounds| all_on_two_threads(&all, rounds));
    });
}

/// The same work without a sandbox.
fn floors(criterion: &mut Criterion) {
    let (agent, overlay) = (inputs::agent_config(), inputs::overlay());
    let mut group = criterion.benchmark_group("floor");
    group.bench_function("native_merge", |bencher| {
        bencher.iter(|| native::merge(black_box(&agent), black_box(&overlay)));
    });
    let plugins = native::Native::new();
    group.bench_function("native_plugins", |bencher| bencher.iter(|| plugins.run()));
    // What the machine gives a second thread: two processors may be two threads of one core.
    group.bench_function("native_plugins_two_threads", |bencher| {
        bencher.iter_custom(|rounds| {
            on_two_threads(rounds, |rounds| {
                let began = Instant::now();
                (0..rounds).for_each(|_| plugins.run());
                began.elapsed()
            })
        });
    });
    group.finish();
}

/// One call of one plugin, without what the pipeline adds.
fn calls(criterion: &mut Criterion, runtime: &Runtime, generation: &Arc<Generation>) {
    let draft = inputs::draft();
    let one = |stage: Stage| generation.serving(stage).next().unwrap().clone();
    let nothing = McpInput { agent_config: None, overlay: None };
    let full = McpInput { agent_config: Some(inputs::agent_config()), overlay: Some(inputs::overlay()) };
    let mut group = criterion.benchmark_group("call");
    let merge = |plugin: Arc<Plugin>, input: McpInput, rounds: u64| {
        let subject = draft.subject.clone();
        runtime.block_on(async move {
            let began = Instant::now();
            for _ in 0..rounds {
                black_box(plugin.merge_mcp(&subject, &input, Ok).await.result.unwrap());
            }
            began.elapsed()
        })
    };
    group.bench_function("empty", |bencher| {
        bencher.iter_custom(|rounds| merge(one(Stage::McpOverlay), nothing.clone(), rounds));
    });
    group.bench_function("merge_4kb", |bencher| {
        bencher.iter_custom(|rounds| merge(one(Stage::McpOverlay), full.clone(), rounds));
    });
    let (repos, squad) = (inputs::repo_input(), draft.squad.clone().unwrap());
    let (resolver, briefer) = (one(Stage::RepoResolution), one(Stage::SquadBriefing));
    group.bench_function("repos_20", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..rounds {
                    black_box(resolver.resolve_repos(&draft.subject, &repos).await.result.unwrap());
                }
                began.elapsed()
            })
        });
    });
    group.bench_function("briefing_10", |bencher| {
        bencher.iter_custom(|rounds| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..rounds {
                    black_box(briefer.brief_squad(&draft.subject, &squad).await.result.unwrap());
                }
                began.elapsed()
            })
        });
    });
    group.finish();
}

async fn apply(plugins: &Plugins, names: &[&str]) -> Arc<Generation> {
    let entry = |name: &&str| format!("[[plugin]]\nname = \"{name}\"\nsource = \"builtin:{name}\"\n");
    let document: String = names.iter().map(entry).collect();
    let sent = Sent { text: document, format: DocumentFormat::Toml, origin: Origin::Api };
    plugins.apply(sent, false).await.unwrap()
}

/// Sends claims through the stages; making the draft is not counted.
async fn claims(generation: &Arc<Generation>, rounds: u64) -> Duration {
    let template = inputs::draft();
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        spent += claim(generation, template.clone()).await;
    }
    spent
}

async fn claim(generation: &Arc<Generation>, draft: Draft) -> Duration {
    let began = Instant::now();
    let (result, trace) = enrich::run(generation, draft).await;
    let spent = began.elapsed();
    black_box((result.unwrap(), trace));
    spent
}

/// Half of the rounds on each of two threads, which begin together; what the slower one took, so
/// that perfect scaling shows as half the time of one thread. A thread makes for itself what it
/// needs: what another one allocated it could only give back under that one's lock.
fn on_two_threads(rounds: u64, work: impl Fn(u64) -> Duration + Sync) -> Duration {
    let (work, both) = (&work, &Barrier::new(2));
    std::thread::scope(|scope| {
        let halves = [rounds.div_ceil(2), rounds / 2].map(|half| {
            scope.spawn(move || {
                both.wait();
                work(half)
            })
        });
        halves.into_iter().map(|half| half.join().unwrap()).max().unwrap()
    })
}

fn all_on_two_threads(generation: &Arc<Generation>, rounds: u64) -> Duration {
    on_two_threads(rounds, |rounds| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(claims(generation, rounds))
    })
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(4)).sample_size(60);
    targets = stages
}
criterion_main!(benches);
