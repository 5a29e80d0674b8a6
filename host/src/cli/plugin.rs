//! `switchyard plugin`: the admin API of a running gateway, from a shell.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;

#[derive(Subcommand)]
pub enum Command {
    /// Show the plugins that run now
    List(Access),
    /// Check a document against the running gateway; nothing changes
    Check(Document),
    /// Apply a document: all of it, or nothing
    Apply(Document),
    /// Show the sets that can be gone back to
    Generations(Access),
    /// Run an earlier set again
    Rollback(Rollback),
}

#[derive(clap::Args)]
pub struct Access {
    /// The gateway's admin listener
    #[arg(long, value_name = "URL", env = "SWITCHYARD_ADMIN_URL", default_value = "http://127.0.0.1:8081")]
    admin_url: String,
    /// An admin token
    #[arg(long, value_name = "TOKEN", env = "SWITCHYARD_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: String,
}

#[derive(clap::Args)]
pub struct Document {
    #[command(flatten)]
    access: Access,
    /// plugins.toml, or the same as .json
    file: PathBuf,
}

#[derive(clap::Args)]
pub struct Rollback {
    #[command(flatten)]
    access: Access,
    /// Number of the generation
    generation: u64,
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(access) => show(&send(access.request(Method::GET, "/admin/plugins")).await?),
        Command::Check(document) => {
            let shown = document.send(true).await?;
            println!("{} would run:", document.file.display());
            show(&shown);
        }
        Command::Apply(document) => show(&document.send(false).await?),
        Command::Generations(access) => {
            let kept = send(access.request(Method::GET, "/admin/plugins/generations")).await?;
            for generation in list(&kept, "generations") {
                let mark = if generation["running"] == true { "*" } else { " " };
                println!(
                    "{mark} {:>4}  {}  {}",
                    generation["generation"],
                    word(generation, "applied_at"),
                    names(generation)
                );
            }
        }
        Command::Rollback(rollback) => {
            let request = rollback.access.request(Method::POST, "/admin/plugins/rollback");
            show(&send(request.json(&serde_json::json!({"generation": rollback.generation}))).await?);
        }
    }
    Ok(())
}

impl Access {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.admin_url.trim_end_matches('/'));
        Client::new().request(method, url).bearer_auth(&self.admin_token)
    }
}

impl Document {
    async fn send(&self, dry_run: bool) -> anyhow::Result<Value> {
        let shown = self.file.display();
        let text = std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {shown}"))?;
        let is_json = self.file.extension().is_some_and(|extension| extension == "json");
        let kind = if is_json { "application/json" } else { "application/toml" };
        let path = if dry_run { "/admin/plugins?dry_run=true" } else { "/admin/plugins" };
        send(self.access.request(Method::PUT, path).header("Content-Type", kind).body(text)).await
    }
}

/// The answer's JSON; a refusal is an error that names every fault.
async fn send(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await.context("the gateway does not answer; is --admin-url right?")?;
    let status = response.status();
    let body: Value =
        response.json().await.context("the answer is not JSON; is --admin-url the admin listener?")?;
    if status.is_success() {
        return Ok(body);
    }
    for fault in list(&body, "faults") {
        let place = word(fault, "pointer");
        eprintln!("{}: {}", if place.is_empty() { "(document)" } else { place }, word(fault, "message"));
    }
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        bail!("{} faults; nothing changed", list(&body, "faults").len());
    }
    bail!("{status}: {}", word(&body, "error"));
}

fn show(body: &Value) {
    println!("generation {}, applied {}", body["generation"], word(body, "applied_at"));
    for plugin in list(body, "plugins") {
        let stages: Vec<&str> = list(plugin, "stages").iter().filter_map(Value::as_str).collect();
        let digest = word(plugin, "sha256");
        println!(
            "  {:<20} {:<8} {}  {}  {} calls, breaker {}",
            word(plugin, "name"),
            word(plugin, "version"),
            digest.get(..12).unwrap_or(digest),
            stages.join(", "),
            plugin["counters"]["calls"],
            word(plugin, "breaker"),
        );
    }
}

fn list<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn word<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn names(generation: &Value) -> String {
    let names: Vec<&str> = list(generation, "plugins").iter().filter_map(Value::as_str).collect();
    names.join(", ")
}
