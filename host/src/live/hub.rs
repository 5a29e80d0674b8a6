//! The sockets of daemons: which runtimes each carries, and what is pushed to it. Hints
//! only; a daemon that hears nothing finds everything at its next beat or poll.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::lines::{Counts, Delivery, Ending, Frame, Limits, Line, Lines, Opened, Outlet, Refused};
use crate::model::ids::{RuntimeId, TaskId, UserId, WorkspaceId};
use crate::model::revoked::{Openers, Revoked, TokenHash};

/// A daemon needs one socket; the rest is room for those that reconnect before the old
/// socket was noticed to be dead, and for a person with many machines behind one token.
const LIMITS: Limits = Limits { queue: 16, lines: 20_000, per_owner: 512 };

/// What a daemon's line is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Topic {
    Runtime(RuntimeId),
    Workspace(WorkspaceId),
    User(UserId),
    Token(TokenHash),
}

/// Cheap to clone; every clone is the same hub.
#[derive(Clone)]
pub struct Hub {
    lines: Lines<Topic>,
    wakeups: Arc<Wakeups>,
}

#[derive(Default)]
struct Wakeups {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Default for Hub {
    fn default() -> Self {
        Self { lines: Lines::new(LIMITS), wakeups: Arc::default() }
    }
}

impl Hub {
    /// Opens a daemon's line.
    pub fn join(
        &self,
        owner: &str,
        opened: Opened,
        runtimes: &[RuntimeId],
        workspaces: &[WorkspaceId],
    ) -> Result<(Line<Topic>, Outlet), Refused> {
        let runtimes = runtimes.iter().copied().map(Topic::Runtime);
        let workspaces = workspaces.iter().copied().map(Topic::Workspace);
        let opened = opened.token.map(Topic::Token).into_iter().chain(opened.user.map(Topic::User));
        self.lines.join(owner, runtimes.chain(workspaces).chain(opened).collect(), None)
    }

    /// Ends the lines that were opened by what was revoked.
    pub fn shut_out(&self, revoked: &Revoked) {
        match *revoked {
            Revoked::Token(token) => self.lines.end(&[Topic::Token(token)], Ending::NotAllowed),
            Revoked::Member { user, workspace } => {
                self.lines.end(&[Topic::User(user), Topic::Workspace(workspace)], Ending::NotAllowed);
            }
        }
    }

    /// By what the lines were opened.
    pub fn openers(&self, into: &mut Openers) {
        self.lines.each(|keys| {
            let users =
                keys.iter().filter_map(|key| if let Topic::User(user) = key { Some(*user) } else { None });
            for user in users {
                into.members.extend(keys.iter().filter_map(|key| match key {
                    Topic::Workspace(workspace) => Some((user, *workspace)),
                    _ => None,
                }));
            }
            into.tokens.extend(keys.iter().filter_map(|key| match key {
                Topic::Token(token) => Some(*token),
                _ => None,
            }));
        });
    }

    /// There may be something to claim on the runtime; `task` when it is known which.
    pub fn task_available(&self, runtime: RuntimeId, task: Option<TaskId>) {
        let mut payload = Map::new();
        payload.insert("runtime_id".to_owned(), runtime.to_string().into());
        if let Some(task) = task {
            payload.insert("task_id".to_owned(), task.to_string().into());
        }
        let delivery = self.send(Topic::Runtime(runtime), "daemon:task_available", &Value::Object(payload));
        let counter = if delivery.sent > 0 { &self.wakeups.hits } else { &self.wakeups.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A custom runtime of the workspace was added, changed or removed; `profile` says
    /// which. Its daemons register again.
    pub fn profiles_changed(&self, workspace: WorkspaceId, profile: Option<Uuid>) {
        let mut payload = Map::new();
        payload.insert("workspace_id".to_owned(), workspace.to_string().into());
        if let Some(profile) = profile {
            payload.insert("runtime_profile_id".to_owned(), profile.to_string().into());
        }
        self.send(Topic::Workspace(workspace), "daemon:runtime_profiles_changed", &Value::Object(payload));
    }

    /// Closes every socket with a word of goodbye.
    pub async fn drain(&self) {
        self.lines.drain().await;
    }

    /// For operators.
    pub fn counts(&self) -> Counts {
        self.lines.counts()
    }

    /// How many wakeups found a socket, and how many found none.
    pub fn wakeups(&self) -> (u64, u64) {
        (self.wakeups.hits.load(Ordering::Relaxed), self.wakeups.misses.load(Ordering::Relaxed))
    }

    fn send(&self, topic: Topic, kind: &str, payload: &Value) -> Delivery {
        // Most runtimes of a deployment without sockets are polled: make no frame for nobody.
        if self.lines.is_empty() {
            return Delivery::default();
        }
        let frame: Frame = json!({"type": kind, "payload": payload}).to_string().into();
        self.lines.send(topic, Uuid::now_v7(), &frame)
    }
}
