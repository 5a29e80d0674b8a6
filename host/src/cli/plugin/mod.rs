//! `switchyard plugin`: writing, trying and applying plugins.

mod bench;
mod beside;
mod build;
mod cases;
mod check;
mod dev;
mod inspect;
mod language;
mod new;
mod recordings;
mod remote;
mod replay;
mod run;
mod sets;
mod sign;
mod starter;
mod workbench;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum Command {
    /// Begin a plugin in a new folder: code that builds, its tests, a document
    New(new::Args),
    /// Build the plugin in a folder to a component
    Build(build::Args),
    /// Check a document and everything it names, without a gateway
    Check(check::Args),
    /// Call one stage of a component with an input from a file, without a gateway
    Run(run::Args),
    /// Call a component as a file of cases says, and compare
    Test(cases::Args),
    /// Measure what a call of a component takes
    Bench(bench::Args),
    /// Show who a component says it is, what it imports and what it is made of
    Inspect(inspect::Args),
    /// Build, try and apply a plugin again whenever its folder changes
    Dev(dev::Args),
    /// Make a key to sign components with
    Keygen(sign::Keygen),
    /// Sign a component: its digest, name and version
    Sign(sign::Sign),
    /// Show the plugins that a gateway runs
    List(remote::Access),
    /// Apply a document to a gateway: all of it, or nothing
    Apply(remote::Document),
    /// Show the sets that a gateway can go back to
    Generations(remote::Access),
    /// Show one of them with its document
    Show(sets::Show),
    /// Show what makes one of them of another
    Diff(sets::Diff),
    /// Show what each node of a gateway runs
    Nodes(remote::Access),
    /// Make a gateway run an earlier set again
    Rollback(remote::Rollback),
    /// Show sampled calls of a gateway's plugins, or write them to a file
    Recordings(recordings::Args),
    /// Run a component on recorded inputs and compare what comes out
    Replay(replay::Args),
    /// Show what each plugin did to a task
    Trace(remote::Trace),
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Check(args) => check::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Test(args) => cases::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Inspect(args) => inspect::run(args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Keygen(args) => sign::keygen(&args),
        Command::Sign(args) => sign::sign(&args).await,
        Command::List(access) => remote::list(&access).await,
        Command::Apply(document) => remote::apply(&document).await,
        Command::Generations(access) => remote::generations(&access).await,
        Command::Show(args) => sets::show(&args).await,
        Command::Diff(args) => sets::diff(&args).await,
        Command::Nodes(access) => sets::nodes(&access).await,
        Command::Rollback(rollback) => remote::rollback(&rollback).await,
        Command::Recordings(args) => recordings::run(&args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Trace(trace) => remote::trace(&trace).await,
    }
}
