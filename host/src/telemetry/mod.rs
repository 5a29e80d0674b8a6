//! Logs, metrics, and the log of what was slow. Called from everywhere, calls nothing of
//! ours.

pub mod metrics;
pub mod slow;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Sends the log to standard error, so that standard output keeps its one line.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| anyhow::anyhow!("log: `{}` is no filter: {error}", config.log))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match config.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("the log could not be set up: {error}"))
}

/// The log of a tool that runs plugins for a moment: warnings, and whatever guests say.
pub fn init_for_tools() {
    let filter = EnvFilter::new("warn,switchyard::plugin::imports=debug");
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call, in a test say, changes nothing.
    let _ = builder.without_time().with_ansi(false).try_init();
}
