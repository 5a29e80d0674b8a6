//! Whoever calls the gateway.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Reply;
use super::contract::Contract;

/// Where the gateway listens now; a restart changes it under every client.
#[derive(Clone, Default, Debug)]
pub struct Addresses {
    pub http: String,
    pub admin: String,
}

/// A user, a daemon, an operator, or nobody in particular.
#[derive(Clone, Debug)]
pub struct Client {
    /// The user behind the token; nil when there is none.
    pub id: Uuid,
    pub name: String,
    pub email: String,
    pub token: String,
    /// Sent as `X-Workspace-ID`, unless it is nil.
    pub workspace: Uuid,
    pub(super) http: reqwest::Client,
    pub(super) addresses: Arc<RwLock<Addresses>>,
    /// Whether it talks to the admin listener.
    pub(super) operator: bool,
}

impl Client {
    /// The same, with another token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// The same, in another workspace; nil sends no header at all.
    pub fn in_workspace(&self, workspace: Uuid) -> Self {
        Self { workspace, ..self.clone() }
    }

    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::GET, path, ())
    }

    pub fn post(&self, path: impl AsRef<str>, body: impl Into<Payload>) -> Call {
        self.call(Method::POST, path, body)
    }

    pub fn put(&self, path: impl AsRef<str>, body: impl Into<Payload>) -> Call {
        self.call(Method::PUT, path, body)
    }

    pub fn patch(&self, path: impl AsRef<str>, body: impl Into<Payload>) -> Call {
        self.call(Method::PATCH, path, body)
    }

    pub fn delete(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::DELETE, path, ())
    }

    pub fn call(&self, method: Method, path: impl AsRef<str>, body: impl Into<Payload>) -> Call {
        let path = path.as_ref();
        let what = format!("{method} {path}");
        let contract = Promised { method: method.clone(), path: path.to_owned(), by: self.clone() };
        let mut request = self.http.request(method, self.url(path));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if !self.workspace.is_nil() {
            request = request.header("x-workspace-id", self.workspace.to_string());
        }
        request = match body.into() {
            Payload::Nothing => request,
            Payload::Json(value) => request.json(&value),
            Payload::Raw(bytes) => request.body(bytes),
        };
        Call { request, what, contract }
    }

    /// `http://host:port` of the listener this client talks to.
    pub fn base(&self) -> String {
        let addresses = self.addresses.read().unwrap();
        if self.operator { addresses.admin.clone() } else { addresses.http.clone() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }
}

/// What daemons do.
impl Client {
    /// Registers one runtime of a provider and gives its id.
    pub async fn register(&self, daemon_id: &str, provider: &str) -> Uuid {
        let body = self.register_with(json!({
            "daemon_id": daemon_id,
            "device_name": "mac",
            "cli_version": "1.0.0",
            "runtimes": [{"type": provider, "version": "1.0", "status": "online"}],
        }));
        id_of(&body.await.ok()["runtimes"][0])
    }

    /// Registers what is given, in this client's workspace unless another is named.
    pub fn register_with(&self, mut registration: Value) -> Call {
        if registration.get("workspace_id").is_none() {
            registration["workspace_id"] = self.workspace.to_string().into();
        }
        self.post("/api/daemon/register", registration)
    }

    /// A heartbeat that must succeed.
    pub async fn beat(&self, runtime: Uuid) -> Value {
        self.post("/api/daemon/heartbeat", json!({"runtime_id": runtime})).await.expect(200)
    }

    /// The claimed task, or `None` when there was none.
    pub async fn claim(&self, runtime: Uuid) -> Option<Value> {
        let answer = self.claiming(runtime).await.expect(200);
        assert!(answer.get("task").is_some(), "a claim's answer always has `task`: {answer}");
        Some(answer["task"].clone()).filter(|task| !task.is_null())
    }

    /// A claim whose answer the test wants to see.
    pub fn claiming(&self, runtime: Uuid) -> Call {
        self.post(format!("/api/daemon/runtimes/{runtime}/tasks/claim"), ())
    }

    /// The claimed task; there must be one.
    pub async fn claim_one(&self, runtime: Uuid) -> Value {
        self.claim(runtime).await.expect("there is a task to claim")
    }

    /// Claims a task and starts it; gives its id.
    pub async fn run_one(&self, runtime: Uuid) -> Uuid {
        let task = id_of(&self.claim_one(runtime).await);
        self.start(task).await;
        task
    }

    pub async fn start(&self, task: Uuid) -> Value {
        self.post(format!("/api/daemon/tasks/{task}/start"), ()).await.expect(200)
    }

    pub async fn complete(&self, task: Uuid, body: Value) -> Value {
        self.post(format!("/api/daemon/tasks/{task}/complete"), body).await.expect(200)
    }

    pub async fn fail(&self, task: Uuid, body: Value) -> Value {
        self.post(format!("/api/daemon/tasks/{task}/fail"), body).await.expect(200)
    }

    /// What a daemon polls while it runs a task.
    pub async fn status_of(&self, task: Uuid) -> String {
        let answer = self.get(format!("/api/daemon/tasks/{task}/status")).await.expect(200);
        answer["status"].as_str().unwrap().to_owned()
    }
}

/// What goes up with a request.
#[derive(Clone)]
pub enum Payload {
    Nothing,
    /// Sent with a content type.
    Json(Value),
    /// Sent as it is, without one.
    Raw(Vec<u8>),
}

impl From<()> for Payload {
    fn from((): ()) -> Self {
        Self::Nothing
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::Raw(text.as_bytes().to_vec())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::Raw(text.into_bytes())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Raw(bytes)
    }
}

/// A request on its way; `.await` sends it.
#[must_use = "a call is made when it is awaited"]
pub struct Call {
    request: reqwest::RequestBuilder,
    what: String,
    contract: Promised,
}

/// Where to look up what an answer may be.
struct Promised {
    method: Method,
    path: String,
    by: Client,
}

impl Promised {
    /// The admin listener has no document. A daemon never reads 403: whoever may not touch a
    /// thing is told that there is no such thing.
    async fn check(&self, reply: &Reply) {
        assert!(reply.status != 403 || !self.path.starts_with("/api/daemon"), "{reply}");
        if self.by.operator {
            return;
        }
        if let Some(contract) = Contract::of(&self.by.http, &self.by.base()).await {
            contract.check(&self.method, &self.path, reply);
        }
    }
}

impl Call {
    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    /// Gives the failure where the connection broke, instead of failing the test.
    pub async fn attempt(self) -> Result<Reply, reqwest::Error> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let reply = Reply { status, headers, text, body, call: self.what };
        self.contract.check(&reply).await;
        Ok(reply)
    }
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = self.what.clone();
            self.attempt().await.unwrap_or_else(|error| panic!("{what} was not answered: {error:?}"))
        })
    }
}

/// One for all clients of a gateway: they share its connections.
pub fn http() -> reqwest::Client {
    // Fails only when it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    // Far above what any answer takes: it only keeps a hung test from hanging the suite.
    builder.timeout(Duration::from_mins(2)).build().unwrap()
}

/// The `id` member of an object.
#[track_caller]
pub fn id_of(object: &Value) -> Uuid {
    let id = object["id"].as_str().and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("no `id` in {object}"))
}
