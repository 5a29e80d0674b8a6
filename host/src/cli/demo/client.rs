//! A client of the gateway's own HTTP, for the demonstration: nothing here takes a short
//! cut past the wire.

use anyhow::{Context, bail};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::outbound;

/// Where a gateway listens, and as whom to speak to it.
#[derive(Clone)]
pub struct Api {
    http: Client,
    pub url: String,
    pub admin_url: String,
    pub token: String,
    admin_token: String,
    pub workspace: String,
}

impl Api {
    pub fn new(
        url: String,
        admin_url: String,
        token: String,
        admin_token: String,
        workspace: String,
    ) -> Self {
        Self { http: outbound::client(), url, admin_url, token, admin_token, workspace }
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// From the operators' listener.
    pub async fn admin(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.http.get(format!("{}{path}", self.admin_url)).bearer_auth(&self.admin_token);
        answer(&format!("GET {path}"), request).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .header("X-Workspace-ID", &self.workspace);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(&what, request).await
    }
}

async fn answer(what: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
    let response = request.send().await.with_context(|| format!("{what} was not answered"))?;
    let status = response.status();
    let text = response.text().await.with_context(|| format!("{what} broke off"))?;
    if !status.is_success() {
        bail!("{what} was answered {status}: {}", text.trim());
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("{what} answered no JSON"))
}

/// The text at a JSON Pointer of an answer.
pub fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("the answer has no {pointer}"))
}
