//! A fresh database for each seed, and the rows as they are in it.

use std::path::{Path, PathBuf};

use sqlx::{Connection, PgConnection, SqliteConnection};
use switchyard::model::time::Clock;
use tempfile::TempDir;
use uuid::Uuid;

use crate::laws::Row;
use crate::server::Server;
use crate::{block_on, postgres};

const ALL: &str = "SELECT id, agent_id, runtime_id, issue_id, status, error FROM agent_task_queue
    ORDER BY created_at, id";

const FILE: &str = "sim.db";

pub enum Database {
    /// With the file that each seed begins with: migrating one takes as long as many steps.
    Sqlite {
        migrated: Vec<u8>,
    },
    Postgres,
}

impl Database {
    pub fn sqlite() -> Self {
        let empty = Self::Sqlite { migrated: Vec::new() };
        let migrated = block_on(async {
            let place = empty.place().await;
            Server::start(&place, &Clock::system()).await.crash().await;
            std::fs::read(place.folder().join(FILE)).unwrap()
        });
        Self::Sqlite { migrated }
    }

    pub fn postgres() -> Self {
        postgres::server();
        Self::Postgres
    }

    pub async fn place(&self) -> Place {
        // In memory where there is such a folder: power cuts are not what is simulated.
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() }.unwrap();
        let plugins = folder.path().join("plugins.toml");
        std::fs::write(&plugins, "").unwrap();
        let (url, name) = match self {
            Self::Sqlite { migrated } => {
                let file = folder.path().join(FILE);
                if !migrated.is_empty() {
                    std::fs::write(&file, migrated).unwrap();
                }
                (format!("sqlite:{}", file.display()), None)
            }
            Self::Postgres => {
                let name = postgres::server().create(None).await;
                (postgres::server().url(&name), Some(name))
            }
        };
        Place { folder, url, plugins, name }
    }
}

/// Where one seed lives; gone with it.
pub struct Place {
    folder: TempDir,
    url: String,
    plugins: PathBuf,
    name: Option<String>,
}

impl Place {
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// An empty plugin document: plugins have tests of their own.
    pub fn no_plugins(&self) -> PathBuf {
        self.plugins.clone()
    }

    /// Takes the database away; the folder goes by itself.
    pub async fn remove(&self) {
        if let Some(name) = &self.name {
            postgres::server().drop(name).await;
        }
    }
}

/// A connection of the observer's own.
pub enum Rows {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Rows {
    pub async fn open(place: &Place) -> Self {
        match place.name {
            None => Self::Sqlite(SqliteConnection::connect(&place.url).await.unwrap()),
            Some(_) => Self::Postgres(PgConnection::connect(&place.url).await.unwrap()),
        }
    }

    /// Every task, oldest first.
    pub async fn all(&mut self) -> Vec<Row> {
        let rows = match self {
            Self::Sqlite(conn) => sqlx::query_as(ALL).fetch_all(conn).await,
            Self::Postgres(conn) => sqlx::query_as(ALL).fetch_all(conn).await,
        };
        let row = |(id, agent_id, runtime_id, issue_id, status, error)| Row {
            id,
            agent_id,
            runtime_id,
            issue_id,
            status,
            error,
        };
        rows.unwrap().into_iter().map(row).collect()
    }

    /// What no honest code does: writes a status, at the most asking for the one before. A
    /// uniqueness rule may still refuse it.
    pub async fn set_status(&mut self, id: Uuid, to: &str, from: Option<&str>) {
        const SQL: &str =
            "UPDATE agent_task_queue SET status = $2 WHERE id = $1 AND ($3 IS NULL OR status = $3)";
        let done = match self {
            Self::Sqlite(conn) => sqlx::query(SQL).bind(id).bind(to).bind(from).execute(conn).await.map(drop),
            Self::Postgres(conn) => {
                sqlx::query(SQL).bind(id).bind(to).bind(from).execute(conn).await.map(drop)
            }
        };
        drop(done);
    }

    pub async fn close(self) {
        match self {
            Self::Sqlite(conn) => conn.close().await.unwrap(),
            Self::Postgres(conn) => conn.close().await.unwrap(),
        }
    }
}
