//! `/ws`: what happens in a workspace, as it happens. A browser shows its cookie before the
//! upgrade; everybody else says who they are in the first frame after it.

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error as ThisError;
use tokio::time::timeout;

use crate::app::App;
use crate::auth::{AuthError, Identity, token};
use crate::http::error::{Error, ErrorBody};
use crate::http::query::Query;
use crate::http::websocket::{self, Proof};
use crate::live::lines::Frame;
use crate::model::ids::{ChatSessionId, TaskId, UserId, WorkspaceId};
use crate::store::{StoreError, chats, tasks, workspaces};

/// The longest message a person's client may send.
const MESSAGE_LIMIT: usize = 32 << 10;
/// What is set aside to read into.
const READ_BUFFER: usize = 4 << 10;
/// How long it may take to say who it is.
const AUTH_WAIT: Duration = Duration::from_secs(10);

/// Which workspace to watch; the id wins.
#[derive(Deserialize)]
pub struct Named {
    workspace_id: Option<String>,
    workspace_slug: Option<String>,
}

/// Opens a person's socket, which tells what happens in a workspace.
///
/// A browser shows its login's cookie; everybody else sends a first frame
/// `{"type": "auth", "payload": {"token": "…"}}` within ten seconds. Every frame after that
/// is a JSON object with the `type` of an event, its `payload`, and who caused it.
#[utoipa::path(get, path = "/ws", tag = "events",
    params(("workspace_id" = Option<WorkspaceId>, Query, description = "The workspace to watch"),
        ("workspace_slug" = Option<String>, Query, description = "Its slug, where there is no id")),
    responses((status = 101, description = "The socket is open"),
        (status = 400, description = "No workspace is named, or there is no WebSocket handshake",
            content((ErrorBody = "application/json"), (String = "text/plain"))),
        (status = 401, body = ErrorBody, description = "The login is not valid"),
        (status = 403, description = "Not a member, or asked by a page of another site",
            content((ErrorBody = "application/json"), (String = "text/plain"))),
        (status = 404, body = ErrorBody, description = "No such workspace"),
        (status = 503, body = ErrorBody, description = "Too many sockets are open")))]
pub async fn upgrade(
    app: App,
    Query(named): Query<Named>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let workspace = find_workspace(&app, named).await?;
    let shown = match cookie(&headers) {
        Some(token) => Some((known_by_cookie(&app, &token, workspace).await?, token)),
        None => None,
    };
    if !is_own_origin(&headers, &app.flags.allowed_origins) {
        return Ok((StatusCode::FORBIDDEN, "Forbidden\n").into_response());
    }
    let Ok(upgrade) = upgrade else {
        return Ok(websocket::no_handshake());
    };
    let waiting = app.events.watchers().wait().map_err(|refused| {
        tracing::warn!(%refused, "a person's socket was refused");
        Error::new(StatusCode::SERVICE_UNAVAILABLE, "websocket unavailable")
    })?;
    // The buffer is there for as long as the socket is, and what comes in is short.
    let upgrade = upgrade.read_buffer_size(READ_BUFFER);
    let upgrade = upgrade.max_message_size(MESSAGE_LIMIT).max_frame_size(MESSAGE_LIMIT);
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let (known, greeting) = match shown {
            Some(known) => (known, None),
            None => {
                let asked = tokio::select! {
                    biased;
                    _ = waiting.end.come() => return,
                    asked = introduced(&app, &mut socket, workspace) => asked,
                };
                match asked {
                    Ok(known) => (known, Some(json!({"type": "auth_ack"}).to_string().into())),
                    Err(refusal) => return refuse(socket, &refusal.to_string()).await,
                }
            }
        };
        serve(&app, socket, known, workspace, greeting).await;
        drop(waiting);
    }))
}

async fn find_workspace(app: &App, named: Named) -> Result<WorkspaceId, Error> {
    if let Some(id) = named.workspace_id {
        return WorkspaceId::parse(&id).ok_or_else(|| Error::bad_request("invalid workspace_id"));
    }
    let slug =
        named.workspace_slug.ok_or_else(|| Error::bad_request("workspace_id or workspace_slug required"))?;
    let failed = |error: StoreError| Error::internal("failed to load workspace", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let found = workspaces::find_id_by_slug(&mut conn, &slug).await.map_err(failed)?;
    found.ok_or_else(|| Error::not_found("workspace not found"))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == "multica_auth").map(|(_, value)| value.to_owned())
}

/// A page of another site must not speak for whoever has it open.
fn is_own_origin(headers: &HeaderMap, allowed: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let Some(origin) = text(header::ORIGIN) else { return false };
    let host = origin.split_once("://").map(|(_, host)| host);
    let own = host.is_some() && host == text(header::HOST);
    own || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
}

/// Why somebody gets no socket, in the words that clients know.
#[derive(Debug, ThisError)]
enum Refusal {
    #[error("auth timeout or read error")]
    Silent,
    #[error("expected auth message as first frame")]
    NoIntroduction,
    /// `invalid token` or `invalid claims`.
    #[error("{0}")]
    Token(String),
    #[error("not a member of this workspace")]
    NotMember,
    #[error("authentication is unavailable; try again")]
    Unavailable(#[source] StoreError),
}

async fn known_by_cookie(app: &App, token: &str, workspace: WorkspaceId) -> Result<UserId, Error> {
    member(app, token, workspace).await.map_err(|refusal| match refusal {
        Refusal::NotMember => Error::forbidden(refusal.to_string()),
        Refusal::Unavailable(error) => Error::internal("authentication is unavailable; try again", error),
        refusal => Error::unauthorized(refusal.to_string()),
    })
}

/// Whose token it is, if they belong to the workspace. Only people's tokens open a socket.
async fn member(app: &App, token: &str, workspace: WorkspaceId) -> Result<UserId, Refusal> {
    let others = ["mat_", "mcn_", "mdt_"];
    if others.iter().any(|prefix| token.starts_with(prefix)) {
        return Err(Refusal::Token("invalid token".to_owned()));
    }
    let user = match app.auth.user_plane(token).await {
        Ok(Identity::User { user_id, .. }) => user_id,
        Ok(_) => return Err(Refusal::Token("invalid token".to_owned())),
        Err(AuthError::Store(error)) => return Err(Refusal::Unavailable(error)),
        Err(error) => return Err(Refusal::Token(error.to_string())),
    };
    let role = app.auth.role(user, workspace).await.map_err(Refusal::Unavailable)?;
    role.map(|_| user).ok_or(Refusal::NotMember)
}

#[derive(Deserialize)]
struct ClientMessage {
    #[serde(rename = "type")]
    kind: String,
    payload: Option<Value>,
}

/// Waits for the first frame, which must say who it is.
async fn introduced(
    app: &App,
    socket: &mut WebSocket,
    workspace: WorkspaceId,
) -> Result<(UserId, String), Refusal> {
    let first = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => {
                    return Some(String::from_utf8_lossy(&bytes).into_owned());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            }
        }
    };
    let text = timeout(AUTH_WAIT, first).await.ok().flatten().ok_or(Refusal::Silent)?;
    let message = serde_json::from_str(&text).ok();
    let token = message.filter(|message: &ClientMessage| message.kind == "auth").and_then(|message| {
        let token = message.payload?.get("token")?.as_str()?.to_owned();
        (!token.is_empty()).then_some(token)
    });
    let token = token.ok_or(Refusal::NoIntroduction)?;
    Ok((member(app, &token, workspace).await?, token))
}

async fn refuse(mut socket: WebSocket, text: &str) {
    let goodbye = CloseFrame { code: close_code::POLICY, reason: "".into() };
    let said = async {
        socket.send(Message::Text(json!({"error": text}).to_string().into())).await?;
        socket.send(Message::Close(Some(goodbye))).await?;
        // Whatever it still says is read, or the goodbye could be lost.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    let _ = timeout(Duration::from_secs(1), said).await;
}

/// Answers what the client asks until the line ends; events go out meanwhile.
async fn serve(
    app: &App,
    socket: WebSocket,
    (user, token): (UserId, String),
    workspace: WorkspaceId,
    greeting: Option<Frame>,
) {
    let watchers = app.events.watchers();
    let (line, outlet) = match watchers.join(user, workspace, token::revocable(&token), greeting) {
        Ok(joined) => joined,
        Err(refused) => return refuse(socket, &refused.to_string()).await,
    };
    // What was revoked before the line was there did not end it.
    if let Err(refusal) = member(app, &token, workspace).await {
        return refuse(socket, &refusal.to_string()).await;
    }
    drop(token);
    let mut inbound = websocket::open(socket, outlet, line.end.clone(), Proof::Message, app.socket_timeout);
    while let Some(text) = inbound.next().await {
        let Ok(message) = serde_json::from_str::<ClientMessage>(&text) else { continue };
        let answer = tokio::select! {
            biased;
            _ = line.end.come() => break,
            answer = answer(app, user, workspace, message) => answer,
        };
        if let Some(answer) = answer {
            line.offer(answer.to_string());
        }
    }
    let ending = inbound.close().await;
    tracing::debug!(?ending, "a person's socket closed");
}

async fn answer(app: &App, user: UserId, workspace: WorkspaceId, message: ClientMessage) -> Option<Value> {
    match message.kind.as_str() {
        "ping" => Some(json!({"type": "pong"})),
        kind @ ("subscribe" | "unsubscribe") => {
            let text = |name| message.payload.as_ref()?.get(name)?.as_str();
            let (scope, id) = (text("scope").unwrap_or_default(), text("id").unwrap_or_default());
            let checked = if scope.is_empty() || id.is_empty() {
                Err("invalid payload")
            } else if kind == "subscribe" {
                allowed(app, user, workspace, scope, id).await
            } else {
                // Nothing was subscribed to, so that anything can be given up.
                Ok(())
            };
            Some(match checked {
                Ok(()) => json!({"type": format!("{kind}_ack"), "payload": {"scope": scope, "id": id}}),
                Err(error) => json!({
                    "type": format!("{kind}_error"), "payload": {"scope": scope, "id": id, "error": error},
                }),
            })
        }
        _ => None,
    }
}

/// Everything of a workspace is told without being asked for, so that a subscription
/// changes nothing; it only says whether it could.
async fn allowed(
    app: &App,
    user: UserId,
    workspace: WorkspaceId,
    scope: &str,
    id: &str,
) -> Result<(), &'static str> {
    let own = match scope {
        "workspace" => WorkspaceId::parse(id) == Some(workspace),
        "user" => UserId::parse(id) == Some(user),
        "task" => match TaskId::parse(id) {
            Some(id) => task_workspace(app, id).await.map_err(not_found_out)? == Some(workspace),
            None => false,
        },
        "chat" => match ChatSessionId::parse(id) {
            Some(id) => is_own_chat(app, id, user, workspace).await.map_err(not_found_out)?,
            None => false,
        },
        _ => return Err("unknown_scope"),
    };
    if own { Ok(()) } else { Err("forbidden") }
}

async fn task_workspace(app: &App, id: TaskId) -> Result<Option<WorkspaceId>, StoreError> {
    let found = tasks::find_placed(&mut app.db.reader().await?, id).await?;
    Ok(found.and_then(|(_, workspace)| workspace))
}

async fn is_own_chat(
    app: &App,
    id: ChatSessionId,
    user: UserId,
    workspace: WorkspaceId,
) -> Result<bool, StoreError> {
    let chat = chats::find(&mut app.db.reader().await?, id).await?;
    Ok(chat.is_some_and(|chat| chat.workspace_id == workspace && chat.creator_id == user))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn not_found_out(error: StoreError) -> &'static str {
    tracing::warn!(%error, "whether a subscription is allowed could not be found out");
    "lookup_failed"
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn only_the_own_host_and_named_origins_may_upgrade() {
        let allowed = vec!["http://localhost:3000".to_owned()];
        let check = |origin: Option<&str>, expected: bool| {
            let given = [(header::HOST, Some("gate.example:8080")), (header::ORIGIN, origin)];
            let headers: HeaderMap = given
                .into_iter()
                .filter_map(|(name, value): (HeaderName, _)| Some((name, value?.parse().ok()?)))
                .collect();
            assert_eq!(is_own_origin(&headers, &allowed), expected, "{origin:?}");
        };
        check(None, true);
        check(Some("http://gate.example:8080"), true);
        check(Some("https://gate.example:8080"), true);
        check(Some("http://localhost:3000"), true);
        check(Some("http://gate.example"), false);
        check(Some("https://evil.example"), false);
        check(Some("null"), false);
        check(Some("gate.example:8080"), false);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, header::HeaderValue::from_static("a=b; multica_auth=x.y=z; c=d"));
        assert_eq!(cookie(&headers).as_deref(), Some("x.y=z"));
        headers.insert(header::COOKIE, header::HeaderValue::from_static("xmultica_auth=1"));
        assert_eq!(cookie(&headers), None);
    }
}
