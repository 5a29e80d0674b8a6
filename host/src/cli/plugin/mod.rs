//! `switchyard plugin`: writing, trying and applying plugins.

mod build;
mod check;
mod input;
mod new;
mod output;
mod remote;
mod run;
mod sign;

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
    /// Make a gateway run an earlier set again
    Rollback(remote::Rollback),
    /// Show what each plugin did to a task
    Trace(remote::Trace),
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(args) => new::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Check(args) => check::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Keygen(args) => sign::keygen(&args),
        Command::Sign(args) => sign::sign(&args).await,
        Command::List(access) => remote::list(&access).await,
        Command::Apply(document) => remote::apply(&document).await,
        Command::Generations(access) => remote::generations(&access).await,
        Command::Rollback(rollback) => remote::rollback(&rollback).await,
        Command::Trace(trace) => remote::trace(&trace).await,
    }
}
