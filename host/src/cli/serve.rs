//! `switchyard serve`

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::data::DataArgs;
use crate::config::Config;
use crate::telemetry;

#[derive(clap::Args, Serialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Where daemons and people reach the gateway; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Where operators do [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_listen: Option<SocketAddr>,
    /// Make a demo workspace if the database is empty, and print how to use it
    #[arg(long)]
    #[serde(skip)]
    demo: bool,
    /// The plugin document (default: the three built-in plugins)
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    plugins: Option<PathBuf>,
    /// A Redis that nodes share: redis://, rediss:// or unix:// (default: none)
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_url: Option<String>,
    /// Seconds between two sweeps for what is stale, stuck or expired; 0 sweeps on request only [default: 30]
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sweep_every: Option<u32>,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args.data.config.as_deref(), &args)?;
    telemetry::init(&config)?;
    // Before anybody is told that it runs: whoever reads the line may stop it at once.
    let stopped = stop_signals()?;
    let gateway = crate::Gateway::start(config).await?;
    println!("listening http=http://{} admin=http://{}", gateway.listen, gateway.admin_listen);
    if args.demo {
        super::demo::offer(&gateway).await?;
    }
    stopped.await;
    tracing::info!("draining");
    gateway.stop().await
}

/// Listens for SIGTERM and SIGINT from now on; the future ends at the first.
fn stop_signals() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
