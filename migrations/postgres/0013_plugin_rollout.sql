-- Why a set runs that nobody applied by hand, and the canary that was given up for it.

ALTER TABLE plugin_generation ADD COLUMN reason TEXT;
ALTER TABLE plugin_generation ADD COLUMN gave_up TEXT;

-- What each node runs. A node that is not seen any more is forgotten.
CREATE TABLE plugin_node (
    id UUID PRIMARY KEY,
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    digest TEXT NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    -- A newer set that does not run there, with its faults as JSON.
    stuck_at BIGINT,
    faults TEXT
);

-- Traces that another node asked for, for the moment that it takes to read them.
CREATE TABLE plugin_trace (
    task_id UUID PRIMARY KEY,
    claimed_at TIMESTAMPTZ NOT NULL,
    stored_at TIMESTAMPTZ NOT NULL,
    node TEXT NOT NULL,
    -- As the API shows it.
    trace TEXT NOT NULL
);
CREATE INDEX plugin_trace_stored ON plugin_trace (stored_at);

-- Sampled calls of plugins, without secrets.
CREATE TABLE plugin_recording (
    id UUID PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    plugin TEXT NOT NULL,
    stage TEXT NOT NULL,
    task_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    -- All of it, as JSON.
    recording TEXT NOT NULL
);
