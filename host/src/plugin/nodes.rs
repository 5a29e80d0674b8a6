//! What each node runs. Nodes that share a database say so there, at every change and once
//! in a while; one that is not seen any more is forgotten.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::document::Fault;
use super::plugins::Plugins;
use crate::model::time::{Time, as_seconds};
use crate::store::plugin_nodes::{self as rows, NodeRow};
use crate::store::{Db, StoreError};

/// How often a node says that it is there.
const BEAT: Duration = Duration::from_secs(10);
/// After this long without a word it is gone.
const GONE: Duration = Duration::from_secs(45);

/// This node.
pub struct Node {
    pub id: Uuid,
    name: OnceLock<String>,
    since: Mutex<Option<Time>>,
    /// The latest set that was made here, and not taken over from another node.
    made: AtomicU64,
}

/// A newer set that does not run here, and why.
pub struct Stuck {
    pub generation: u64,
    pub faults: Vec<Fault>,
}

/// A node, as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeBody {
    pub id: Uuid,
    /// Its machine and the address where it listens.
    pub name: String,
    pub generation: u64,
    pub digest: String,
    /// When it began to run this generation.
    #[serde(serialize_with = "as_seconds::serialize")]
    pub since: Time,
    #[serde(serialize_with = "as_seconds::serialize")]
    pub last_seen_at: Time,
    /// Whether it is the one that answers.
    pub answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<StuckBody>,
}

/// A newer generation that does not run there.
#[derive(Clone, Debug, Serialize)]
pub struct StuckBody {
    pub generation: u64,
    pub faults: Value,
}

impl Node {
    pub(super) fn new() -> Self {
        Self { id: Uuid::new_v4(), name: OnceLock::new(), since: Mutex::default(), made: AtomicU64::new(0) }
    }

    pub(super) fn runs_since(&self, at: Time) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    pub(super) fn has_made(&self, generation: u64) {
        self.made.fetch_max(generation, Ordering::SeqCst);
    }

    pub fn name(&self) -> &str {
        self.name.get().map_or("this node", String::as_str)
    }
}

/// Gives this node its name and, where others share the database, says there what it runs
/// until the gateway stops. `tell` hears the number of each set that was made here.
pub fn join(
    plugins: Plugins,
    name: String,
    tell: impl Fn(u64) + Send + 'static,
    stopping: CancellationToken,
) -> JoinHandle<()> {
    plugins.node().name.get_or_init(|| name);
    tokio::spawn(async move {
        let Some(db) = plugins.history().shared().cloned() else { return };
        let mut changes = plugins.changes();
        let mut told = 0;
        loop {
            let made = plugins.node().made.load(Ordering::SeqCst);
            if made > told {
                tell(made);
                told = made;
            }
            if let Err(error) = report(&db, &plugins).await {
                tracing::debug!(%error, "other nodes cannot see what runs here");
            }
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = changes.changed() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
        }
        let id = plugins.node().id;
        let left: Result<(), StoreError> =
            db.write_soon(move |conn| Box::pin(async move { rows::delete(conn, id).await })).await;
        if let Err(error) = left {
            tracing::debug!(%error, "this node is forgotten when it was not seen for a while");
        }
    })
}

async fn report(db: &Db, plugins: &Plugins) -> Result<(), StoreError> {
    let own = plugins.own_node();
    let gone = own.last_seen_at - GONE;
    let row = NodeRow {
        id: own.id,
        name: own.name,
        generation: i64::try_from(own.generation).unwrap_or(i64::MAX),
        digest: own.digest,
        since: own.since,
        last_seen_at: own.last_seen_at,
        stuck_at: own.stuck.as_ref().map(|stuck| i64::try_from(stuck.generation).unwrap_or(i64::MAX)),
        faults: own.stuck.map(|stuck| stuck.faults.to_string()),
    };
    db.write_soon(move |conn| {
        Box::pin(async move {
            rows::upsert(conn, &row).await?;
            rows::delete_unseen(conn, gone).await
        })
    })
    .await
}

impl Plugins {
    /// Every node that was seen lately, this one included.
    pub async fn nodes(&self) -> Result<Vec<NodeBody>, StoreError> {
        let own = self.own_node();
        let mut nodes = Vec::new();
        if let Some(db) = self.history().shared() {
            let rows = rows::list(&mut db.reader().await?, own.last_seen_at - GONE).await?;
            nodes.extend(rows.into_iter().filter(|row| row.id != own.id).map(body));
        }
        nodes.push(own);
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(nodes)
    }

    pub fn node_name(&self) -> &str {
        self.node().name()
    }

    fn own_node(&self) -> NodeBody {
        let (running, node, now) = (self.snapshot(), self.node(), self.clock().now());
        let since = *node.since.lock().unwrap_or_else(PoisonError::into_inner);
        NodeBody {
            id: node.id,
            name: node.name().to_owned(),
            generation: running.number,
            digest: running.digest.clone(),
            since: since.unwrap_or(running.applied_at),
            last_seen_at: now,
            answers: true,
            stuck: self.stuck().map(|stuck| StuckBody {
                generation: stuck.generation,
                faults: serde_json::to_value(&stuck.faults).unwrap_or_default(),
            }),
        }
    }
}

fn body(row: NodeRow) -> NodeBody {
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let faults = row.faults.and_then(|text| serde_json::from_str(&text).ok());
    NodeBody {
        id: row.id,
        name: row.name,
        generation: number(row.generation),
        digest: row.digest,
        since: row.since,
        last_seen_at: row.last_seen_at,
        answers: false,
        stuck: row
            .stuck_at
            .map(|at| StuckBody { generation: number(at), faults: faults.unwrap_or_default() }),
    }
}
