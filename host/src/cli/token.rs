//! `switchyard token daemon`: a token that confines a daemon to one workspace.

use anyhow::Context;
use chrono::TimeDelta;
use clap::Subcommand;
use serde_json::json;

use super::data::DataArgs;
use crate::auth::token;
use crate::model::time::{Clock, seconds};
use crate::store::{StoreError, tokens, workspaces};

#[derive(Subcommand)]
pub enum Command {
    /// Mint an mdt_ token
    Daemon(Args),
}

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Slug of the workspace the token opens
    #[arg(long, value_name = "SLUG")]
    workspace: String,
    /// The daemon's own id; any text
    #[arg(long, value_name = "ID")]
    daemon_id: String,
    /// Days until it expires
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(i64).range(1..=3650))]
    days: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Daemon(args) = command;
    let daemon_id = args.daemon_id.trim().to_owned();
    anyhow::ensure!(!daemon_id.is_empty(), "--daemon-id must not be blank");
    let (_, db) = args.data.open().await?;
    let workspace = workspaces::find_id_by_slug(&mut db.reader().await?, &args.workspace).await?;
    let workspace = workspace.with_context(|| format!("there is no workspace `{}`", args.workspace))?;
    let now = Clock::system().now();
    let expires_at = now + TimeDelta::days(args.days);
    let minted = token::mint(token::DAEMON)?;
    let hash = token::hash(&minted);
    let stored: Result<(), StoreError> = db
        .write(move |c| {
            Box::pin(
                async move { tokens::insert_daemon(c, workspace, &daemon_id, &hash, expires_at, now).await },
            )
        })
        .await;
    stored?;
    db.close().await;
    if args.json {
        println!(
            "{}",
            json!({"token": minted, "workspace_id": workspace, "expires_at": seconds(expires_at)})
        );
    } else {
        println!("{minted}");
    }
    Ok(())
}
