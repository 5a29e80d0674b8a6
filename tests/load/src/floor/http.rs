//! The floor of HTTP and of WebSocket: answers with the right bytes, decides nothing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{State, WebSocketUpgrade};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Files with the answers of a real server; what is absent is made up.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// The answer to a heartbeat
    #[arg(long, value_name = "FILE")]
    heartbeat: Option<PathBuf>,
    /// The answer to a heartbeat over a WebSocket
    #[arg(long, value_name = "FILE")]
    beat: Option<PathBuf>,
    /// The answer to a claim; none of it is read, so that it may hold a task or none
    #[arg(long, value_name = "FILE")]
    claim: Option<PathBuf>,
    /// Headers that go with every answer, one a line
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
}

const FLAGS: &str = r#"{"flags":{"runtime_brief_slim":"off"},"version":1}"#;
const WORKSPACE: &str = "00000000-0000-4000-8000-000000000001";

#[derive(Clone)]
struct Answers {
    headers: Arc<[(HeaderName, HeaderValue)]>,
    heartbeat: Bytes,
    beat: Arc<str>,
    claim: Bytes,
}

impl Answers {
    fn read(args: &Args) -> anyhow::Result<Self> {
        let text = |file: &Option<PathBuf>, made_up: String| match file {
            Some(file) => {
                std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
            }
            None => Ok(made_up),
        };
        let beat = format!(
            r#"{{"type":"daemon:heartbeat_ack","payload":{{"runtime_id":"{WORKSPACE}","status":"ok","feature_flags":{FLAGS}}}}}"#
        );
        let headers = text(&args.headers, format!("{CONTENT_TYPE}: application/json"))?;
        let headers: Option<_> = headers.lines().map(header).collect();
        Ok(Self {
            headers: headers.context("--headers: a line is no header")?,
            heartbeat: text(&args.heartbeat, format!(r#"{{"status":"ok","feature_flags":{FLAGS}}}"#))?.into(),
            beat: text(&args.beat, beat)?.into(),
            claim: text(&args.claim, r#"{"task":null}"#.to_owned())?.into(),
        })
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.parse().ok()?, value.trim().parse().ok()?))
}

pub async fn serve(args: Args) -> anyhow::Result<()> {
    let answers = Answers::read(&args)?;
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("listening http=http://{} admin=-", listener.local_addr()?);
    axum::serve(listener, router(answers)).await?;
    Ok(())
}

fn router(answers: Answers) -> Router {
    Router::new()
        .route(
            "/api/daemon/heartbeat",
            post(async |State(a): State<Answers>, _: Bytes| a.with(a.heartbeat.clone())),
        )
        .route(
            "/api/daemon/runtimes/{id}/tasks/claim",
            post(async |State(a): State<Answers>, _: Bytes| a.with(a.claim.clone())),
        )
        .route("/api/daemon/ws", any(upgrade))
        // What a client asks once, before the load begins.
        .route("/api/workspaces", get(async || made(&json!([{"id": WORKSPACE, "slug": "bench"}]))))
        .route("/api/daemon/register", post(async |body: Bytes| made(&registered(&body))))
        .route("/api/agents", post(async || made(&json!({"id": WORKSPACE}))))
        .route("/api/issues", post(async |_: Bytes| made(&json!({"id": WORKSPACE}))))
        .with_state(answers)
}

impl Answers {
    fn with(&self, body: Bytes) -> Response {
        let mut response = Response::new(body.into());
        response.headers_mut().extend(self.headers.iter().cloned());
        response
    }
}

fn made(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// As many runtimes as were asked for.
fn registered(body: &[u8]) -> Value {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = asked["runtimes"].as_array().map_or(1, Vec::len);
    let runtimes: Vec<Value> = (0..count).map(|_| json!({"id": uuid::Uuid::new_v4().to_string()})).collect();
    json!({"runtimes": runtimes})
}

async fn upgrade(State(answers): State<Answers>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| echo(socket, answers.beat).await)
}

async fn echo(mut socket: WebSocket, answer: Arc<str>) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_)) && socket.send(Message::text(&*answer)).await.is_err() {
            return;
        }
    }
}
