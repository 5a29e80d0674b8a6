//! The daemon's socket: one for all of its runtimes. It carries beats one way and hints the
//! other; everything it does can also be done over HTTP.

use std::collections::{HashMap, HashSet};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::auth::{Identity, token};
use crate::dispatch::heartbeat::{self, Answer, HeartbeatError};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, may_use};
use crate::http::guard::bearer;
use crate::http::websocket::{self, Proof};
use crate::live::hub::Topic;
use crate::live::lines::{Line, Opened};
use crate::model::ids::{RuntimeId, WorkspaceId};
use crate::store::StoreError;
use crate::telemetry::metrics;
use crate::telemetry::slow::BeatLaps;

/// The longest message a daemon may send; a beat is a hundredth of that.
const MESSAGE_LIMIT: usize = 4096;
/// What is set aside to read into.
const READ_BUFFER: usize = 4 << 10;
/// The most runtimes that one socket may carry.
const RUNTIMES: usize = 1024;

/// Opens a daemon's socket.
///
/// Every frame is a JSON object with a `type` and a `payload`. The daemon sends
/// `daemon:heartbeat` with the members of `POST /api/daemon/heartbeat`, and is answered
/// `daemon:heartbeat_ack` with those of its answer and the `runtime_id`, or with the status
/// `runtime_gone`. It gets `daemon:task_available` with a `runtime_id` and a `task_id` when
/// a task waits, and `daemon:runtime_profiles_changed` with a `workspace_id` and a
/// `runtime_profile_id`. The gateway pings every 54 seconds and drops a daemon that does
/// not answer.
///
/// Every id is checked before the upgrade; one that is refused refuses them all.
#[utoipa::path(get, path = "/api/daemon/ws", tag = "daemon",
    params(("runtime_ids" = Option<String>, Query, description = "The ids of the daemon's runtimes, separated by commas"),
        ("runtime_id" = Option<String>, Query, description = "One of them; both may be repeated")),
    responses((status = 101, description = "The socket is open"), (status = 400, description = "No id, a malformed one, or no WebSocket handshake",
            content((ErrorBody = "application/json"), (String = "text/plain"))),
        (status = 404, body = ErrorBody, description = "No such runtime, or not the caller's")))]
pub(super) async fn upgrade(
    app: App,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let ids = named_runtimes(&uri);
    if ids.is_empty() {
        return Err(Error::bad_request("runtime_ids required"));
    }
    if ids.len() > RUNTIMES {
        return Err(Error::bad_request(format!(
            "runtime_ids has {} entries; send at most {RUNTIMES}",
            ids.len()
        )));
    }
    let carried = Carried::check(&app, &caller, ids).await?;
    let Ok(upgrade) = upgrade else {
        return Ok(websocket::no_handshake());
    };
    let token = bearer(&headers).unwrap_or_default();
    let opened = Opened { token: token::revocable(token), user: caller.user_id() };
    let joined = app.hub.join(&owner(&caller.0), opened, &carried.runtimes, &carried.workspaces);
    let (line, outlet) = joined.map_err(|refused| {
        tracing::warn!(%refused, "a daemon's socket was refused");
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "daemon websocket unavailable")
    })?;
    // What was revoked before the line was there did not end it.
    app.auth.daemon_plane(token).await?;
    for workspace in &carried.workspaces {
        let failed = |error: StoreError| Error::internal("failed to load runtime", error);
        if !may_use(&app, &caller, *workspace).await.map_err(failed)? {
            return Err(Error::not_found("not found"));
        }
    }
    tracing::info!(
        runtimes = carried.runtimes.len(),
        client.version = headers.get("x-client-version").and_then(|value| value.to_str().ok()),
        "a daemon opens a socket"
    );
    // The buffer is there for as long as the socket is, and what comes in is short.
    let upgrade = upgrade.read_buffer_size(READ_BUFFER);
    let upgrade = upgrade.max_message_size(MESSAGE_LIMIT).max_frame_size(MESSAGE_LIMIT);
    Ok(upgrade.on_upgrade(async move |socket| {
        let inbound = websocket::open(socket, outlet, line.end.clone(), Proof::Pong, app.socket_timeout);
        serve(&app, &caller, &carried, line, inbound).await;
    }))
}

/// What a socket carries, fixed for its life.
struct Carried {
    /// The runtimes as the daemon spelt them.
    named: HashMap<String, RuntimeId>,
    runtimes: Vec<RuntimeId>,
    workspaces: Vec<WorkspaceId>,
}

impl Carried {
    /// Reads all rows at once and judges them in the order they were named.
    async fn check(app: &App, caller: &Caller, ids: Vec<String>) -> Result<Self, Error> {
        let failed = |error: StoreError| Error::internal("failed to load runtime", error);
        let parsed: Vec<RuntimeId> = ids.iter().filter_map(|id| RuntimeId::parse(id)).collect();
        let rows = app.liveness.meet(&parsed).await.map_err(failed)?;
        let rows: HashMap<RuntimeId, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        let mut carried = Self { named: HashMap::new(), runtimes: Vec::new(), workspaces: Vec::new() };
        for named in ids {
            let id = RuntimeId::parse(&named).ok_or_else(|| Error::bad_request("invalid runtime_id"))?;
            let row = rows.get(&id).ok_or_else(|| Error::not_found("runtime not found"))?;
            if !may_use(app, caller, row.workspace_id).await.map_err(failed)? {
                return Err(Error::not_found("not found"));
            }
            if let Identity::Daemon { daemon_id, .. } = &caller.0
                && !daemon_id.is_empty()
                && row.daemon_id.as_deref().is_some_and(|other| other != daemon_id)
            {
                return Err(Error::not_found("runtime not found"));
            }
            if !carried.runtimes.contains(&id) {
                carried.runtimes.push(id);
            }
            if !carried.workspaces.contains(&row.workspace_id) {
                carried.workspaces.push(row.workspace_id);
            }
            carried.named.insert(named, id);
        }
        Ok(carried)
    }
}

/// The ids of all `runtime_id` parameters, then of all `runtime_ids`, without blanks and
/// repeats, in order.
fn named_runtimes(uri: &Uri) -> Vec<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let of = |wanted: &'static str| {
        url::form_urlencoded::parse(query).filter(move |(name, _)| name == wanted).map(|(_, value)| value)
    };
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for value in of("runtime_id").chain(of("runtime_ids")) {
        for id in value.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            if seen.insert(id.to_owned()) {
                ids.push(id.to_owned());
            }
        }
    }
    ids
}

/// Whoever answers for a line.
fn owner(identity: &Identity) -> String {
    match identity {
        Identity::Daemon { workspace_id, daemon_id } => format!("daemon {workspace_id} {daemon_id}"),
        Identity::User { user_id } | Identity::Task { user_id, .. } => format!("user {user_id}"),
    }
}

/// Answers beats one at a time, in order, until the line ends.
async fn serve(
    app: &App,
    caller: &Caller,
    carried: &Carried,
    line: Line<Topic>,
    mut inbound: websocket::Inbound,
) {
    while let Some(text) = inbound.next().await {
        let Some(beat) = read(&text) else { continue };
        let ack = tokio::select! {
            biased;
            // An end that comes while the database stalls is not held up by it.
            _ = line.end.come() => break,
            ack = answer(app, caller, carried, beat) => ack,
        };
        if let Some(ack) = ack
            && !inbound.answer(&ack).await
            && !line.offer(ack)
        {
            tracing::debug!("a daemon does not read; the answer to its beat was dropped");
        }
    }
    let ending = inbound.close().await;
    tracing::info!(?ending, "a daemon's socket closed");
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    payload: Option<Value>,
}

#[derive(Deserialize)]
struct Beat {
    runtime_id: Option<String>,
    supports_batch_import: Option<bool>,
}

/// A beat; nothing for any other message, or one that makes no sense.
fn read(text: &str) -> Option<Beat> {
    let message: Message = serde_json::from_str(text).ok()?;
    metrics::socket_message(message.kind.strip_prefix("daemon:").unwrap_or_default());
    if message.kind != "daemon:heartbeat" {
        return None;
    }
    let beat: Beat = serde_json::from_value(message.payload?).ok()?;
    beat.runtime_id.as_ref().is_some_and(|id| !id.is_empty()).then_some(beat)
}

#[derive(Serialize)]
struct Ack<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: AckPayload<'a>,
}

#[derive(Serialize)]
struct AckPayload<'a> {
    runtime_id: &'a str,
    #[serde(flatten)]
    state: State,
}

#[derive(Serialize)]
#[serde(untagged)]
enum State {
    Alive(Box<Answer>),
    Gone { status: &'static str, runtime_gone: bool },
}

/// The frame that answers a beat. Nothing when the daemon had better ask over HTTP, which
/// it does when answers stay away.
async fn answer(app: &App, caller: &Caller, carried: &Carried, beat: Beat) -> Option<String> {
    let runtime_id = beat.runtime_id.unwrap_or_default();
    let state = match state(app, caller, carried, &runtime_id, beat.supports_batch_import).await {
        Ok(state) => state,
        Err(refusal) => {
            tracing::warn!(runtime.id = runtime_id, error = %refusal, "a beat was not answered");
            return None;
        }
    };
    let payload = AckPayload { runtime_id: &runtime_id, state };
    serde_json::to_string(&Ack { kind: "daemon:heartbeat_ack", payload }).ok()
}

/// Why a beat gets no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the socket does not carry this runtime")]
    NotCarried,
    #[error("the runtime's workspace is not the daemon's any more")]
    Elsewhere,
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn state(
    app: &App,
    caller: &Caller,
    carried: &Carried,
    runtime_id: &str,
    batch_import: Option<bool>,
) -> Result<State, Refusal> {
    const GONE: State = State::Gone { status: "runtime_gone", runtime_gone: true };
    let id = *carried.named.get(runtime_id).ok_or(Refusal::NotCarried)?;
    let Some(runtime) = app.liveness.find(id).await? else { return Ok(GONE) };
    if !carried.workspaces.contains(&runtime.workspace_id)
        || !may_use(app, caller, runtime.workspace_id).await?
    {
        return Err(Refusal::Elsewhere);
    }
    // No line for a slow beat here: a socket's daemon does not wait for it.
    let mut laps = BeatLaps::default();
    match heartbeat::beat(app, &runtime, batch_import.unwrap_or(false), &mut laps).await {
        Ok(answer) => {
            metrics::heartbeat("websocket");
            Ok(State::Alive(Box::new(answer)))
        }
        Err(HeartbeatError::Gone) => Ok(GONE),
        Err(HeartbeatError::Store(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_collected_in_order_without_blanks_and_repeats() {
        let check = |query: &str, expected: &[&str]| {
            let uri: Uri = format!("/api/daemon/ws?{query}").parse().unwrap_or_default();
            assert_eq!(named_runtimes(&uri), expected, "{query}");
        };
        check("", &[]);
        check("runtime_ids=,%20,", &[]);
        check("runtime_id=a&runtime_ids=a,%20a", &["a"]);
        check("runtime_ids=b,a&runtime_id=c&runtime_ids=d", &["c", "b", "a", "d"]);
    }

    #[test]
    fn only_a_beat_that_names_a_runtime_is_read() {
        for text in [
            "not json",
            "[]",
            r#"{"type":"future:x"}"#,
            r#"{"type":"daemon:heartbeat"}"#,
            r#"{"type":"daemon:heartbeat","payload":{}}"#,
            r#"{"type":"daemon:heartbeat","payload":{"runtime_id":5}}"#,
            r#"{"type":"daemon:heartbeat","payload":{"runtime_id":""}}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        let beat =
            read(r#"{"type":"daemon:heartbeat","event_id":"x","payload":{"runtime_id":"r","later":1}}"#);
        assert_eq!(beat.and_then(|beat| beat.runtime_id).as_deref(), Some("r"));
    }
}
