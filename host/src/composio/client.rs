//! Calls of the service. What is not understood of an answer is passed over; what is too
//! long or too late is an error.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use crate::outbound;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(30);
const MOST_RECEIVED: usize = 8 << 20;
const PAGE: u32 = 1000;
const MOST_PAGES: u32 = 20;

#[derive(Debug, Error)]
pub enum UpstreamError {
    #[error("the service answered {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("the service could not be asked: {0}")]
    Broken(String),
}

impl UpstreamError {
    /// Whether what the call was about is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

pub struct Client {
    http: reqwest::Client,
    base: String,
    key: SecretString,
}

/// A way to log in to an app.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    pub id: Option<String>,
    pub status: Option<String>,
    pub toolkit: Option<ToolkitName>,
    pub is_composio_managed: bool,
    pub last_updated_at: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolkitName {
    pub slug: Option<String>,
}

/// An app as the service lists it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListedToolkit {
    pub slug: Option<String>,
    pub name: Option<String>,
    pub logo: Option<String>,
    pub categories: Option<Vec<Value>>,
}

/// Somebody's account at an app.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Account {
    pub id: String,
    pub user_id: String,
    auth_config_id: Option<String>,
    auth_config: Option<AuthConfig>,
}

impl Account {
    pub fn auth_config(&self) -> &str {
        let nested = || self.auth_config.as_ref().and_then(|config| config.id.as_deref());
        self.auth_config_id.as_deref().filter(|id| !id.is_empty()).or_else(nested).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Link {
    redirect_url: String,
}

impl Client {
    pub fn new(base: &str, key: SecretString) -> Self {
        Self { http: outbound::direct(), base: base.to_owned(), key }
    }

    pub async fn link(&self, auth_config: &str, user: &str, callback: &str) -> Result<String, UpstreamError> {
        let body = json!({"auth_config_id": auth_config, "user_id": user, "callback_url": callback});
        let answer: Link = self.call(Method::POST, &["connected_accounts", "link"], &[], Some(body)).await?;
        if answer.redirect_url.is_empty() {
            return Err(UpstreamError::Broken("a link without an address".to_owned()));
        }
        Ok(answer.redirect_url)
    }

    pub async fn list_accounts(&self, id: &str) -> Result<Vec<Account>, UpstreamError> {
        let query = [("connected_account_ids", id.to_owned())];
        let page: Page<Account> = self.call(Method::GET, &["connected_accounts"], &query, None).await?;
        Ok(page.items)
    }

    pub async fn revoke(&self, id: &str) -> Result<(), UpstreamError> {
        self.exchange(Method::POST, &["connected_accounts", id, "revoke"], &[], None).await.map(drop)
    }

    pub async fn delete(&self, id: &str) -> Result<(), UpstreamError> {
        self.exchange(Method::DELETE, &["connected_accounts", id], &[], None).await.map(drop)
    }

    pub async fn list_auth_configs(&self) -> Result<Vec<AuthConfig>, UpstreamError> {
        self.pages("auth_configs", &[]).await
    }

    pub async fn list_toolkits(&self) -> Result<Vec<ListedToolkit>, UpstreamError> {
        self.pages("toolkits", &[("sort_by", "usage".to_owned())]).await
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<T>, UpstreamError> {
        let mut all = Vec::new();
        let mut cursor = None;
        for _ in 0..MOST_PAGES {
            let mut query = query.to_vec();
            query.push(("limit", PAGE.to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.call(Method::GET, &[path], &query, None).await?;
            all.extend(page.items);
            cursor = page.next_cursor.filter(|cursor| !cursor.is_empty());
            if cursor.is_none() {
                break;
            }
        }
        Ok(all)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<T, UpstreamError> {
        let text = self.exchange(method, path, query, body).await?;
        serde_json::from_slice(&text).map_err(|error| UpstreamError::Broken(error.to_string()))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Vec<u8>, UpstreamError> {
        let exchange = self.exchange_slowly(method, path, query, body);
        let done = tokio::time::timeout(TIMEOUT, exchange).await;
        done.unwrap_or_else(|_| Err(UpstreamError::Broken("no answer in time".to_owned())))
    }

    async fn exchange_slowly(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Value>,
    ) -> Result<Vec<u8>, UpstreamError> {
        let said = |error: reqwest::Error| UpstreamError::Broken(error.without_url().to_string());
        let request = self.http.request(method, self.url(path, query)?);
        let mut request = request.header("x-api-key", self.key.expose_secret());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let mut response = request.send().await.map_err(said)?;
        let status = response.status();
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_RECEIVED {
                return Err(UpstreamError::Broken("its answer is too long".to_owned()));
            }
        }
        if status.is_success() {
            return Ok(text);
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        let message = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
        let message = message.chars().take(300).collect();
        Err(UpstreamError::Refused { status: status.as_u16(), message })
    }

    /// With every part of the path escaped.
    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, UpstreamError> {
        let broken = |what: String| UpstreamError::Broken(what);
        let mut url = Url::parse(&self.base).map_err(|error| broken(error.to_string()))?;
        url.path_segments_mut().map_err(|()| broken("its address has no path".to_owned()))?.extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}
