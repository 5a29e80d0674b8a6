//! Connected apps: accounts that people have at other services, which Composio holds for
//! them. Knows no routes and no rows.

pub mod client;
mod provision;
pub mod state;
pub mod toolkits;

use std::sync::Arc;

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::config::composio::Settings;
use crate::model::ids::UserId;
use crate::model::time::Time;
use client::{Client, UpstreamError};
pub use provision::provision;
use state::Claims;
use toolkits::{AuthConfigs, Toolkit};

/// How long a person may take at the service.
const STATE_LIFE: TimeDelta = TimeDelta::minutes(5);
const CALLBACK: &str = "/api/integrations/composio/callback";

/// Cheap to clone; every clone shares what was looked up.
#[derive(Clone)]
pub struct Composio(Arc<Inner>);

struct Inner {
    settings: Settings,
    client: Client,
    auth_configs: AuthConfigs,
}

#[derive(Debug, Error)]
pub enum ConnectError {
    /// The project has no enabled way to log in there.
    #[error("toolkit not supported")]
    Unsupported,
    #[error(transparent)]
    State(#[from] serde_json::Error),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Why an account is not believed to be the person's.
#[derive(Debug, Error)]
pub enum OwnershipError {
    #[error("the service does not know the account")]
    Unknown,
    #[error("the account is another user's")]
    Foreign,
    #[error("the account was connected in another way")]
    OtherAuthConfig,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl Composio {
    pub fn new(settings: Settings) -> Self {
        let client = Client::new(&settings.upstream, settings.api_key.clone());
        Self(Arc::new(Inner { client, settings, auth_configs: AuthConfigs::default() }))
    }

    /// Where the web app is served.
    pub fn frontend(&self) -> &str {
        &self.0.settings.frontend
    }

    /// Where the person's browser goes to connect an app; the slug is in lower case.
    pub async fn connect(&self, user: UserId, slug: &str, now: Time) -> Result<String, ConnectError> {
        let Inner { settings, client, auth_configs } = &*self.0;
        let configs = auth_configs.find(now, || client.list_auth_configs()).await?;
        let auth_config = configs.get(slug).ok_or(ConnectError::Unsupported)?;
        let claims = Claims {
            user: user.to_string(),
            toolkit: slug.to_owned(),
            auth_config: auth_config.clone(),
            expires_at: (now + STATE_LIFE).timestamp(),
        };
        let state = state::sign(settings.state_secret.expose_secret(), &claims)?;
        let callback = format!("{}{CALLBACK}?state={state}", settings.callback_base);
        Ok(client.link(auth_config, &user.to_string(), &callback).await?)
    }

    /// What a browser brought back, if we gave it and it is not too late.
    pub fn read_state(&self, token: &str, now: Time) -> Result<Claims, state::StateError> {
        state::verify(self.0.settings.state_secret.expose_secret(), token, now.timestamp())
    }

    /// Whether the account is the person's, connected as the state says. Whatever the service
    /// does not clearly say yes to is a no.
    pub async fn verify(&self, account: &str, claims: &Claims) -> Result<(), OwnershipError> {
        let found = self.0.client.list_accounts(account).await?;
        let found = found.into_iter().find(|known| known.id == account).ok_or(OwnershipError::Unknown)?;
        if found.user_id != claims.user {
            return Err(OwnershipError::Foreign);
        }
        if claims.auth_config.is_empty() || found.auth_config() != claims.auth_config {
            return Err(OwnershipError::OtherAuthConfig);
        }
        Ok(())
    }

    /// Takes an account away at the service. One that is gone already is gone.
    pub async fn disconnect(&self, account: &str) -> Result<(), UpstreamError> {
        for step in [self.0.client.revoke(account).await, self.0.client.delete(account).await] {
            match step {
                Err(error) if !error.is_absent() => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Apps by how much they are used, those that can be connected first.
    pub async fn list_toolkits(&self, now: Time) -> Result<Vec<Toolkit>, UpstreamError> {
        let Inner { client, auth_configs, .. } = &*self.0;
        let listed = client.list_toolkits().await?;
        let configs = auth_configs.find(now, || client.list_auth_configs()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "which apps can be connected is not known");
            Arc::default()
        });
        Ok(toolkits::shown(listed, &configs))
    }
}
