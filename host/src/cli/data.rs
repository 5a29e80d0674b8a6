//! The flags that say where the data is, shared by every subcommand that touches it.

use std::path::PathBuf;

use serde::Serialize;

use crate::config::Config;
use crate::store::Db;

#[derive(clap::Args, Serialize, Clone, Default)]
pub struct DataArgs {
    /// Read settings from this file instead of ./switchyard.toml
    #[arg(long, value_name = "FILE", env = "SWITCHYARD_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Directory of the embedded database and the compiled plugins
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// sqlite:PATH or postgres://… (default: SQLite in the data dir)
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
}

impl DataArgs {
    /// Settles the configuration and opens the database.
    pub async fn open(&self) -> anyhow::Result<(Config, Db)> {
        let config = Config::load(self.config.as_deref(), self)?;
        config.make_data_dir()?;
        let db = Db::open(&config.database()).await?;
        Ok((config, db))
    }
}
