//! An app that somebody connected.

use super::ids::{ConnectionId, UserId};
use super::time::Time;

/// A row of `user_composio_connection`.
#[derive(Clone, Debug)]
pub struct Connection {
    pub id: ConnectionId,
    pub user_id: UserId,
    /// In lower case.
    pub toolkit_slug: String,
    /// The way in which it was connected.
    pub auth_config_id: String,
    /// The account at the service.
    pub connected_account_id: String,
    /// `active` or `revoked`.
    pub status: String,
    pub connected_at: Time,
    pub last_used_at: Option<Time>,
}

impl Connection {
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}
