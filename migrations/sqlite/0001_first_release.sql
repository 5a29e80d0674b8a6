-- The tables of the first release. Names and columns are those that clients of the
-- database already know; a comment says where a constraint carries a rule of the domain.

CREATE TABLE "user" (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    avatar_url TEXT,
    profile_description TEXT NOT NULL DEFAULT '',
    timezone TEXT,
    language VARCHAR(20),
    onboarded_at TEXT,
    onboarding_questionnaire TEXT NOT NULL DEFAULT '{}',
    starter_content_state TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);

CREATE TABLE workspace (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE,
    description TEXT,
    context TEXT,
    avatar_url TEXT,
    settings TEXT NOT NULL DEFAULT '{}',
    repos TEXT NOT NULL DEFAULT '[]',
    issue_prefix TEXT NOT NULL DEFAULT '',
    issue_counter INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);

CREATE TABLE member (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member')),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (workspace_id, user_id)
);
CREATE INDEX member_user ON member (user_id, workspace_id);

CREATE TABLE personal_access_token (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    user_id BLOB NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    token_prefix TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT,
    revoked BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX personal_access_token_user ON personal_access_token (user_id);

CREATE TABLE daemon_token (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    token_hash TEXT NOT NULL UNIQUE,
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    daemon_id TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);

-- Who may use the admin API; one row for each token that was handed out.
CREATE TABLE admin_token (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    token_hash TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);

CREATE TABLE runtime_profile (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL,
    display_name TEXT NOT NULL,
    protocol_family TEXT NOT NULL CHECK (protocol_family IN ('claude', 'codebuddy', 'codex', 'copilot',
        'opencode', 'openclaw', 'hermes', 'pi', 'cursor', 'kimi', 'kiro', 'antigravity')),
    command_name TEXT NOT NULL,
    description TEXT,
    fixed_args TEXT NOT NULL DEFAULT '[]',
    visibility TEXT NOT NULL DEFAULT 'workspace' CHECK (visibility IN ('workspace', 'private')),
    created_by BLOB,
    enabled BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (workspace_id, display_name)
);

CREATE TABLE agent_runtime (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    daemon_id TEXT,
    legacy_daemon_id TEXT,
    name TEXT NOT NULL,
    runtime_mode TEXT NOT NULL DEFAULT 'local' CHECK (runtime_mode IN ('local', 'cloud')),
    provider TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'offline' CHECK (status IN ('online', 'offline')),
    device_info TEXT NOT NULL DEFAULT '',
    metadata TEXT NOT NULL DEFAULT '{}',
    last_seen_at TEXT,
    owner_id BLOB REFERENCES "user" (id) ON DELETE SET NULL,
    visibility TEXT NOT NULL DEFAULT 'private' CHECK (visibility IN ('private', 'public')),
    profile_id BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE UNIQUE INDEX agent_runtime_builtin ON agent_runtime (workspace_id, daemon_id, provider) WHERE profile_id IS NULL;
CREATE UNIQUE INDEX agent_runtime_profile ON agent_runtime (workspace_id, daemon_id, profile_id) WHERE profile_id IS NOT NULL;

CREATE TABLE agent (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '' CHECK (length(description) <= 255),
    instructions TEXT NOT NULL DEFAULT '',
    avatar_url TEXT,
    runtime_mode TEXT NOT NULL DEFAULT 'local' CHECK (runtime_mode IN ('local', 'cloud')),
    runtime_config TEXT NOT NULL DEFAULT '{}',
    runtime_id BLOB NOT NULL REFERENCES agent_runtime (id) ON DELETE RESTRICT,
    visibility TEXT NOT NULL DEFAULT 'private' CHECK (visibility IN ('workspace', 'private')),
    permission_mode TEXT NOT NULL DEFAULT 'private' CHECK (permission_mode IN ('private', 'public_to')),
    status TEXT NOT NULL DEFAULT 'offline' CHECK (status IN ('idle', 'working', 'blocked', 'error', 'offline')),
    max_concurrent_tasks INTEGER NOT NULL DEFAULT 6,
    owner_id BLOB REFERENCES "user" (id) ON DELETE SET NULL,
    custom_env TEXT NOT NULL DEFAULT '{}',
    custom_args TEXT NOT NULL DEFAULT '[]',
    mcp_config TEXT,
    model TEXT,
    thinking_level TEXT,
    composio_toolkit_allowlist TEXT,
    archived_at TEXT,
    archived_by BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    CONSTRAINT agent_workspace_name_unique UNIQUE (workspace_id, name)
);
CREATE INDEX agent_runtime_id ON agent (runtime_id);

CREATE TABLE agent_invocation_target (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    agent_id BLOB NOT NULL,
    target_type TEXT NOT NULL CHECK (target_type IN ('workspace', 'member', 'team')),
    target_id BLOB NOT NULL,
    created_by BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (agent_id, target_type, target_id)
);

CREATE TABLE skill (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    content TEXT NOT NULL DEFAULT '',
    config TEXT NOT NULL DEFAULT '{}',
    created_by BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (workspace_id, name)
);

CREATE TABLE skill_file (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    skill_id BLOB NOT NULL REFERENCES skill (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    content TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (skill_id, path)
);

CREATE TABLE agent_skill (
    agent_id BLOB NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    skill_id BLOB NOT NULL REFERENCES skill (id) ON DELETE CASCADE,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    PRIMARY KEY (agent_id, skill_id)
);
CREATE INDEX agent_skill_skill ON agent_skill (skill_id);

CREATE TABLE squad (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    instructions TEXT NOT NULL DEFAULT '',
    avatar_url TEXT,
    leader_id BLOB NOT NULL REFERENCES agent (id) ON DELETE RESTRICT,
    creator_id BLOB NOT NULL,
    archived_at TEXT,
    archived_by BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX squad_workspace ON squad (workspace_id);
CREATE INDEX squad_leader ON squad (leader_id);

CREATE TABLE squad_member (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    squad_id BLOB NOT NULL REFERENCES squad (id) ON DELETE CASCADE,
    member_type TEXT NOT NULL CHECK (member_type IN ('agent', 'member')),
    member_id BLOB NOT NULL,
    role TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (squad_id, member_type, member_id)
);

CREATE TABLE project (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    description TEXT,
    icon TEXT,
    status TEXT NOT NULL DEFAULT 'planned' CHECK (status IN ('planned', 'in_progress', 'paused', 'completed', 'cancelled')),
    priority TEXT NOT NULL DEFAULT 'none' CHECK (priority IN ('urgent', 'high', 'medium', 'low', 'none')),
    lead_type TEXT CHECK (lead_type IN ('member', 'agent')),
    lead_id BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX project_workspace ON project (workspace_id);

CREATE TABLE project_resource (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    project_id BLOB NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    resource_type TEXT NOT NULL,
    resource_ref TEXT NOT NULL,
    label TEXT,
    position INTEGER NOT NULL DEFAULT 0,
    created_by BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (project_id, resource_type, resource_ref)
);

CREATE TABLE issue (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    title TEXT NOT NULL,
    description TEXT,
    status TEXT NOT NULL DEFAULT 'todo' CHECK (status IN ('backlog', 'todo', 'in_progress', 'in_review', 'done', 'blocked', 'cancelled')),
    priority TEXT NOT NULL DEFAULT 'none' CHECK (priority IN ('urgent', 'high', 'medium', 'low', 'none')),
    assignee_type TEXT CHECK (assignee_type IN ('member', 'agent', 'squad')),
    assignee_id BLOB,
    creator_type TEXT NOT NULL CHECK (creator_type IN ('member', 'agent')),
    creator_id BLOB NOT NULL,
    parent_issue_id BLOB REFERENCES issue (id) ON DELETE SET NULL,
    project_id BLOB REFERENCES project (id) ON DELETE SET NULL,
    origin_type TEXT CHECK (origin_type IN ('autopilot', 'quick_create', 'lark_chat', 'slack_chat')),
    origin_id BLOB,
    position REAL NOT NULL DEFAULT 0,
    stage INTEGER CHECK (stage >= 1),
    start_date TEXT,
    due_date TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    first_executed_at TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (workspace_id, number)
);
CREATE INDEX issue_parent ON issue (parent_issue_id) WHERE parent_issue_id IS NOT NULL;
CREATE INDEX issue_project ON issue (project_id) WHERE project_id IS NOT NULL;
CREATE INDEX issue_board ON issue (workspace_id, status, position);
CREATE INDEX issue_origin ON issue (origin_type, origin_id) WHERE origin_id IS NOT NULL;

CREATE TABLE comment (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    issue_id BLOB NOT NULL REFERENCES issue (id) ON DELETE CASCADE,
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    author_type TEXT NOT NULL CHECK (author_type IN ('member', 'agent', 'system')),
    author_id BLOB NOT NULL,
    content TEXT NOT NULL,
    type TEXT NOT NULL DEFAULT 'comment' CHECK (type IN ('comment', 'status_change', 'progress_update', 'system')),
    parent_id BLOB REFERENCES comment (id) ON DELETE CASCADE,
    source_task_id BLOB,
    resolved_at TEXT,
    resolved_by_type TEXT,
    resolved_by_id BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    CHECK ((resolved_at IS NULL) = (resolved_by_type IS NULL) AND (resolved_at IS NULL) = (resolved_by_id IS NULL))
);
CREATE INDEX comment_issue ON comment (issue_id, created_at, id);
CREATE INDEX comment_parent ON comment (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE issue_subscriber (
    issue_id BLOB NOT NULL REFERENCES issue (id) ON DELETE CASCADE,
    user_type TEXT NOT NULL CHECK (user_type IN ('member', 'agent')),
    user_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    PRIMARY KEY (issue_id, user_type, user_id)
);

CREATE TABLE chat_session (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    agent_id BLOB NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    creator_id BLOB NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    title TEXT NOT NULL DEFAULT '',
    session_id TEXT,
    work_dir TEXT,
    runtime_id BLOB REFERENCES agent_runtime (id) ON DELETE SET NULL,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    unread_since TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);

CREATE TABLE chat_message (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    chat_session_id BLOB NOT NULL REFERENCES chat_session (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    content TEXT NOT NULL,
    task_id BLOB,
    failure_reason TEXT,
    elapsed_ms BIGINT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX chat_message_session ON chat_message (chat_session_id, created_at);

CREATE TABLE autopilot (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    description TEXT,
    assignee_type TEXT NOT NULL DEFAULT 'agent' CHECK (assignee_type IN ('agent', 'squad')),
    assignee_id BLOB,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'archived')),
    execution_mode TEXT NOT NULL DEFAULT 'create_issue' CHECK (execution_mode IN ('create_issue', 'run_only')),
    issue_title_template TEXT,
    project_id BLOB REFERENCES project (id) ON DELETE SET NULL,
    created_by_type TEXT NOT NULL CHECK (created_by_type IN ('member', 'agent')),
    created_by_id BLOB NOT NULL,
    last_run_at TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);

CREATE TABLE autopilot_run (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    autopilot_id BLOB NOT NULL REFERENCES autopilot (id) ON DELETE CASCADE,
    trigger_id BLOB,
    source TEXT NOT NULL CHECK (source IN ('schedule', 'manual', 'webhook', 'api')),
    status TEXT NOT NULL CHECK (status IN ('issue_created', 'running', 'completed', 'failed', 'skipped')),
    issue_id BLOB REFERENCES issue (id) ON DELETE SET NULL,
    task_id BLOB,
    squad_id BLOB REFERENCES squad (id) ON DELETE SET NULL,
    planned_at TEXT,
    trigger_payload TEXT,
    result TEXT,
    failure_reason TEXT,
    triggered_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    completed_at TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE UNIQUE INDEX autopilot_run_planned ON autopilot_run (trigger_id, planned_at)
    WHERE trigger_id IS NOT NULL AND planned_at IS NOT NULL;

CREATE TABLE agent_task_queue (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    agent_id BLOB NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    runtime_id BLOB NOT NULL REFERENCES agent_runtime (id) ON DELETE CASCADE,
    issue_id BLOB REFERENCES issue (id) ON DELETE CASCADE,
    chat_session_id BLOB REFERENCES chat_session (id) ON DELETE SET NULL,
    autopilot_run_id BLOB REFERENCES autopilot_run (id) ON DELETE SET NULL,
    status TEXT NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'dispatched', 'running', 'completed',
        'failed', 'cancelled', 'waiting_local_directory', 'deferred')),
    priority INTEGER NOT NULL DEFAULT 0,
    claim_epoch INTEGER NOT NULL DEFAULT 0,
    dispatched_at TEXT,
    started_at TEXT,
    completed_at TEXT,
    prepare_lease_expires_at TEXT,
    wait_reason TEXT,
    result TEXT,
    error TEXT,
    failure_reason TEXT,
    context TEXT,
    session_id TEXT,
    work_dir TEXT,
    trigger_comment_id BLOB REFERENCES comment (id) ON DELETE SET NULL,
    trigger_summary TEXT,
    attempt INTEGER NOT NULL DEFAULT 1,
    max_attempts INTEGER NOT NULL DEFAULT 2,
    parent_task_id BLOB REFERENCES agent_task_queue (id) ON DELETE SET NULL,
    force_fresh_session BOOLEAN NOT NULL DEFAULT FALSE,
    is_leader_task BOOLEAN NOT NULL DEFAULT FALSE,
    squad_id BLOB,
    handoff_note TEXT,
    initiator_user_id BLOB,
    originator_user_id BLOB,
    escalation_for_task_id BLOB,
    fire_at TEXT,
    runtime_mcp_overlay TEXT,
    runtime_connected_apps TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
-- The pending slot: at most one queued or dispatched task for an issue and agent.
CREATE UNIQUE INDEX agent_task_queue_pending ON agent_task_queue (issue_id, agent_id)
    WHERE status IN ('queued', 'dispatched');
-- The lanes: what one agent may not run twice at once, whatever the code does.
CREATE UNIQUE INDEX agent_task_queue_lane_issue ON agent_task_queue (agent_id, issue_id)
    WHERE issue_id IS NOT NULL AND status IN ('dispatched', 'running', 'waiting_local_directory');
CREATE UNIQUE INDEX agent_task_queue_lane_chat ON agent_task_queue (agent_id, chat_session_id)
    WHERE chat_session_id IS NOT NULL AND status IN ('dispatched', 'running', 'waiting_local_directory');
CREATE UNIQUE INDEX agent_task_queue_lane_quick ON agent_task_queue (agent_id)
    WHERE issue_id IS NULL AND chat_session_id IS NULL AND autopilot_run_id IS NULL
    AND status IN ('dispatched', 'running', 'waiting_local_directory');
CREATE INDEX agent_task_queue_next ON agent_task_queue (runtime_id, priority DESC, created_at) WHERE status = 'queued';
CREATE INDEX agent_task_queue_age ON agent_task_queue (created_at) WHERE status = 'queued';
CREATE INDEX agent_task_queue_lost ON agent_task_queue (runtime_id, priority DESC, dispatched_at)
    WHERE status = 'dispatched' AND started_at IS NULL;
CREATE INDEX agent_task_queue_due ON agent_task_queue (runtime_id, fire_at) WHERE status = 'deferred';
CREATE INDEX agent_task_queue_running ON agent_task_queue (started_at) WHERE status = 'running';
CREATE INDEX agent_task_queue_in_flight ON agent_task_queue (agent_id)
    WHERE status IN ('dispatched', 'running', 'waiting_local_directory');
CREATE INDEX agent_task_queue_issue ON agent_task_queue (issue_id, agent_id, created_at);
CREATE INDEX agent_task_queue_agent ON agent_task_queue (agent_id, created_at);
CREATE INDEX agent_task_queue_chat ON agent_task_queue (chat_session_id) WHERE chat_session_id IS NOT NULL;
CREATE INDEX agent_task_queue_escalation ON agent_task_queue (escalation_for_task_id) WHERE escalation_for_task_id IS NOT NULL;
CREATE INDEX agent_task_queue_squad ON agent_task_queue (squad_id) WHERE squad_id IS NOT NULL;
CREATE INDEX agent_task_queue_originator ON agent_task_queue (originator_user_id) WHERE originator_user_id IS NOT NULL;
CREATE INDEX agent_task_queue_parent ON agent_task_queue (parent_task_id) WHERE parent_task_id IS NOT NULL;
CREATE INDEX agent_task_queue_trigger ON agent_task_queue (trigger_comment_id) WHERE trigger_comment_id IS NOT NULL;

-- A task that ends forgets its secrets in the same statement, whoever ends it.
CREATE TRIGGER agent_task_queue_forget AFTER UPDATE OF status ON agent_task_queue
    FOR EACH ROW WHEN OLD.status IS NOT NEW.status AND NEW.status IN ('completed', 'failed', 'cancelled')
BEGIN
    UPDATE agent_task_queue SET runtime_mcp_overlay = NULL, runtime_connected_apps = NULL WHERE id = NEW.id;
END;

CREATE TABLE task_token (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    token_hash TEXT NOT NULL UNIQUE,
    task_id BLOB NOT NULL REFERENCES agent_task_queue (id) ON DELETE CASCADE,
    agent_id BLOB NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    user_id BLOB NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    expires_at TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX task_token_task ON task_token (task_id);

CREATE TABLE task_message (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    task_id BLOB NOT NULL REFERENCES agent_task_queue (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    tool TEXT,
    content TEXT,
    input TEXT,
    output TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX task_message_task ON task_message (task_id, seq);

CREATE TABLE task_usage (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    task_id BLOB NOT NULL REFERENCES agent_task_queue (id) ON DELETE CASCADE,
    provider TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE (task_id, provider, model)
);

CREATE TABLE activity_log (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    issue_id BLOB REFERENCES issue (id) ON DELETE CASCADE,
    actor_type TEXT NOT NULL CHECK (actor_type IN ('member', 'agent', 'system')),
    actor_id BLOB,
    action TEXT NOT NULL,
    details TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX activity_log_issue ON activity_log (issue_id, created_at) WHERE issue_id IS NOT NULL;
