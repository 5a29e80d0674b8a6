-- What sets an autopilot off.
CREATE TABLE autopilot_trigger (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    autopilot_id UUID NOT NULL REFERENCES autopilot (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('schedule', 'webhook', 'api')),
    enabled BOOLEAN NOT NULL DEFAULT TRUE,
    cron_expression TEXT,
    timezone TEXT,
    next_run_at TIMESTAMPTZ,
    webhook_token TEXT UNIQUE,
    provider TEXT CHECK (provider IN ('generic', 'github')),
    signing_secret TEXT,
    event_filters JSONB,
    label TEXT,
    last_fired_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX autopilot_trigger_autopilot ON autopilot_trigger (autopilot_id, created_at);
CREATE INDEX autopilot_trigger_due ON autopilot_trigger (next_run_at) WHERE enabled AND kind = 'schedule';

-- What a webhook was sent, whatever became of it.
CREATE TABLE webhook_delivery (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id UUID NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    autopilot_id UUID NOT NULL REFERENCES autopilot (id) ON DELETE CASCADE,
    trigger_id UUID NOT NULL,
    provider TEXT NOT NULL,
    event TEXT NOT NULL,
    dedupe_key TEXT,
    dedupe_source TEXT,
    signature_status TEXT NOT NULL CHECK (signature_status IN ('not_required', 'valid', 'invalid', 'missing')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'dispatched', 'rejected', 'ignored', 'failed')),
    attempt_count INTEGER NOT NULL DEFAULT 1,
    content_type TEXT,
    selected_headers JSONB NOT NULL DEFAULT '{}',
    raw_body TEXT,
    response_status INTEGER,
    response_body TEXT,
    autopilot_run_id UUID,
    replayed_from_delivery_id UUID,
    error TEXT,
    received_at TIMESTAMPTZ NOT NULL,
    last_attempt_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX webhook_delivery_autopilot ON webhook_delivery (autopilot_id, received_at);
-- One delivery a key, unless it came to nothing.
CREATE UNIQUE INDEX webhook_delivery_dedupe ON webhook_delivery (trigger_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL AND status NOT IN ('rejected', 'failed');

CREATE TABLE autopilot_collaborator (
    autopilot_id UUID NOT NULL REFERENCES autopilot (id) ON DELETE CASCADE,
    user_id UUID NOT NULL,
    granted_by UUID,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (autopilot_id, user_id)
);

CREATE TABLE autopilot_subscriber (
    autopilot_id UUID NOT NULL,
    user_type TEXT NOT NULL DEFAULT 'member' CHECK (user_type IN ('member')),
    user_id UUID NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (autopilot_id, user_type, user_id)
);

CREATE INDEX autopilot_workspace ON autopilot (workspace_id, created_at);
CREATE INDEX autopilot_run_autopilot ON autopilot_run (autopilot_id, triggered_at);
