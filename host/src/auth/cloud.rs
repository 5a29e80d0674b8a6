//! `mcn_` tokens, which a service elsewhere vouches for. Whatever that service does not
//! clearly say yes to is a no; when it cannot be asked, the caller is told to come back.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::token;
use crate::model::ids::UserId;
use crate::outbound;
use crate::store::{Db, StoreError, users};

/// How long a yes is believed.
const TTL: Duration = Duration::from_mins(1);
const REMEMBERED: u64 = 10_000;
/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_SENT: usize = 4 << 10;
const MOST_RECEIVED: usize = 64 << 10;

#[derive(Debug, Error)]
pub enum CloudError {
    #[error("invalid token")]
    Invalid,
    #[error("cloud pat verifier unavailable")]
    Unavailable,
}

/// Asks the verifier, and remembers for a minute whom it vouched for.
#[derive(Clone)]
pub struct Verifier {
    db: Db,
    /// Absent when there is nobody to ask.
    service: Option<Service>,
    /// By the token's hash.
    known: Cache<String, UserId>,
}

#[derive(Serialize)]
struct Question<'a> {
    token: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    valid: Option<bool>,
    owner_id: Option<String>,
    instance_id: Option<String>,
    reason: Option<String>,
}

#[derive(Clone)]
struct Service {
    url: Arc<str>,
    client: reqwest::Client,
}

impl Verifier {
    pub fn new(db: Db, base_url: Option<&str>) -> Self {
        Self {
            db,
            service: base_url.map(|base| Service {
                url: format!("{base}/api/v1/pat/verify").into(),
                client: outbound::client(),
            }),
            known: Cache::builder().max_capacity(REMEMBERED).time_to_live(TTL).build(),
        }
    }

    /// The local user that the token's owner is.
    pub async fn verify(&self, token: &str) -> Result<UserId, Arc<CloudError>> {
        let Some(service) = &self.service else { return Err(CloudError::Invalid.into()) };
        // One question at a time for a token; a no is not remembered.
        self.known.try_get_with(token::hash(token), self.ask(service, token)).await
    }

    async fn ask(&self, service: &Service, token: &str) -> Result<UserId, CloudError> {
        if token.len() > MOST_SENT {
            return Err(CloudError::Invalid);
        }
        let answer = tokio::time::timeout(TIMEOUT, service.exchange(token)).await;
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let answer = answer.map_err(|error| {
            tracing::warn!(%error, "the verifier of cloud tokens could not be asked");
            CloudError::Unavailable
        })?;
        if answer.valid != Some(true) {
            tracing::info!(reason = answer.reason, "the verifier of cloud tokens said no");
            return Err(CloudError::Invalid);
        }
        let owner = answer.owner_id.filter(|owner| !owner.is_empty()).ok_or(CloudError::Unavailable)?;
        let owner = UserId::parse(&owner).ok_or(CloudError::Invalid)?;
        match self.exists(owner).await {
            Ok(true) => {
                tracing::debug!(user.id = %owner, instance = answer.instance_id, "a cloud token was vouched for");
                Ok(owner)
            }
            Ok(false) => Err(CloudError::Invalid),
            Err(error) => {
                tracing::warn!(%error, "the owner of a cloud token could not be looked up");
                Err(CloudError::Unavailable)
            }
        }
    }

    async fn exists(&self, user: UserId) -> Result<bool, StoreError> {
        Ok(users::find(&mut self.db.reader().await?, user).await?.is_some())
    }
}

impl Service {
    async fn exchange(&self, token: &str) -> Result<Answer, String> {
        let said = |error: reqwest::Error| error.without_url().to_string();
        let request =
            self.client.post(&*self.url).header("accept", "application/json").json(&Question { token });
        let mut response = request.send().await.map_err(said)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("it answered {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_RECEIVED {
                return Err("its answer is too long".to_owned());
            }
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}
