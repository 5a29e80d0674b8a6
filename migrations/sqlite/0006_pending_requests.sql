-- Short commands to a daemon, which it hears of in the answer to a heartbeat: update your
-- CLI, list the models, list the skills on your disk, send me one of them.

CREATE TABLE pending_request (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    runtime_id BLOB NOT NULL REFERENCES agent_runtime (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('update', 'model_list', 'local_skills', 'local_skill_import')),
    status TEXT NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'conflict', 'timeout')),
    requested_by BLOB,
    -- What is asked, and what came back.
    input TEXT NOT NULL DEFAULT '{}',
    output TEXT NOT NULL DEFAULT '{}',
    error TEXT,
    run_started_at TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
-- What a beat looks for, oldest first.
CREATE INDEX pending_request_next ON pending_request (runtime_id, kind, seq) WHERE status = 'pending';
-- At most one update of a runtime is under way.
CREATE UNIQUE INDEX pending_request_update ON pending_request (runtime_id)
    WHERE kind = 'update' AND status IN ('pending', 'running');
CREATE INDEX pending_request_age ON pending_request (updated_at);
