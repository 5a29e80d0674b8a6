-- Apps that people connected, by their accounts at the service that holds them.

CREATE TABLE user_composio_connection (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    user_id BLOB NOT NULL,
    toolkit_slug TEXT NOT NULL,
    auth_config_id TEXT NOT NULL,
    connected_account_id TEXT NOT NULL,
    composio_user_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    connected_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    last_used_at TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (user_id, connected_account_id)
);
