//! `switchyard plugin recordings`: sampled calls of a running gateway, listed or written to a
//! file that `replay` reads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use reqwest::Method;

use super::remote::{Access, members, send, word};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    /// Only calls of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only calls of this stage
    #[arg(long)]
    stage: Option<String>,
    /// How many, the newest first
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Write them there, one JSON object a line, the oldest first
    #[arg(long, value_name = "FILE.jsonl")]
    out: Option<PathBuf>,
}

pub async fn run(args: &Args) -> anyhow::Result<()> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.plugin.clone().map(|plugin| ("plugin", plugin)));
    query.extend(args.stage.clone().map(|stage| ("stage", stage)));
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let list = send(args.access.request(Method::GET, &format!("/admin/plugins/recordings?{query}"))).await?;
    let list = members(&list, "recordings");
    let Some(path) = &args.out else {
        for recording in list {
            println!(
                "{}  {}  {:<20} {:<16} generation {:>4}  {}",
                word(recording, "id"),
                word(recording, "at"),
                word(recording, "plugin"),
                word(recording, "stage"),
                recording["generation"].to_string(),
                word(recording, "outcome"),
            );
        }
        return Ok(());
    };
    let shown = path.display();
    let mut file = BufWriter::new(File::create(path).with_context(|| format!("cannot write {shown}"))?);
    for recording in list.iter().rev() {
        let path = format!("/admin/plugins/recordings/{}", word(recording, "id"));
        let whole = send(args.access.request(Method::GET, &path)).await?;
        writeln!(file, "{whole}").with_context(|| format!("cannot write {shown}"))?;
    }
    file.flush().with_context(|| format!("cannot write {shown}"))?;
    println!("{shown}: {} recordings", list.len());
    Ok(())
}
