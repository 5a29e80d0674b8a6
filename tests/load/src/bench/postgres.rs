//! A PostgreSQL server of the bench's own, as durable as it is delivered.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use nix::unistd::{User, geteuid};
use sqlx::{Connection, Executor, PgConnection};

/// Where distributions put the binaries; the variable names another folder.
const BINARIES: &str = "/usr/lib/postgresql";
const VARIABLE: &str = "SWITCHYARD_TEST_POSTGRES_BIN";

/// Serves a new cluster on a socket in its own folder until standard input closes, which it
/// does however the bench ends.
const SCRIPT: &str = r#"
set -e
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-instructions >"$2/initdb.log" 2>&1
options="-k $2 -c listen_addresses= -c max_connections=200 -c shared_buffers=512MB -c max_wal_size=4GB"
"$1/pg_ctl" -D "$2/data" -w -t 120 -l "$2/server.log" -o "$options" start >/dev/null
echo ready
cat >/dev/null
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null
rm -rf "$2"
"#;

pub struct Server {
    folder: PathBuf,
    made: u32,
    /// Its standard input closes with this process.
    _leash: Child,
}

impl Server {
    /// Starts it below `dir`, which must be short: the path of a socket has a bound.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("switchyard-pg-").tempdir_in(dir)?.keep();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "postgres"]).arg(binaries()?).arg(&folder);
        if geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            let names = ["postgres", "nobody"];
            let user = names.iter().find_map(|name| User::from_name(name).ok().flatten());
            let user = user.context("PostgreSQL refuses to run as root, and there is no user `postgres`")?;
            chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        // A group of its own, so that an interrupt does not reach it before its input closes.
        command.process_group(0).current_dir(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line)?;
        let said = || std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
        ensure!(line == "ready\n", "PostgreSQL did not start: {}", said());
        Ok(Self { folder, made: 0, _leash: child })
    }

    /// The address of a new and empty database.
    pub async fn create(&mut self) -> anyhow::Result<String> {
        self.made += 1;
        let name = format!("bench_{}", self.made);
        let mut conn = PgConnection::connect(&self.url("postgres")).await?;
        conn.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        conn.close().await?;
        Ok(self.url(&name))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }
}

/// The newest release that is installed.
fn binaries() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return Ok(folder.into());
    }
    let versions = std::fs::read_dir(BINARIES).into_iter().flatten().filter_map(Result::ok);
    let found = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").is_file());
    let newest = found.max_by_key(|(version, _)| *version);
    let newest = newest.with_context(|| {
        format!("no PostgreSQL below {BINARIES}: install it (`.ci/postgres` does), or set {VARIABLE}")
    })?;
    Ok(newest.1)
}
