//! A gateway under test, from its fresh database to its last log line.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::client::{self, Addresses};
use super::database::{Database, Held};
use super::process::{Process, command};
use super::{Client, Engine, postgres};

/// Runs a scenario on a gateway of its own.
pub fn run(engine: Engine, scenario: impl AsyncFnOnce(&Gateway)) {
    block_on(async {
        let gateway = Gateway::start(engine).await;
        scenario(&gateway).await;
        gateway.finish().await;
    });
}

/// Runs a scenario that starts its gateways itself.
pub fn run_with(engine: Engine, scenario: impl AsyncFnOnce(Engine)) {
    block_on(scenario(engine));
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

pub struct Gateway {
    pub engine: Engine,
    /// The workspace that every gateway begins with; its slug is `acme`.
    pub workspace: Uuid,
    owner: Client,
    admin_token: String,
    setup: Setup,
    pub(super) data: Arc<Data>,
    process: RefCell<Process>,
    addresses: Arc<RwLock<Addresses>>,
    expected_errors: RefCell<Vec<String>>,
    /// What gateways that ran before on the same data logged.
    earlier_log: RefCell<Vec<String>>,
}

/// Far above what any line of the log takes to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    engine: Engine,
    variables: Vec<(String, String)>,
    flags: Vec<String>,
    plugins: Option<String>,
    /// More parameters of the database's address, on PostgreSQL.
    connection: &'static str,
}

impl Setup {
    /// An environment variable; nothing else is inherited.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another argument of `serve`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// The document it starts with, as TOML.
    pub fn plugins(mut self, document: &str) -> Self {
        self.plugins = Some(document.to_owned());
        self
    }

    /// More parameters for its connections to PostgreSQL, `&name=value`.
    pub fn connection(self, parameters: &'static str) -> Self {
        Self { connection: parameters, ..self }
    }

    pub async fn start(self) -> Gateway {
        let template = template(self.engine).await;
        let data = Arc::new(Data::copy(self.engine, template).await);
        Gateway::launch(self, data, &template.bootstrapped)
    }

    /// On an empty database of a PostgreSQL server that the test keeps itself.
    pub fn start_on(self, url: &str) -> Gateway {
        let folder = tempfile::Builder::new().prefix("switchyard-it-").tempdir().unwrap();
        let made = bootstrap(folder.path(), Some(url));
        let data = Data { folder, url: url.to_owned(), name: None, database: Database::postgres(url) };
        Gateway::launch(self, Arc::new(data), &made)
    }
}

impl Gateway {
    /// A gateway on a fresh database with one user and one workspace.
    pub async fn start(engine: Engine) -> Self {
        Self::setup(engine).start().await
    }

    /// As [`Gateway::start`], with more to say about it.
    pub fn setup(engine: Engine) -> Setup {
        Setup { engine, variables: Vec::new(), flags: Vec::new(), plugins: None, connection: "" }
    }

    fn launch(setup: Setup, data: Arc<Data>, made: &Bootstrapped) -> Self {
        let process = Process::start(data.serve(&setup));
        let addresses = Arc::new(RwLock::new(process.addresses.clone()));
        let owner = Client {
            id: made.user_id,
            name: "Ada".to_owned(),
            email: "ada@example.com".to_owned(),
            token: made.token.clone(),
            workspace: made.workspace_id,
            http: client::http(),
            addresses: addresses.clone(),
            operator: false,
        };
        Self {
            engine: setup.engine,
            workspace: made.workspace_id,
            owner,
            admin_token: made.admin_token.clone(),
            setup,
            data,
            process: RefCell::new(process),
            addresses,
            expected_errors: RefCell::default(),
            earlier_log: RefCell::default(),
        }
    }

    /// Stops it with SIGTERM and starts it again on the same data. Clients go on working.
    pub fn restart(&self) {
        let status = self.process.borrow_mut().stop();
        assert!(status.success(), "the gateway stopped with {status}:\n{}", self.log().join("\n"));
        self.start_again();
    }

    /// Ends it as a power cut would, and starts it again on the same data.
    pub fn crash(&self) {
        self.process.borrow_mut().kill();
        self.start_again();
    }

    fn start_again(&self) {
        let process = Process::start(self.data.serve(&self.setup));
        *self.addresses.write().unwrap() = process.addresses.clone();
        let before = self.process.replace(process);
        self.earlier_log.borrow_mut().extend(before.log());
    }

    /// Another gateway on the same database, as it is with many nodes.
    #[expect(clippy::unused_async, reason = "one waits for every other gateway, too")]
    pub async fn second_node(&self) -> Self {
        assert_eq!(self.engine, Engine::Postgres, "SQLite is for one node");
        Self::launch(self.setup.clone(), self.data.clone(), &self.made())
    }

    /// As [`Gateway::second_node`], set up in another way.
    #[expect(clippy::unused_async, reason = "one waits for every other gateway, too")]
    pub async fn second_node_with(&self, setup: Setup) -> Self {
        assert_eq!(
            (self.engine, setup.engine),
            (Engine::Postgres, Engine::Postgres),
            "SQLite is for one node"
        );
        Self::launch(setup, self.data.clone(), &self.made())
    }

    fn made(&self) -> Bootstrapped {
        Bootstrapped {
            user_id: self.owner.id,
            workspace_id: self.workspace,
            token: self.owner.token.clone(),
            admin_token: self.admin_token.clone(),
        }
    }

    /// Sends its process a signal, SIGHUP say.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        self.process.borrow().signal(signal);
    }

    /// What its process holds in memory.
    pub fn resident_kib(&self) -> u64 {
        self.process.borrow().resident_kib()
    }

    /// The owner of [`Gateway::workspace`].
    pub fn user(&self) -> Client {
        self.owner.clone()
    }

    /// Somebody with this token, in the workspace every gateway begins with.
    pub fn bearer(&self, token: &str) -> Client {
        let owner = self.owner.with_token(token);
        Client { id: Uuid::nil(), name: String::new(), email: String::new(), ..owner }
    }

    /// Somebody without a token or a workspace.
    pub fn anonymous(&self) -> Client {
        self.bearer("").in_workspace(Uuid::nil())
    }

    /// An operator, who talks to the admin listener.
    pub fn admin(&self) -> Client {
        Client { operator: true, workspace: Uuid::nil(), ..self.bearer(&self.admin_token) }
    }

    /// Address and token of the admin listener, for a program that talks to it.
    pub fn admin_access(&self) -> (String, String) {
        (self.addresses.read().unwrap().admin.clone(), self.admin_token.clone())
    }

    /// The folder that holds its data; files a test hands to it may lie there too.
    pub fn folder(&self) -> &Path {
        self.data.folder.path()
    }

    /// Where its database is, for a test that needs a connection of its own.
    pub fn database_url(&self) -> String {
        self.data.url.clone()
    }

    /// Every line it logged, earlier runs on the same data included.
    pub fn log(&self) -> Vec<String> {
        let mut lines = self.earlier_log.borrow().clone();
        lines.extend(self.process.borrow().log());
        lines
    }

    /// The lines from this one on that it logged since it was started last.
    pub fn log_from(&self, line: usize) -> Vec<String> {
        self.process.borrow().log_from(line)
    }

    /// The lines with this text in them, once there are so many: what was logged of an answer may
    /// arrive after the answer.
    pub async fn logged(&self, text: &str, count: usize) -> Vec<String> {
        let find = async || loop {
            let lines: Vec<String> = self.log().into_iter().filter(|line| line.contains(text)).collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::task::yield_now().await;
        };
        let found = tokio::time::timeout(PATIENCE, find()).await;
        found.unwrap_or_else(|_| panic!("`{text}` was not logged {count} times:\n{}", self.log().join("\n")))
    }

    /// The test makes the gateway log an error with this text in it.
    pub fn expect_error(&self, text: &str) {
        self.expected_errors.borrow_mut().push(text.to_owned());
    }

    /// Stops it and looks at what it left behind; see the module's own words.
    pub async fn finish(self) {
        self.check_invariants().await;
        let last = Arc::strong_count(&self.data) == 1;
        if last {
            self.data.database.close().await;
        }
        let status = self.process.borrow_mut().stop();
        let log = self.log();
        assert!(status.success(), "the gateway stopped with {status}:\n{}", log.join("\n"));
        let mut expected = self.expected_errors.borrow().clone();
        let mut unexpected = Vec::new();
        let allowed = expected.clone();
        for line in log.iter().filter(|line| is_error(line)) {
            expected.retain(|text| !line.contains(text));
            // An expected failure leaves the request's own line besides.
            let of_request =
                !allowed.is_empty() && line.contains("http request") && line.contains(" status=5");
            if !of_request && !allowed.iter().any(|text| line.contains(text)) {
                unexpected.push(line.as_str());
            }
        }
        assert!(unexpected.is_empty(), "the gateway logged errors:\n{}", unexpected.join("\n"));
        assert!(expected.is_empty(), "the gateway did not log: {expected:?}");
        if last {
            self.data.discard().await;
        }
    }

    /// As [`Gateway::finish`], where the database was taken away meanwhile: whatever was logged of
    /// that is right, but for a panic.
    pub async fn finish_after_faults(self) {
        self.check_invariants().await;
        let status = self.process.borrow_mut().stop();
        let log = self.log();
        assert!(status.success(), "the gateway stopped with {status}:\n{}", log.join("\n"));
        let panics: Vec<&String> = log.iter().filter(|line| line.contains("panicked at")).collect();
        assert!(panics.is_empty(), "{panics:?}");
        if Arc::strong_count(&self.data) == 1 {
            self.data.database.close().await;
        }
    }

    /// What the query answers, a JSON object a row.
    pub async fn rows(&self, sql: &str, arguments: Value) -> Vec<Value> {
        self.data.database.rows(sql, &arguments).await
    }

    /// The only row of the answer.
    pub async fn row(&self, sql: &str, arguments: Value) -> Value {
        let mut rows = self.rows(sql, arguments).await;
        assert_eq!(rows.len(), 1, "{sql} gave {rows:?}");
        rows.remove(0)
    }

    /// The only column of the only row.
    pub async fn value(&self, sql: &str, arguments: Value) -> Value {
        let row = self.row(sql, arguments).await;
        let members = row.as_object().unwrap();
        assert_eq!(members.len(), 1, "{sql} gave {row}");
        members.values().next().unwrap().clone()
    }

    /// Changes rows and says how many.
    pub async fn execute(&self, sql: &str, arguments: Value) -> u64 {
        self.data.database.execute(sql, &arguments).await
    }

    /// As [`Gateway::execute`], for a statement that the database may refuse.
    pub async fn attempt(&self, sql: &str, arguments: Value) -> Result<u64, String> {
        self.data.database.attempt(sql, &arguments).await
    }

    /// Sets one column of the row with this id.
    pub async fn change(&self, table: &str, id: Uuid, column: &str, value: Value) {
        let sql = format!("UPDATE {table} SET {column} = $2 WHERE id = $1");
        assert_eq!(self.execute(&sql, serde_json::json!([id, value])).await, 1, "{sql}");
    }

    /// Runs a statement in a transaction that stays open until what is given back is dropped.
    pub async fn hold(&self, sql: &str) -> Held {
        self.data.database.hold(sql).await
    }

    /// Adds a row from an object; `null` members are left to the column's default.
    pub async fn insert(&self, table: &str, row: Value) {
        self.data.database.insert(table, &row).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Shown with the failure, where it explains most.
            let log = self.log();
            let tail = &log[log.len().saturating_sub(40)..];
            eprintln!("the gateway's last words:\n{}", tail.join("\n"));
        }
    }
}

fn is_error(line: &str) -> bool {
    let level = line.split_whitespace().nth(1);
    level == Some("ERROR") || line.contains(r#""level":"ERROR""#) || line.contains("panicked at")
}

/// A database and the folder beside it. Nodes share one.
pub(super) struct Data {
    folder: TempDir,
    url: String,
    /// The name on the server, on PostgreSQL.
    name: Option<String>,
    pub(super) database: Database,
}

impl Data {
    async fn copy(engine: Engine, template: &Template) -> Self {
        let folder = tempfile::Builder::new().prefix("switchyard-it-").tempdir().unwrap();
        match engine {
            Engine::Sqlite => {
                let file = folder.path().join("switchyard.db");
                std::fs::write(&file, &template.file).unwrap();
                let url = format!("sqlite:{}", file.display());
                Self { url, name: None, database: Database::sqlite(&file), folder }
            }
            Engine::Postgres => {
                let server = postgres::server();
                let name = server.create(template.database.as_deref()).await;
                let url = server.url(&name);
                Self { database: Database::postgres(&url), url, name: Some(name), folder }
            }
        }
    }

    fn serve(&self, setup: &Setup) -> Command {
        let mut command = command();
        command.current_dir(self.folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]);
        let more = if self.name.is_some() { setup.connection } else { "" };
        command.arg(self.folder.path()).args(["--database-url", &format!("{}{more}", self.url)]);
        if let Some(document) = &setup.plugins {
            let file = self.folder.path().join("plugins.toml");
            if !file.exists() {
                std::fs::write(&file, document).unwrap();
            }
            command.arg("--plugins").arg(file);
        }
        command.args(&setup.flags);
        // Compiled once for all gateways, and once for many runs of the tests.
        command.env("SWITCHYARD_CODE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/code-cache"));
        command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Takes the database away once nobody uses it; a run of the tests makes hundreds.
    async fn discard(&self) {
        if let Some(name) = &self.name {
            postgres::server().drop(name).await;
        }
    }
}

/// What `switchyard bootstrap` made, to be copied for each gateway.
struct Template {
    bootstrapped: Bootstrapped,
    /// The SQLite database; empty on PostgreSQL.
    file: Vec<u8>,
    /// Its name on the server, on PostgreSQL.
    database: Option<String>,
}

#[derive(Deserialize)]
struct Bootstrapped {
    user_id: Uuid,
    workspace_id: Uuid,
    token: String,
    admin_token: String,
}

async fn template(engine: Engine) -> &'static Template {
    static SQLITE: OnceCell<Template> = OnceCell::const_new();
    static POSTGRES: OnceCell<Template> = OnceCell::const_new();
    let cell = if engine == Engine::Sqlite { &SQLITE } else { &POSTGRES };
    cell.get_or_init(|| make_template(engine)).await
}

/// Makes the user and the workspace that every gateway begins with.
fn bootstrap(folder: &Path, url: Option<&str>) -> Bootstrapped {
    let mut command = command();
    command.args([
        "bootstrap",
        "--email",
        "ada@example.com",
        "--name",
        "Ada",
        "--workspace",
        "acme",
        "--json",
    ]);
    command.arg("--data-dir").arg(folder);
    if let Some(url) = url {
        command.args(["--database-url", url]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "bootstrap failed: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn make_template(engine: Engine) -> Template {
    let folder = tempfile::tempdir().unwrap();
    let mut database = None;
    if engine == Engine::Postgres {
        database = Some(postgres::server().create(None).await);
    }
    let url = database.as_deref().map(|name| postgres::server().url(name));
    let bootstrapped = bootstrap(folder.path(), url.as_deref());
    let file = match engine {
        Engine::Sqlite => {
            let file = folder.path().join("switchyard.db");
            // What still lies in the log beside it would not be copied.
            let database = Database::sqlite(&file);
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)", &Value::Null).await;
            database.close().await;
            std::fs::read(file).unwrap()
        }
        Engine::Postgres => Vec::new(),
    };
    Template { bootstrapped, file, database }
}
