//! `switchyard demo`: the whole story by itself, over real HTTP, against a gateway that it
//! starts; and the workspace that `switchyard serve --demo` offers.

mod client;
mod print;
mod setup;
mod story;

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::bootstrap::{Bootstrapped, bootstrap};
use crate::Gateway;
use crate::config::Config;
use crate::store::Db;
use client::Api;

/// The integrator's plugin of `plugins/examples/rust`.
const EXAMPLE: &[u8] = include_bytes!(concat!(env!("SWITCHYARD_GUESTS"), "/example-policy.wasm"));

const BUILTIN: &str = r#"[[plugin]]
name = "repo-resolution"
source = "builtin:repo-resolution"

[[plugin]]
name = "mcp-overlay"
source = "builtin:mcp-overlay"
"#;

const BRIEFING: &str = r#"
[[plugin]]
name = "squad-briefing"
source = "builtin:squad-briefing"
"#;

#[derive(clap::Args)]
pub struct Args {
    /// Show the gateway's log as well
    #[arg(long)]
    log: bool,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    let folder = tempfile::tempdir().context("no temporary folder could be made")?;
    let document = folder.path().join("plugins.toml");
    std::fs::write(folder.path().join("example-policy.wasm"), EXAMPLE)?;
    std::fs::write(&document, first_document())?;
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        admin_listen: ([127, 0, 0, 1], 0).into(),
        data_dir: folder.path().join("data"),
        plugins: Some(document.clone()),
        // Kept between runs, so that only the first one compiles.
        code_cache_dir: Some(shared_cache()),
        log: if args.log { "info".to_owned() } else { "error".to_owned() },
        ..Config::default()
    };
    crate::telemetry::init(&config)?;
    print::chapter("A gateway starts, and a daemon registers with it");
    let flags = crate::app::Flags { composio_mcp_apps: true, ..crate::config::flags()? };
    let gateway = Gateway::start_with(config, flags).await?;
    let made = bootstrap(gateway.db(), "ann@example.com", "Ann", setup::SLUG).await?;
    let api = api(&gateway, &made);
    let stage = setup::make(&api, &made.user_id.to_string()).await?;
    print::fact("listening", &api.url);
    print::fact("daemon", &format!("{} with runtime {}", setup::DAEMON, stage.runtime));
    print::fact("squad", "Core: Ada leads, Bo builds, Ann is the human in it");
    story::tell(&api, &stage, gateway.db(), &document, &second_document()).await?;
    gateway.stop().await?;
    println!("\nThat took {:.1} s.", began.elapsed().as_secs_f64());
    Ok(())
}

/// For `serve --demo`: makes the workspace when the database is empty or holds it already,
/// and prints what to paste.
pub async fn offer(gateway: &Gateway) -> anyhow::Result<()> {
    if !may_offer(gateway.db()).await? {
        println!("the database holds other work; no demo workspace was made");
        return Ok(());
    }
    let made = bootstrap(gateway.db(), "ann@example.com", "Ann", setup::SLUG).await?;
    let api = api(gateway, &made);
    let stage = setup::make(&api, &made.user_id.to_string()).await?;
    print!("{}", walk(&api, &stage, &made));
    Ok(())
}

async fn may_offer(db: &Db) -> anyhow::Result<bool> {
    use crate::store::{users, workspaces};

    let mut conn = db.reader().await?;
    let is_empty = users::count(&mut conn).await? == 0;
    Ok(is_empty || workspaces::find_id_by_slug(&mut conn, setup::SLUG).await?.is_some())
}

/// Five lines that take one task from its enqueue to its end.
fn walk(api: &Api, stage: &setup::Stage, made: &Bootstrapped) -> String {
    let (url, admin_url, token, admin) = (&api.url, &api.admin_url, &api.token, &made.admin_token);
    let (workspace, runtime, project, squad) = (&api.workspace, &stage.runtime, &stage.project, &stage.squad);
    format!(
        r#"
A demo workspace is ready: squad Core, led by Ada, on one runtime.

  gateway      {url}
  admin        {admin_url}
  token        {token}
  admin token  {admin}

Walk one task from enqueue to complete; paste these five lines:

c() {{ curl -s -H "Authorization: Bearer {token}" -H "X-Workspace-ID: {workspace}" "$@"; }}; c {url}/api/issues -d '{{"title":"Fix rounding in invoices","project_id":"{project}","assignee_type":"squad","assignee_id":"{squad}","allow_duplicate":true}}'
TASK=$(c -X POST {url}/api/daemon/runtimes/{runtime}/tasks/claim | tee /dev/stderr | grep -o '"id":"[^"]*","issue_id"' | cut -d'"' -f4)
c -X POST {url}/api/daemon/tasks/$TASK/start
c {url}/api/daemon/tasks/$TASK/messages -d '{{"messages":[{{"seq":1,"type":"text","content":"Reading the invoice code."}}]}}'
c {url}/api/daemon/tasks/$TASK/complete -d '{{"output":"Delegated to Bo."}}'

What the plugins did to it:

curl -s -H "Authorization: Bearer {admin}" {admin_url}/admin/tasks/$TASK/enrichment

"#
    )
}

fn api(gateway: &Gateway, made: &Bootstrapped) -> Api {
    Api::new(
        format!("http://{}", gateway.listen),
        format!("http://{}", gateway.admin_listen),
        made.token.clone(),
        made.admin_token.clone(),
        made.workspace_id.to_string(),
    )
}

fn example(notice: &str) -> String {
    format!(
        r#"
[[plugin]]
name = "example-policy"
source = "file:example-policy.wasm"
config = {{ notice = "{notice}", deny_args = ["--dangerously-skip-permissions"] }}
"#
    )
}

fn first_document() -> String {
    format!("{BUILTIN}{BRIEFING}{}", example("Write a test first."))
}

/// Without the briefing, and with another notice.
fn second_document() -> String {
    format!("{BUILTIN}{}", example("The release is frozen: fixes only."))
}

fn shared_cache() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    home.unwrap_or_else(std::env::temp_dir).join("switchyard")
}
