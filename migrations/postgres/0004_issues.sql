-- What the titles of two issues share when they say the same; null in rows that were put
-- in by other means.
ALTER TABLE issue ADD COLUMN title_digest TEXT;
CREATE INDEX issue_title ON issue (workspace_id, title_digest) WHERE status NOT IN ('done', 'cancelled');
CREATE INDEX issue_assignee ON issue (assignee_id) WHERE assignee_id IS NOT NULL;

CREATE TABLE github_pull_request (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id UUID REFERENCES workspace (id) ON DELETE CASCADE,
    repo_owner TEXT NOT NULL DEFAULT '',
    repo_name TEXT NOT NULL DEFAULT '',
    pr_number INTEGER NOT NULL DEFAULT 0,
    title TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'open',
    html_url TEXT NOT NULL DEFAULT '',
    head_sha TEXT,
    pr_created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    pr_updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE issue_pull_request (
    issue_id UUID NOT NULL REFERENCES issue (id) ON DELETE CASCADE,
    pull_request_id UUID NOT NULL REFERENCES github_pull_request (id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (issue_id, pull_request_id)
);
CREATE INDEX issue_pull_request_pull_request ON issue_pull_request (pull_request_id);

-- What a person or an agent is told.
CREATE TABLE inbox_item (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id UUID NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    recipient_type TEXT NOT NULL CHECK (recipient_type IN ('member', 'agent')),
    recipient_id UUID NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL DEFAULT 'info' CHECK (severity IN ('action_required', 'attention', 'info')),
    issue_id UUID REFERENCES issue (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    body TEXT,
    actor_type TEXT,
    actor_id UUID,
    details JSONB NOT NULL DEFAULT '{}',
    read BOOLEAN NOT NULL DEFAULT FALSE,
    archived BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX inbox_item_recipient ON inbox_item (recipient_id, created_at);

CREATE INDEX autopilot_run_issue ON autopilot_run (issue_id) WHERE issue_id IS NOT NULL;

-- Looks for text in any case, whatever the locale that the database was made with: that of
-- a plain "C" knows upper and lower case of ASCII letters only. A server that was built
-- without ICU has the best that it has.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu') THEN
        CREATE COLLATION any_case FROM "und-x-icu";
    ELSIF EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'C.utf8') THEN
        CREATE COLLATION any_case FROM "C.utf8";
    ELSE
        CREATE COLLATION any_case FROM "C";
    END IF;
END
$$;
