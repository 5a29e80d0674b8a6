//! The service that holds connected apps, as the tests of them need it: it writes down what it
//! was asked and answers as it is told.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{Engine, Gateway, Reply, Setup};

/// Nobody but the service and the daemon that runs the task may ever see it.
pub const KEY: &str = "project-key";
/// Opens a session.
pub const SESSION: &str = "POST /tool_router/session";

/// Stops answering when it is dropped.
pub struct Service {
    told: Arc<Told>,
    url: String,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

struct Told {
    asked: Mutex<Vec<Value>>,
    answers: Mutex<HashMap<String, (u16, String)>>,
    /// One permit a session that was asked for.
    arrived: Semaphore,
    /// One permit a session that may be answered; many, unless the test holds them.
    gate: Semaphore,
}

async fn answer(
    State(told): State<Arc<Told>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let call = format!("{method} {}", uri.path());
    told.asked.lock().unwrap().push(json!({
        "call": call, "query": uri.query(), "body": serde_json::from_slice::<Value>(&body).unwrap_or_default(),
    }));
    if headers.get("x-api-key").is_none_or(|key| key != KEY) {
        return (StatusCode::UNAUTHORIZED, json!({"error": {"message": "no key"}}).to_string());
    }
    if call == "POST /v3/tool_router/session" {
        told.arrived.add_permits(1);
        told.gate.acquire().await.unwrap().forget();
    }
    let (status, body) = told.answers.lock().unwrap().get(&call).cloned().unwrap_or((404, "{}".to_owned()));
    (StatusCode::from_u16(status).unwrap(), body)
}

impl Service {
    /// With one app, `notion`, that can be connected, and sessions that are given.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v3", listener.local_addr().unwrap());
        let told = Arc::new(Told {
            asked: Mutex::default(),
            answers: Mutex::default(),
            arrived: Semaphore::new(0),
            gate: Semaphore::new(1000),
        });
        let router = Router::new().fallback(answer).with_state(told.clone());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        let service = Self { told, url, serving };
        service.auth_configs(&json!([auth_config("notion", "ac_notion")]));
        service.says(
            "POST /tool_router/session",
            200,
            json!({"mcp": {"type": "http", "url": "http://mcp.example/s"}}),
        );
        service
    }

    /// A gateway that talks to it.
    pub fn setup(&self, engine: Engine) -> Setup {
        Gateway::setup(engine)
            .env("FF_COMPOSIO_MCP_APPS", "on")
            .env("COMPOSIO_API_KEY", KEY)
            .env("COMPOSIO_STATE_SECRET", "hush")
            .env("COMPOSIO_BASE_URL", &self.url)
            .env("COMPOSIO_CALLBACK_BASE_URL", "https://gateway.example/")
            .env("MULTICA_APP_URL", "https://app.example/")
    }

    /// What it answers to a call from now on, be it JSON or not.
    pub fn says(&self, call: &str, status: u16, body: impl Display) {
        let (method, path) = call.split_once(' ').unwrap();
        let answer = (status, body.to_string());
        self.told.answers.lock().unwrap().insert(format!("{method} /v3{path}"), answer);
    }

    pub fn auth_configs(&self, items: &Value) {
        self.says("GET /auth_configs", 200, json!({"items": items}));
    }

    /// What it was asked so far of this, and forgets.
    pub fn asked(&self, call: &str) -> Vec<Value> {
        let (method, path) = call.split_once(' ').unwrap();
        let call = format!("{method} /v3{path}");
        let mut asked = self.told.asked.lock().unwrap();
        let (found, rest) = asked.drain(..).partition(|asked| asked["call"] == call.as_str());
        *asked = rest;
        found
    }

    /// How often it was asked for anything.
    pub fn count(&self) -> usize {
        self.told.asked.lock().unwrap().len()
    }

    /// Sessions are asked for and not given, until [`Service::let_go`].
    pub fn hold_sessions(&self) {
        self.told.gate.forget_permits(self.told.gate.available_permits());
        let waiting = self.told.arrived.available_permits();
        self.told.arrived.forget_permits(waiting);
    }

    /// Returns when a session was asked for.
    pub async fn session_asked(&self) {
        let asked = tokio::time::timeout(Duration::from_mins(1), self.told.arrived.acquire()).await;
        asked.expect("no session was asked for within a minute").unwrap().forget();
    }

    pub fn let_go(&self) {
        self.told.gate.add_permits(1000);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A way to log in to an app.
pub fn auth_config(slug: &str, id: &str) -> Value {
    json!({"id": id, "status": "ENABLED", "toolkit": {"slug": slug}, "is_composio_managed": true,
        "last_updated_at": "2026-01-01T00:00:00Z"})
}

/// The state in the address to which a browser was sent.
pub fn state_of(link: &Value) -> String {
    let callback = link["body"]["callback_url"].as_str().unwrap();
    let state = callback.strip_prefix("https://gateway.example/api/integrations/composio/callback?state=");
    state.unwrap_or_else(|| panic!("{callback}")).to_owned()
}

/// Where a browser is sent back to.
pub fn sent_to(reply: &Reply) -> &str {
    assert_eq!(reply.status, 302, "{reply}");
    reply.header("location").strip_prefix("https://app.example/settings?tab=integrations&").unwrap()
}
