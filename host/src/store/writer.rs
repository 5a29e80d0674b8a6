//! The one writer of SQLite. What arrived while the last group was being synced runs as
//! the next: one `BEGIN IMMEDIATE`, a savepoint for each caller, one commit, and only then
//! everyone's answer. A commit costs a disk sync, so this is what makes writes cheap.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::SqlitePool;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::conn::{Conn, count_more};
use super::elsewhere::Elsewhere;
use super::error::StoreError;
use super::queue_versions::QueueVersions;

/// How many callers share a commit at the most; more would make the first wait for long.
const GROUP: usize = 256;
/// How many callers may wait. Past it a caller waits for a place before it is queued.
const QUEUE: usize = 4096;

/// What a power cut may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Nothing: the write-ahead log is synced before the answer.
    Durable,
    /// The last moments, never the order or the shape of what is kept.
    Relaxed,
}

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
}

enum Message {
    Job(Job),
    Close(oneshot::Sender<()>),
}

struct Job {
    durability: Durability,
    work: Work,
}

/// Who must know of a commit, and what comes after one.
struct After {
    versions: QueueVersions,
    elsewhere: Elsewhere,
    /// Set while the log is too long.
    long_log: Arc<AtomicBool>,
}

type Work = Box<dyn for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Finished> + Send>;

/// A job that ran: whether its savepoint is kept, and how to tell its caller.
struct Finished {
    keep: bool,
    answer: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

impl Writer {
    /// Starts the thread that owns `pool`'s only connection. A thread, because everybody who
    /// writes waits for each of its steps: among the other tasks each step would wait its turn.
    pub(super) fn start(
        pool: SqlitePool,
        versions: QueueVersions,
        elsewhere: Elsewhere,
        long_log: Arc<AtomicBool>,
    ) -> Result<Self, StoreError> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let after = After { versions, elsewhere, long_log };
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned());
        // Without a runtime of its own it sleeps on a futex, which is a lighter sleep than a poll.
        let runtime = Handle::current();
        let started = thread.spawn(move || runtime.block_on(run(pool, inbox, after)));
        started.map_err(|error| StoreError::Unsupported(format!("no thread for the writer: {error}")))?;
        Ok(Self { jobs })
    }

    pub(super) async fn run<T, E, F>(&self, durability: Durability, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel::<Result<T, E>>();
        let work: Work = Box::new(move |conn| {
            // The call itself is inside the future, so that a panic is caught below.
            async move {
                let result = work(conn).await;
                Finished {
                    keep: result.is_ok(),
                    answer: Box::new(move |committed| {
                        let result = match committed {
                            Ok(()) => result,
                            Err(error) => result.and_then(|_| Err(E::from(error))),
                        };
                        // A caller that went away does not want to know.
                        let _ = answer.send(result);
                    }),
                }
            }
            .boxed()
        });
        let job = Message::Job(Job { durability, work });
        if self.jobs.send(job).await.is_err() {
            return Err(StoreError::Unavailable(None).into());
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable(None).into()))
    }

    /// Returns when everything queued so far is committed.
    pub(super) async fn close(&self) {
        let (done, finished) = oneshot::channel();
        if self.jobs.send(Message::Close(done)).await.is_ok() {
            let _ = finished.await;
        }
    }
}

async fn run(pool: SqlitePool, mut inbox: mpsc::Receiver<Message>, after: After) {
    let mut synced = None;
    let mut held: Option<Conn> = None;
    while let Some(message) = inbox.recv().await {
        let mut group = Vec::new();
        let mut closing = None;
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Job(job) => group.push(job),
                Message::Close(done) => closing = Some(done),
            }
            next = if group.len() < GROUP && closing.is_none() { inbox.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            let mut conn = match held.take() {
                Some(conn) => conn,
                None => match pool.acquire().await {
                    Ok(conn) => Conn::sqlite(conn),
                    Err(error) => {
                        // The callers' channels close, which they read as unavailable.
                        tracing::error!(%error, "the writer could not open its connection");
                        continue;
                    }
                },
            };
            match commit_group(&mut conn, group, &mut synced, &after).await {
                Ok(()) => {
                    if after.long_log.swap(false, Ordering::Relaxed) {
                        fold_log_back(&mut conn).await;
                    }
                    held = Some(conn);
                }
                Err(error) => {
                    // Whatever state it is in, a new connection is in none.
                    tracing::error!(%error, "a group of writes failed; the connection is replaced");
                    synced = None;
                    if let Conn::Sqlite(handle) = conn {
                        let _ = handle.conn.close().await;
                    }
                }
            }
        }
        if let Some(done) = closing {
            drop(held.take());
            pool.close().await;
            let _ = done.send(());
            return;
        }
    }
}

macro_rules! begin {
    () => {
        "BEGIN IMMEDIATE"
    };
}

macro_rules! begin_group {
    () => {
        "BEGIN IMMEDIATE; SAVEPOINT caller"
    };
}

/// Runs a group as one transaction. An error means the connection must not be used again;
/// every caller has been answered either way.
async fn commit_group(
    conn: &mut Conn,
    group: Vec<Job>,
    synced: &mut Option<Durability>,
    after: &After,
) -> Result<(), StoreError> {
    let durability = if group.iter().any(|job| job.durability == Durability::Durable) {
        Durability::Durable
    } else {
        Durability::Relaxed
    };
    let alone = group.len() == 1;
    // Of what the disk must hold a transaction is told before it begins.
    let begin = match (durability, *synced == Some(durability), alone) {
        (_, true, true) => BEGIN,
        (_, true, false) => BEGIN_GROUP,
        (Durability::Durable, false, true) => concat!("PRAGMA synchronous = FULL; ", begin!()),
        (Durability::Durable, false, false) => concat!("PRAGMA synchronous = FULL; ", begin_group!()),
        (Durability::Relaxed, false, true) => concat!("PRAGMA synchronous = NORMAL; ", begin!()),
        (Durability::Relaxed, false, false) => concat!("PRAGMA synchronous = NORMAL; ", begin_group!()),
    };
    execute(conn, begin).await?;
    *synced = Some(durability);
    let ours = after.elsewhere.begin();
    let mut answers = Vec::with_capacity(group.len());
    let mut anything = false;
    let mut left = group.len();
    for job in group {
        left -= 1;
        let finished = AssertUnwindSafe(async { (job.work)(conn).await }).catch_unwind().await;
        let keep = finished.as_ref().is_ok_and(|finished| finished.keep);
        anything |= keep;
        if !alone {
            match (keep, left) {
                // The commit keeps the last.
                (true, 0) => {}
                (true, _) => execute(conn, KEEP_AND_NEXT).await?,
                (false, 0) => execute(conn, TAKE_BACK).await?,
                (false, _) => execute(conn, TAKE_BACK_AND_NEXT).await?,
            }
        }
        match finished {
            Ok(finished) => answers.push(finished),
            Err(_) => tracing::error!("a write panicked and was taken back"),
        }
    }
    let ended = execute(conn, if anything { "COMMIT" } else { "ROLLBACK" }).await;
    // Before anybody is answered, because an answer leads to a wakeup.
    drop(ours);
    after.versions.entered(&conn.take_notes());
    let failed = ended.is_err();
    for finished in answers {
        let committed = if failed && finished.keep { Err(StoreError::Unavailable(None)) } else { Ok(()) };
        (finished.answer)(committed);
    }
    ended
}

// Each text goes to the database's thread as one: the way there costs more than what is done.
const BEGIN: &str = begin!();
const BEGIN_GROUP: &str = begin_group!();
const KEEP_AND_NEXT: &str = "RELEASE caller; SAVEPOINT caller";
const TAKE_BACK: &str = "ROLLBACK TO caller";
const TAKE_BACK_AND_NEXT: &str = "ROLLBACK TO caller; RELEASE caller; SAVEPOINT caller";

/// Between two writes is the only moment when the whole log can be folded back; the next
/// write then begins it anew, if nobody still reads from it. Waits for no reader: there will
/// be another moment.
async fn fold_log_back(conn: &mut Conn) {
    if let Err(error) = execute(conn, "PRAGMA wal_checkpoint(PASSIVE)").await {
        tracing::debug!(%error, "the log goes on");
    }
}

async fn execute(conn: &mut Conn, sql: &'static str) -> Result<(), StoreError> {
    count_more(sql);
    on_conn!(conn, |c| sqlx::query(sql).execute(c).await.map(drop))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Db, Options};
    use super::*;

    #[derive(Clone, Copy)]
    enum End {
        Well,
        Badly,
        InPanic,
    }

    async fn write(db: &Db, number: i64, end: End) -> Result<(), StoreError> {
        db.write(move |c| {
            Box::pin(async move {
                const SQL: &str = "INSERT INTO written VALUES ($1)";
                on_conn!(c, |c| sqlx::query(SQL).bind(number).execute(c).await.map(drop))?;
                match end {
                    End::Well => Ok(()),
                    End::Badly => Err(StoreError::Unsupported("it went badly".to_owned())),
                    End::InPanic => panic!("a caller panics"),
                }
            })
        })
        .await
    }

    #[tokio::test]
    async fn who_fails_in_a_group_takes_back_its_own_and_nobody_elses() -> anyhow::Result<()> {
        const MAKE: &str = "CREATE TABLE written (number INTEGER NOT NULL)";
        const KEPT: &str = "SELECT number FROM written ORDER BY number";
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("switchyard.db");
        let db = Db::open(&Options::new(format!("sqlite:{}", file.display()))).await?;
        let made: Result<(), StoreError> = db.write(|c| Box::pin(execute(c, MAKE))).await;
        made?;
        // Whatever comes while the first is under way becomes one group.
        let (release, released) = oneshot::channel::<()>();
        let first = db.write(|_| {
            Box::pin(async move {
                let _ = released.await;
                Ok::<_, StoreError>(())
            })
        });
        let answers = tokio::join!(
            first,
            write(&db, 1, End::Well),
            write(&db, 2, End::Badly),
            write(&db, 3, End::Well),
            write(&db, 4, End::InPanic),
            write(&db, 5, End::Well),
            write(&db, 6, End::Badly),
            async { release.send(()) },
        );
        assert!(answers.0.is_ok() && answers.1.is_ok() && answers.3.is_ok() && answers.5.is_ok());
        assert!(answers.2.is_err() && answers.4.is_err() && answers.6.is_err());
        let mut conn = db.reader().await?;
        let kept: Vec<i64> = on_conn!(&mut conn, |c| sqlx::query_scalar(KEPT).fetch_all(c).await)?;
        assert_eq!(kept, [1, 3, 5]);
        Ok(())
    }
}
