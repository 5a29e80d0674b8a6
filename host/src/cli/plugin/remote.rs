//! The admin API of a running gateway, from a shell.

use std::path::PathBuf;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::outbound;

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
    /// Only ask the gateway whether it would run; nothing changes
    #[arg(long)]
    dry_run: bool,
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

#[derive(clap::Args)]
pub struct Trace {
    #[command(flatten)]
    access: Access,
    /// Id of the task
    task: String,
}

pub async fn list(access: &Access) -> anyhow::Result<()> {
    let shown = send(access.request(Method::GET, "/admin/plugins")).await?;
    show(&shown);
    if let Some(refused) = shown.get("refused") {
        println!("the latest document did not run ({}):", word(refused, "at"));
        for fault in members(refused, "faults") {
            println!("  {}", told(fault));
        }
    }
    Ok(())
}

pub async fn apply(document: &Document) -> anyhow::Result<()> {
    let shown = document.file.display();
    let text = std::fs::read_to_string(&document.file).with_context(|| format!("cannot read {shown}"))?;
    let is_json = document.file.extension().is_some_and(|extension| extension == "json");
    let kind = if is_json { "application/json" } else { "application/toml" };
    let path = if document.dry_run { "/admin/plugins?dry_run=true" } else { "/admin/plugins" };
    let request = document.access.request(Method::PUT, path).header("Content-Type", kind).body(text);
    let set = send(request).await?;
    if document.dry_run {
        println!("{shown} would run:");
    }
    show(&set);
    Ok(())
}

pub async fn generations(access: &Access) -> anyhow::Result<()> {
    let kept = send(access.request(Method::GET, "/admin/plugins/generations")).await?;
    for generation in members(&kept, "generations") {
        let mark = if generation["running"] == true { "*" } else { " " };
        let names: Vec<&str> =
            members(generation, "plugins").iter().map(|plugin| word(plugin, "name")).collect();
        println!(
            "{mark} {:>4}  {}  {:<8}  {}",
            generation["generation"].to_string(),
            word(generation, "applied_at"),
            word(generation, "origin"),
            names.join(", ")
        );
        if let Some(reason) = generation["reason"].as_str() {
            println!("        {reason}");
        }
    }
    Ok(())
}

pub async fn rollback(rollback: &Rollback) -> anyhow::Result<()> {
    let request = rollback.access.request(Method::POST, "/admin/plugins/rollback");
    show(&send(request.json(&serde_json::json!({"generation": rollback.generation}))).await?);
    Ok(())
}

pub async fn trace(trace: &Trace) -> anyhow::Result<()> {
    let path = format!("/admin/tasks/{}/enrichment", trace.task);
    let shown = send(trace.access.request(Method::GET, &path)).await?;
    println!(
        "claimed {}, generation {}, on {}",
        word(&shown, "at"),
        shown["generation"],
        word(&shown, "node")
    );
    for step in members(&shown, "steps") {
        let number = |name: &str| step[name].as_u64().unwrap_or_default();
        let digest = word(step, "sha256");
        println!(
            "  {:<20} {:<8} {}  {:<16} {:<9} {} µs",
            word(step, "plugin"),
            word(step, "version"),
            digest.get(..12).unwrap_or(digest),
            word(step, "stage"),
            word(step, "outcome"),
            number("instantiate_us") + number("guest_us") + number("host_us"),
        );
        println!(
            "    waited {} µs, made in {} µs, ran {} µs, host calls {} µs, {} KiB of memory, {} bytes in, {} out",
            number("queue_us"),
            number("instantiate_us"),
            number("guest_us"),
            number("host_us"),
            number("peak_memory_bytes").div_ceil(1024),
            number("bytes_in"),
            number("bytes_out"),
        );
        if let Some(replaces) = step.get("replaces").and_then(Value::as_str) {
            println!("    canary in place of {replaces}");
        }
        if let Some(would) = step.get("would").and_then(Value::as_str) {
            println!("    would have come to: {would}");
        }
        if let Some(message) = step.get("message").and_then(Value::as_str) {
            println!("    {}: {message}", word(step, "code"));
        }
        for change in members(step, "changes") {
            println!("    {} {}", word(change, "op"), word(change, "path"));
        }
    }
    Ok(())
}

impl Access {
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.admin_url.trim_end_matches('/'));
        outbound::client().request(method, url).bearer_auth(&self.admin_token)
    }
}

/// The answer's JSON; a refusal is an error that names every fault.
pub(super) async fn send(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await.context("the gateway does not answer; is --admin-url right?")?;
    let status = response.status();
    let body: Value =
        response.json().await.context("the answer is not JSON; is --admin-url the admin listener?")?;
    if status.is_success() {
        return Ok(body);
    }
    let faults = members(&body, "faults");
    for fault in faults {
        eprintln!("{}", told(fault));
    }
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        bail!("{} faults; nothing changed", faults.len());
    }
    bail!("{status}: {}", word(&body, "error"));
}

pub(super) fn told(fault: &Value) -> String {
    let place = word(fault, "pointer");
    format!("{}: {}", if place.is_empty() { "(document)" } else { place }, word(fault, "message"))
}

fn show(body: &Value) {
    println!("generation {}, applied {}", body["generation"], word(body, "applied_at"));
    if let Some(reason) = body["reason"].as_str() {
        println!("  {reason}");
    }
    for plugin in members(body, "plugins") {
        let stages: Vec<&str> = members(plugin, "stages").iter().filter_map(Value::as_str).collect();
        let digest = word(plugin, "sha256");
        println!(
            "  {:<20} {:<8} {}  {}  {}{} calls, breaker {}",
            word(plugin, "name"),
            word(plugin, "version"),
            digest.get(..12).unwrap_or(digest),
            stages.join(", "),
            role(plugin),
            plugin["counters"]["calls"],
            word(plugin, "breaker"),
        );
    }
    for plugin in members(body, "broken") {
        println!("  {:<20} cannot be loaded", word(plugin, "name"));
        for fault in members(plugin, "faults") {
            println!("    {}", told(fault));
        }
    }
}

fn role(plugin: &Value) -> String {
    match word(plugin, "role") {
        "shadow" => "shadow, ".to_owned(),
        "canary" => format!("canary for {}% of {}, ", plugin["canary"], word(plugin, "replaces")),
        _ => String::new(),
    }
}

pub(super) fn members<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn word<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}
