-- Files that people and agents uploaded. The bytes lie below the data dir, where `url` says.

CREATE TABLE attachment (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    issue_id BLOB REFERENCES issue (id) ON DELETE CASCADE,
    comment_id BLOB REFERENCES comment (id) ON DELETE CASCADE,
    chat_session_id BLOB REFERENCES chat_session (id) ON DELETE CASCADE,
    chat_message_id BLOB REFERENCES chat_message (id) ON DELETE CASCADE,
    uploader_type TEXT NOT NULL CHECK (uploader_type IN ('member', 'agent')),
    uploader_id BLOB NOT NULL,
    filename TEXT NOT NULL,
    url TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX attachment_workspace ON attachment (workspace_id);
CREATE INDEX attachment_issue ON attachment (issue_id) WHERE issue_id IS NOT NULL;
CREATE INDEX attachment_comment ON attachment (comment_id) WHERE comment_id IS NOT NULL;
CREATE INDEX attachment_chat_session ON attachment (chat_session_id) WHERE chat_session_id IS NOT NULL;
CREATE INDEX attachment_chat_message ON attachment (chat_message_id) WHERE chat_message_id IS NOT NULL;
