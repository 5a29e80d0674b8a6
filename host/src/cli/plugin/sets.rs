//! The sets of a running gateway, from a shell: shown, compared, and where each runs.

use reqwest::Method;
use serde_json::Value;

use super::remote::{Access, members, send, told, word};

#[derive(clap::Args)]
pub struct Show {
    #[command(flatten)]
    access: Access,
    /// Number of the generation
    generation: u64,
}

#[derive(clap::Args)]
pub struct Diff {
    #[command(flatten)]
    access: Access,
    /// Number of the generation to begin with
    from: u64,
    /// Number of the one to compare it with (default: the one that runs)
    to: Option<u64>,
}

/// The generation's document and members, as JSON.
pub async fn show(args: &Show) -> anyhow::Result<()> {
    let path = format!("/admin/plugins/generations/{}", args.generation);
    println!("{:#}", send(args.access.request(Method::GET, &path)).await?);
    Ok(())
}

pub async fn diff(args: &Diff) -> anyhow::Result<()> {
    let to = args.to.map(|to| format!("?to={to}")).unwrap_or_default();
    let path = format!("/admin/plugins/generations/{}/diff{to}", args.from);
    let shown = send(args.access.request(Method::GET, &path)).await?;
    println!("from generation {} to {}", shown["from"], shown["to"]);
    let version = |member: &Value| {
        let digest = word(member, "sha256");
        format!("{} {}", word(member, "version"), digest.get(..12).unwrap_or(digest))
    };
    for (mark, list) in [("+", "added"), ("-", "removed")] {
        for member in members(&shown["members"], list) {
            println!("{mark} {:<20} {}", word(member, "name"), version(member));
        }
    }
    for member in members(&shown["members"], "changed") {
        let (from, to) = (version(&member["from"]), version(&member["to"]));
        println!("~ {:<20} {from} -> {to}", word(member, "name"));
    }
    for change in members(&shown, "document") {
        let value = change.get("value").map(|value| format!(" {value}")).unwrap_or_default();
        println!("  {} {}{value}", word(change, "op"), word(change, "path"));
    }
    Ok(())
}

pub async fn nodes(access: &Access) -> anyhow::Result<()> {
    let shown = send(access.request(Method::GET, "/admin/plugins/nodes")).await?;
    for node in members(&shown, "nodes") {
        let mark = if node["answers"] == true { "*" } else { " " };
        println!(
            "{mark} {:<32} generation {:>4} since {}  seen {}",
            word(node, "name"),
            node["generation"].to_string(),
            word(node, "since"),
            word(node, "last_seen_at"),
        );
        if let Some(stuck) = node.get("stuck") {
            println!("    generation {} does not run there:", stuck["generation"]);
            for fault in members(stuck, "faults") {
                println!("      {}", told(fault));
            }
        }
    }
    Ok(())
}
