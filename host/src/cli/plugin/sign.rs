//! `switchyard plugin keygen` and `sign`: who vouches for a component.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::plugin::inspect::inspect;
use crate::plugin::signature::{self, Statement};

#[derive(clap::Args)]
pub struct Keygen {
    /// Where the secret key goes; nothing that is there is written over
    #[arg(long, value_name = "FILE", default_value = "plugin.key")]
    out: PathBuf,
}

#[derive(clap::Args)]
pub struct Sign {
    /// The component
    component: PathBuf,
    /// The file with the secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature goes (default: COMPONENT.sig)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn keygen(args: &Keygen) -> anyhow::Result<()> {
    let (secret, public) = signature::keygen();
    let shown = args.out.display();
    // For its owner alone from the first byte on.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    let mut file = file.with_context(|| format!("cannot make {shown}"))?;
    writeln!(file, "{secret}").with_context(|| format!("cannot write {shown}"))?;
    eprintln!("the secret key is in {shown}; the gateway's `plugin_keys` takes the public one:");
    println!("{public}");
    Ok(())
}

pub async fn sign(args: &Sign) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (component, key) = (read(&args.component)?, read(&args.key)?);
    let key = String::from_utf8(key).context("the key file is not text")?;
    let cache = tempfile::tempdir()?;
    let inspected = inspect(cache.path(), &component).await.context("the component cannot be signed")?;
    let statement =
        Statement { sha256: &inspected.sha256, name: &inspected.name, version: &inspected.version };
    let (signature, public) = signature::sign(&statement, &key).map_err(anyhow::Error::msg)?;
    let out = args.out.clone().unwrap_or_else(|| {
        let mut name = args.component.clone().into_os_string();
        name.push(".sig");
        name.into()
    });
    std::fs::write(&out, format!("{signature}\n"))
        .with_context(|| format!("cannot write {}", out.display()))?;
    eprintln!(
        "{} {} with the digest {} is signed by {public}; the same is in {}",
        inspected.name,
        inspected.version,
        inspected.sha256,
        out.display()
    );
    println!("{signature}");
    Ok(())
}
