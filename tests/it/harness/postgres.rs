//! The one PostgreSQL server of a test run, and a database of it for each gateway.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::statvfs::statvfs;
use nix::unistd::{User, geteuid};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// Where distributions put the binaries; the variable names another folder.
const BINARIES: &str = "/usr/lib/postgresql";
const VARIABLE: &str = "SWITCHYARD_TEST_POSTGRES_BIN";

/// Makes a cluster, serves it on a socket in its own folder, and takes everything away when
/// standard input closes: that happens however the tests end, even when they are killed.
const SCRIPT: &str = r#"
set -e
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions >"$2/initdb.log" 2>&1
options="-k $2 -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
"$1/pg_ctl" -D "$2/data" -w -t 120 -l "$2/server.log" -o "$options -c max_connections=500 -c shared_buffers=64MB" start >/dev/null
echo ready
cat >/dev/null
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null
rm -rf "$2"
"#;

pub struct Server {
    folder: PathBuf,
    /// Its standard input closes with this process.
    _leash: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The server; the first who asks starts it.
pub fn server() -> &'static Server {
    SERVER.get_or_init(start)
}

impl Server {
    /// The address of a database, for the gateway and for the tests.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }

    /// Makes a database; a copy when `template` names one.
    pub async fn create(&self, template: Option<&str>) -> String {
        let name = format!("it_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let template = template.unwrap_or("template1");
        self.run(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        name
    }

    pub async fn drop(&self, database: &str) {
        self.run(&format!("DROP DATABASE {database} WITH (FORCE)")).await;
    }

    async fn run(&self, sql: &str) {
        let mut conn = PgConnection::connect(&self.url("postgres")).await.unwrap();
        conn.execute(AssertSqlSafe(sql)).await.unwrap();
        conn.close().await.unwrap();
    }
}

fn start() -> Server {
    let binaries = binaries();
    let folder = tempfile::Builder::new().prefix("switchyard-it-").tempdir_in(parent()).unwrap().keep();
    let mut child = script(SCRIPT, &binaries, &folder).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "PostgreSQL did not start; {}", last_words(&folder));
    Server { folder, _leash: child }
}

/// A folder in memory where it has room, because a database is a thousand files that a test makes
/// and takes away; or else `/tmp` rather than the folder of temporary files, because a socket's
/// path must be short.
fn parent() -> &'static Path {
    const MEMORY: &str = "/dev/shm";
    const NEEDED: u64 = 4 << 30;
    let free = statvfs(MEMORY).map_or(0, |found| found.blocks_available() * found.fragment_size());
    Path::new(if free >= NEEDED { MEMORY } else { "/tmp" })
}

/// A shell script that keeps a server in the folder: its arguments are the folder of the binaries,
/// and this one.
pub fn script(text: &str, binaries: &Path, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text, "postgres"]).arg(binaries).arg(folder);
    if geteuid().is_root() {
        // PostgreSQL refuses to run as root.
        let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).unwrap());
        let user = user.expect("a user `postgres` or `nobody`, because PostgreSQL refuses to run as root");
        chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    // A group of its own, so that an interrupt of the tests does not reach it before its
    // standard input closes.
    command.process_group(0).current_dir("/tmp");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn last_words(folder: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    format!("initdb said:\n{}\nthe server said:\n{}", read("initdb.log"), read("server.log"))
}

/// The newest release that is installed.
pub fn binaries() -> PathBuf {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return folder.into();
    }
    let versions = std::fs::read_dir(BINARIES).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .collect();
    found.sort();
    let newest = found.pop().unwrap_or_else(|| {
        panic!("no PostgreSQL below {BINARIES}: install it (`.ci/postgres` does), or set {VARIABLE}")
    });
    newest.1
}
