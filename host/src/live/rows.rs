//! Runtimes' rows, read for everyone who asks at the same moment with one statement. A lone
//! beat pays for one look; a thousand at once pay for a few.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::model::ids::RuntimeId;
use crate::model::runtime::RuntimeState;
use crate::store::batch::Ids;
use crate::store::{Db, StoreError, runtimes};

/// How many rows one statement reads at the most.
const BATCH: usize = 512;

#[derive(Clone)]
pub struct Rows {
    asked: mpsc::Sender<Asked>,
}

struct Asked {
    id: RuntimeId,
    answer: oneshot::Sender<Answer>,
}

/// All who share a statement share its failure.
type Answer = Result<Option<RuntimeState>, Arc<StoreError>>;

impl Rows {
    pub fn new(db: Db) -> Self {
        let (asked, inbox) = mpsc::channel(BATCH);
        tokio::spawn(read(db, inbox));
        Self { asked }
    }

    pub async fn find(&self, id: RuntimeId) -> Result<Option<RuntimeState>, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.asked.send(Asked { id, answer }).await.is_err() {
            return Err(StoreError::Unavailable(None));
        }
        match answered.await {
            Ok(Ok(row)) => Ok(row),
            Ok(Err(error)) => Err(Arc::into_inner(error).unwrap_or(StoreError::Unavailable(None))),
            Err(_) => Err(StoreError::Unavailable(None)),
        }
    }
}

/// Ends when nobody can ask any more.
async fn read(db: Db, mut inbox: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        let ids = Ids::of(batch.iter().map(|asked| asked.id.0));
        let rows = db.look(|c| {
            let ids = ids.clone();
            Box::pin(runtimes::list_states(c, ids))
        });
        match rows.await {
            Ok(rows) => {
                let rows: HashMap<RuntimeId, RuntimeState> =
                    rows.into_iter().map(|row| (row.id, row)).collect();
                for Asked { id, answer } in batch.drain(..) {
                    // Whoever went away does not want to know.
                    let _ = answer.send(Ok(rows.get(&id).cloned()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for Asked { answer, .. } in batch.drain(..) {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    #[tokio::test]
    async fn everyone_is_answered_and_a_closed_database_is_an_error() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let db = Db::open(&Options::new(format!("sqlite:{}", dir.path().join("a.db").display()))).await?;
        let rows = Rows::new(db.clone());
        let asked = (0..2 * BATCH).map(|_| rows.find(RuntimeId::new()));
        for answer in futures_util::future::join_all(asked).await {
            assert!(answer?.is_none());
        }
        db.close().await;
        assert!(rows.find(RuntimeId::new()).await.is_err());
        Ok(())
    }
}
