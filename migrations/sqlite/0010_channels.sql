-- Chats that are held in a channel elsewhere. Whoever deletes a chat deletes its binding.

CREATE TABLE channel_chat_session_binding (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    chat_session_id BLOB NOT NULL UNIQUE,
    installation_id BLOB,
    channel_type TEXT NOT NULL,
    last_message_id TEXT,
    last_thread_id TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
