//! Claims that arrive while others are under way wait for them, and then go together: one
//! look at all their queues, one write, one reading of what their answers need. A claim that
//! comes alone goes at once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::at_rest::AtRest;
use super::claim::{PREPARE_LEASE, REDELIVER_AFTER, TOKEN_LIFE};
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
use crate::model::task::Task;
use crate::model::time::Clock;
use crate::store::claim_heads::{self, Ask, Head, Moments};
use crate::store::claim_surroundings::{self, Surroundings};
use crate::store::queue::{self, Prospect};
use crate::store::{Db, StoreError};

/// How many claims go together at the most; more would make the first wait for long.
const GROUP: usize = 64;
/// How often a claim joins a group, when its agent gave its task to another in the last one.
const TRIES: u8 = 3;

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Claims(Arc<Shared>);

struct Shared {
    db: Db,
    clock: Clock,
    at_rest: AtRest,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// Whether somebody runs groups. One at a time: on PostgreSQL another group would find agents
    /// locked and get nothing, and a larger group costs less than two.
    is_driven: bool,
}

struct Request {
    ask: Ask,
    /// Of the runtime's queue, before anybody looked.
    version: Option<u64>,
    tries: u8,
    answer: oneshot::Sender<Shares>,
}

/// What a claim gets from its group.
pub enum Shares {
    Granted(Box<Granted>),
    /// Nothing is queued, due or lost.
    Nothing,
    /// Nothing is due or lost, and of what is queued nothing may leave.
    Blocked,
    /// It must be looked at alone.
    Alone,
}

/// A new claim, with what its answer needs.
pub struct Granted {
    pub task: Task,
    pub workspace_id: WorkspaceId,
    pub owner_id: UserId,
    pub surroundings: Option<Box<Surroundings>>,
}

impl Claims {
    pub fn new(db: Db, clock: Clock, at_rest: AtRest) -> Self {
        Self(Arc::new(Shared { db, clock, at_rest, waiting: Mutex::default() }))
    }

    /// Claims the head of the runtime's queue together with whoever waits now.
    pub async fn ask(&self, runtime: RuntimeId, token_hash: String, version: Option<u64>) -> Shares {
        let (answer, answered) = oneshot::channel();
        let request = Request { ask: Ask { runtime, token_hash }, version, tries: 0, answer };
        let drive = {
            let mut waiting = self.0.waiting();
            waiting.requests.push_back(request);
            !std::mem::replace(&mut waiting.is_driven, true)
        };
        if drive {
            let shared = self.0.clone();
            tokio::spawn(async move { shared.drive().await });
        }
        // A driver that broke off took nothing that its transaction did not keep.
        answered.await.unwrap_or(Shares::Alone)
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A queue is never left half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs groups until nobody waits.
    async fn drive(self: Arc<Self>) {
        let mut leaving = Leaving { shared: &self, drives: true };
        while let Some(group) = self.next_group() {
            self.run(group).await;
        }
        leaving.drives = false;
    }

    /// The next claims, each of another runtime. When there are none the driver leaves in the
    /// same breath, so that whoever comes next starts another.
    fn next_group(&self) -> Option<Vec<Request>> {
        let mut waiting = self.waiting();
        let mut runtimes = HashSet::new();
        let mut group = Vec::new();
        let mut later = VecDeque::new();
        while group.len() < GROUP
            && let Some(request) = waiting.requests.pop_front()
        {
            if runtimes.insert(request.ask.runtime) {
                group.push(request);
            } else {
                later.push_back(request);
            }
        }
        later.append(&mut waiting.requests);
        waiting.requests = later;
        if group.is_empty() {
            waiting.is_driven = false;
            return None;
        }
        Some(group)
    }

    async fn run(&self, group: Vec<Request>) {
        let now = self.clock.now();
        let at = Moments {
            now,
            lost_before: now - REDELIVER_AFTER,
            lease: now + PREPARE_LEASE,
            expires: now + TOKEN_LIFE,
        };
        let Ok(prospects) = self.look(&group, at).await else {
            // Each finds out for itself what is wrong, and says so.
            return group.into_iter().for_each(Request::alone);
        };
        let mut claiming = Vec::with_capacity(group.len());
        for request in group {
            let of = prospects.iter().find(|(runtime, _)| *runtime == request.ask.runtime);
            match of {
                Some((runtime, prospect)) if !prospect.claimable => {
                    if prospect.at_rest {
                        self.at_rest.prove(*runtime, request.version);
                    }
                    request.answer(Shares::Nothing);
                }
                _ => claiming.push(request),
            }
        }
        if claiming.is_empty() {
            return;
        }
        let asks: Vec<Ask> = claiming.iter().map(|request| request.ask.clone()).collect();
        let shared =
            self.db.write_once_soon(move |c| Box::pin(async move { claim_heads::claim(c, &asks, at).await }));
        let shared: Result<claim_heads::Shared, StoreError> = shared.await;
        let shared = shared.unwrap_or_else(|error| {
            tracing::debug!(%error, "claims that went together go alone");
            claim_heads::Shared::default()
        });
        let surroundings = self.surroundings(&shared.heads).await;
        self.hand_out(claiming, shared, surroundings);
    }

    async fn look(&self, group: &[Request], at: Moments) -> Result<Vec<(RuntimeId, Prospect)>, StoreError> {
        let runtimes: Vec<RuntimeId> = group.iter().map(|request| request.ask.runtime).collect();
        let look = self.db.look(|c| {
            let runtimes = runtimes.clone().into_iter();
            Box::pin(queue::list_prospects(c, runtimes, at.lost_before, at.now))
        });
        look.await
    }

    async fn surroundings(&self, heads: &[Head]) -> Vec<Surroundings> {
        if heads.is_empty() {
            return Vec::new();
        }
        let read = async {
            let mut conn = self.db.reader().await?;
            claim_surroundings::list(&mut conn, heads.iter().map(|head| head.task.id)).await
        };
        // What is missing is read again for each answer, which fails if that fails.
        read.await.unwrap_or_default()
    }

    fn hand_out(
        &self,
        claiming: Vec<Request>,
        shared: claim_heads::Shared,
        mut surroundings: Vec<Surroundings>,
    ) {
        let claim_heads::Shared { mut heads, idle } = shared;
        let none_at_all = heads.is_empty();
        for mut request in claiming {
            let granted = heads.iter().position(|head| head.task.runtime_id == request.ask.runtime);
            if let Some(at) = granted {
                let Head { task, workspace_id, owner_id } = heads.swap_remove(at);
                let around = surroundings.iter().position(|around| around.task_id == task.id);
                let around = around.map(|at| Box::new(surroundings.swap_remove(at)));
                request.answer(Shares::Granted(Box::new(Granted {
                    task,
                    workspace_id,
                    owner_id,
                    surroundings: around,
                })));
            } else if idle.contains(&request.ask.runtime) {
                request.answer(Shares::Blocked);
            } else if none_at_all || request.tries + 1 >= TRIES {
                request.alone();
            } else {
                request.tries += 1;
                self.waiting().requests.push_back(request);
            }
        }
    }
}

impl Request {
    fn answer(self, shares: Shares) {
        // A caller that went away does not want to know; what it claimed is handed out again.
        let _ = self.answer.send(shares);
    }

    fn alone(self) {
        self.answer(Shares::Alone);
    }
}

/// When a driver panics: sends those who wait off alone, and lets the next claim start another.
struct Leaving<'a> {
    shared: &'a Shared,
    drives: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.drives {
            let mut waiting = self.shared.waiting();
            waiting.is_driven = false;
            waiting.requests.clear();
        }
    }
}
