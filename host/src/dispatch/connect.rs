//! People connect apps, and take them away again.

use thiserror::Error;

use super::lifecycle::to_the_end;
use crate::app::App;
use crate::composio::client::UpstreamError;
use crate::composio::state::StateError;
use crate::composio::{Composio, OwnershipError};
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, UserId};
use crate::store::{StoreError, connections};

/// What a browser brings back from the service, as it was sent.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    pub state: String,
    pub status: String,
    pub account: String,
}

/// Why an app is not connected; for the log alone.
#[derive(Debug, Error)]
pub enum ReturnError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the service says that it failed")]
    NotConnected,
    #[error("no account is named")]
    NoAccount,
    #[error("the state is nobody's")]
    NoUser,
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the account that a browser came back with; gives the app's slug.
pub async fn finish(app: &App, composio: &Composio, returned: Returned) -> Result<String, ReturnError> {
    let now = app.clock.now();
    let claims = composio.read_state(&returned.state, now)?;
    if !returned.status.trim().eq_ignore_ascii_case("success") {
        return Err(ReturnError::NotConnected);
    }
    let account = returned.account.trim().to_owned();
    if account.is_empty() {
        return Err(ReturnError::NoAccount);
    }
    let user_id = UserId::parse(&claims.user).ok_or(ReturnError::NoUser)?;
    composio.verify(&account, &claims).await?;
    let slug = claims.toolkit.clone();
    let connection = Connection {
        id: ConnectionId::new(),
        user_id,
        toolkit_slug: claims.toolkit,
        auth_config_id: claims.auth_config,
        connected_account_id: account,
        status: "active".to_owned(),
        connected_at: now,
        last_used_at: None,
    };
    let kept: Result<(), StoreError> =
        app.db.write(move |c| Box::pin(async move { connections::upsert(c, &connection, now).await })).await;
    kept?;
    Ok(slug)
}

#[derive(Debug, Error)]
pub enum DisconnectError {
    #[error("composio connection not found")]
    NotFound,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes an app of the user's away, at the service first: what fails there stays connected, to
/// be tried again. One that is away already is done.
pub async fn take_away(
    app: &App,
    composio: &Composio,
    user: UserId,
    id: ConnectionId,
) -> Result<(), DisconnectError> {
    let found = connections::find(&mut app.db.reader().await?, id, user).await?;
    let connection = found.ok_or(DisconnectError::NotFound)?;
    if !connection.is_active() {
        return Ok(());
    }
    let (app, composio) = (app.clone(), composio.clone());
    to_the_end(async move {
        composio.disconnect(&connection.connected_account_id).await?;
        let now = app.clock.now();
        let revoked: Result<(), StoreError> =
            app.db.write(move |c| Box::pin(async move { connections::set_revoked(c, id, now).await })).await;
        Ok(revoked?)
    })
    .await
}
