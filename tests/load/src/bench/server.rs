//! Processes that the bench starts: the gateway on a fresh database, and the floor.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use super::Engine;
use crate::connection::{Target, bearer};
use crate::scenario::Stage;
use crate::sockets::{Crowd, Owner};
use crate::statements::Counter;

/// The slug of the workspace that everything happens in.
pub const WORKSPACE: &str = "bench";

/// A server under load; stopped when it is dropped.
pub struct Server {
    pub stage: Stage,
    /// Where its data is; `None` of the floor.
    pub database_url: Option<String>,
    pub pid: u32,
    child: Child,
    folder: Option<TempDir>,
}

#[derive(Deserialize)]
struct Bootstrapped {
    token: String,
    admin_token: String,
}

/// How gateways are started.
#[derive(Clone)]
pub struct Gateways {
    pub binary: PathBuf,
    /// Below it each has a folder.
    pub dir: PathBuf,
    /// Compiled plugins, once for all of them.
    pub code_cache: PathBuf,
}

impl Gateways {
    /// A gateway with its three built-in plugins on a fresh database.
    pub fn start(&self, engine: Engine, postgres_url: Option<String>) -> anyhow::Result<Server> {
        self.start_with(engine, postgres_url, &[], &[])
    }

    /// As [`Gateways::start`], below another program and with more flags.
    pub fn start_with(
        &self,
        engine: Engine,
        postgres_url: Option<String>,
        below: &[String],
        flags: &[String],
    ) -> anyhow::Result<Server> {
        let folder = tempfile::Builder::new().prefix("switchyard-bench-").tempdir_in(&self.dir)?;
        let url = match (engine, postgres_url) {
            (Engine::Postgres, Some(url)) => url,
            _ => format!("sqlite:{}", folder.path().join("switchyard.db").display()),
        };
        let made = self.bootstrap(folder.path(), &url, "ada@example.com", WORKSPACE)?;
        let mut serve = self.command(folder.path(), below);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        serve.args(["--database-url", &url, "--data-dir"]).arg(folder.path()).args(flags);
        let log = std::fs::File::create(folder.path().join("log"))?;
        let (child, http, admin) = listening(serve.stderr(log))?;
        let pid = child.id();
        let admin = Target::new(&admin, &made.admin_token)?;
        let counter = Counter {
            target: admin.clone(),
            path: "/metrics".to_owned(),
            metric: "switchyard_db_statements_total".to_owned(),
        };
        let stage = Stage {
            target: Target::new(&http, &made.token)?,
            admin: Some(admin),
            counter: Some(counter),
            pid: Some(pid),
            crowd: crowd(),
        };
        Ok(Server { stage, database_url: Some(url), pid, child, folder: Some(folder) })
    }

    /// People with workspaces of their own, so that none has too many sockets.
    pub fn owners(&self, server: &Server, count: u32) -> anyhow::Result<Vec<Owner>> {
        let (url, folder) =
            server.database_url.as_deref().zip(server.folder.as_ref()).context("a floor has no users")?;
        let owner = |number: u32| {
            let workspace = format!("{WORKSPACE}-{number}");
            let made = self.bootstrap(folder.path(), url, &format!("u{number}@example.com"), &workspace)?;
            Ok(Owner { token: bearer(&made.token)?, workspace })
        };
        (0..count).map(owner).collect()
    }

    fn bootstrap(
        &self,
        folder: &Path,
        url: &str,
        email: &str,
        workspace: &str,
    ) -> anyhow::Result<Bootstrapped> {
        let mut command = self.command(folder, &[]);
        command.args(["bootstrap", "--email", email, "--name", "Ada", "--workspace", workspace, "--json"]);
        let output = command.args(["--database-url", url, "--data-dir"]).arg(folder).output();
        let output = output.context("the gateway cannot be run")?;
        ensure!(output.status.success(), "bootstrap failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The gateway with nothing of the caller's environment but what a process needs.
    fn command(&self, folder: &Path, below: &[String]) -> Command {
        let mut command = match below.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default());
        command.env("HOME", folder).env("SWITCHYARD_LOG", "warn").current_dir(folder);
        command.env("SWITCHYARD_CODE_CACHE_DIR", &self.code_cache);
        // Nobody but gateways writes to the bench's databases while load runs.
        command.env("SWITCHYARD_EXCLUSIVE_DATABASE", "true").stdin(Stdio::null());
        command
    }
}

/// The floor, with the answers of a real gateway.
pub fn floor(answers: &[(&str, &Path)]) -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", "http"]);
    for (answer, file) in answers {
        command.arg(format!("--{answer}")).arg(file);
    }
    let (child, http, _) = listening(command.stdin(Stdio::null()).stderr(Stdio::inherit()))?;
    let (target, pid) = (Target::new(&http, "none")?, child.id());
    let stage = Stage { target, admin: None, counter: None, pid: Some(pid), crowd: crowd() };
    Ok(Server { stage, database_url: None, pid, child, folder: None })
}

fn crowd() -> Crowd {
    Crowd { sockets: 0, hold: Duration::ZERO, beat_every: Duration::from_secs(15), owners: Vec::new() }
}

/// Starts it and reads where it listens.
fn listening(command: &mut Command) -> anyhow::Result<(Child, String, String)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("a server cannot be run")?;
    let stdout = child.stdout.take().context("no standard output")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if let Some((http, admin)) =
            line.strip_prefix("listening http=").and_then(|rest| rest.split_once(" admin="))
        {
            return Ok((child, http.to_owned(), admin.to_owned()));
        }
    }
    anyhow::bail!("{} did not say where it listens: {}", command.get_program().display(), child.wait()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has not been waited for, so the number is still its own.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
