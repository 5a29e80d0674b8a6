//! A runtime makes itself heard, over HTTP or a socket: it is noted to live, and gets the
//! requests that wait for it.

use std::sync::LazyLock;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::app::App;
use crate::live::liveness::Known;
use crate::live::pending::Note;
use crate::model::ids::RuntimeId;
use crate::model::pending_request::{ImportInput, Kind, PendingRequest, UpdateInput};
use crate::store::{StoreError, pending_requests};
use crate::telemetry::slow::{BeatLaps, Watch};

/// How long a beat waits to learn whether anything is pending. Four of them stay far below
/// a daemon's own 30 seconds.
const PROBE: Duration = Duration::from_secs(1);
/// How many imports a daemon that says so gets at once.
const IMPORTS: i32 = 10;

/// How many connections questions without an answer may hold, so that a stalled table does
/// not take them all.
static PROBES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4));

#[derive(Debug, Error)]
pub enum HeartbeatError {
    /// The row was deleted since it was read.
    #[error("runtime not found")]
    Gone,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a beat is answered, beside the runtime's id on a socket. Only members that apply.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Heartbeat)]
pub struct Answer {
    /// `ok`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_update: Option<PendingUpdate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_model_list: Option<PendingId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_local_skills: Option<PendingId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_local_skill_import: Option<PendingImport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_local_skill_imports: Vec<PendingImport>,
    pub feature_flags: DaemonFlags,
}

/// A request without more to say.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingId {
    /// 32 hex digits.
    pub id: String,
}

/// The daemon should update its CLI.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingUpdate {
    pub id: String,
    pub target_version: String,
}

/// Somebody wants a skill from the machine's disk.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingImport {
    pub id: String,
    pub skill_key: String,
}

/// All flags that a daemon goes by.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DaemonFlags {
    pub flags: DaemonVariants,
    pub version: u32,
}

/// The variant of each flag: `on`, `off`, or a name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DaemonVariants {
    pub runtime_brief_slim: String,
}

/// The whole procedure, in its order: liveness, flags, then each kind of request. Only the
/// first can fail it. `laps` is told what each took.
pub async fn beat(
    app: &App,
    runtime: &Known,
    batch_import: bool,
    laps: &mut BeatLaps,
) -> Result<Answer, HeartbeatError> {
    let mut watch = Watch::start();
    if !app.liveness.beat(runtime).await? {
        return Err(HeartbeatError::Gone);
    }
    laps.update_ms = watch.lap();
    let runtime_brief_slim = app.flags.runtime_brief_slim.of(runtime.daemon_id.as_deref()).to_owned();
    // They cannot change while the process lives.
    let feature_flags = DaemonFlags { flags: DaemonVariants { runtime_brief_slim }, version: 1 };
    let id = runtime.id;
    let mut one = async |kind| {
        let taken = take(app, id, kind, 1, laps).await;
        taken.into_iter().next()
    };
    let pending_update = one(Kind::Update).await.as_ref().map(update);
    let pending_model_list = one(Kind::ModelList).await.as_ref().map(bare);
    let pending_local_skills = one(Kind::LocalSkills).await.as_ref().map(bare);
    let limit = if batch_import { IMPORTS } else { 1 };
    let imports: Vec<PendingImport> =
        take(app, id, Kind::LocalSkillImport, limit, laps).await.iter().map(import).collect();
    Ok(Answer {
        status: "ok",
        pending_update,
        pending_model_list,
        pending_local_skills,
        pending_local_skill_import: imports.first().cloned(),
        pending_local_skill_imports: if batch_import { imports } else { Vec::new() },
        feature_flags,
    })
}

/// Asks first, within a limit, and takes only what is there, without one: a request that
/// was taken for an answer nobody waited for would be lost. No failure ends the beat.
async fn take(
    app: &App,
    runtime: RuntimeId,
    kind: Kind,
    limit: i32,
    laps: &mut BeatLaps,
) -> Vec<PendingRequest> {
    match app.pending.note(runtime, kind) {
        None => Vec::new(),
        // Nearly nothing ever waits, so that no beat carries along what asking would take.
        Some(note) => Box::pin(take_noted(app, runtime, kind, note, limit, laps)).await,
    }
}

async fn take_noted(
    app: &App,
    runtime: RuntimeId,
    kind: Kind,
    note: Note,
    limit: i32,
    laps: &mut BeatLaps,
) -> Vec<PendingRequest> {
    let mut watch = Watch::start();
    let probed = timeout(PROBE, probe(app, runtime, kind)).await;
    let probe_ms = watch.lap();
    match kind {
        Kind::ModelList => (laps.probe_model_ms, laps.probe_model_timed_out) = (probe_ms, probed.is_err()),
        Kind::LocalSkills => {
            (laps.probe_skills_ms, laps.probe_skills_timed_out) = (probe_ms, probed.is_err());
        }
        Kind::LocalSkillImport => {
            (laps.probe_import_ms, laps.probe_import_timed_out) = (probe_ms, probed.is_err());
        }
        // Nothing waits for the probe of an update, so that one does not count.
        Kind::Update => {}
    }
    match probed {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            app.pending.clear(runtime, kind, note);
            return Vec::new();
        }
        Ok(Err(error)) => {
            tracing::warn!(
                runtime.id = %runtime, kind = kind.as_str(), %error,
                "whether a request waits for the runtime could not be read"
            );
            return Vec::new();
        }
        Err(_) => {
            tracing::warn!(
                runtime.id = %runtime, kind = kind.as_str(),
                "whether a request waits for the runtime was not known in time"
            );
            return Vec::new();
        }
    }
    let now = app.clock.now();
    let taken = app
        .db
        .write(move |c| Box::pin(async move { pending_requests::take(c, runtime, kind, limit, now).await }))
        .await;
    let pop_ms = watch.lap();
    match kind {
        Kind::ModelList => laps.pop_model_ms = pop_ms,
        Kind::LocalSkills => laps.pop_skills_ms = pop_ms,
        Kind::LocalSkillImport => laps.pop_import_ms = pop_ms,
        Kind::Update => {}
    }
    taken.unwrap_or_else(|error: StoreError| {
        tracing::warn!(
            runtime.id = %runtime, kind = kind.as_str(), %error,
            "the requests that wait for the runtime could not be handed over"
        );
        Vec::new()
    })
}

/// Whether a request waits. The question goes on when nobody waits for its answer, because
/// a connection that is given back with a question open stalls whoever takes it next.
async fn probe(app: &App, runtime: RuntimeId, kind: Kind) -> Result<bool, StoreError> {
    let Ok(permit) = PROBES.acquire().await else { return Ok(false) };
    let (db, now) = (app.db.clone(), app.clock.now());
    let asked = tokio::spawn(async move {
        let _permit = permit;
        pending_requests::is_pending(&mut db.reader().await?, runtime, kind, now).await
    });
    asked.await.unwrap_or_else(|_| Err(StoreError::Unavailable(None)))
}

fn bare(request: &PendingRequest) -> PendingId {
    PendingId { id: request.id.clone() }
}

fn update(request: &PendingRequest) -> PendingUpdate {
    let input = serde_json::from_value::<UpdateInput>(request.input.clone());
    let target_version = input.map(|input| input.target_version).unwrap_or_default();
    PendingUpdate { id: request.id.clone(), target_version }
}

fn import(request: &PendingRequest) -> PendingImport {
    let input = serde_json::from_value::<ImportInput>(request.input.clone()).unwrap_or_default();
    PendingImport { id: request.id.clone(), skill_key: input.skill_key }
}
