-- Sets of plugins that were applied: the newest is the one that runs. What they are made
-- of is kept with them, so that a set survives a restart whatever became of its files.

CREATE TABLE plugin_generation (
    number BIGINT PRIMARY KEY,
    digest TEXT NOT NULL,
    -- The document as JSON.
    document TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('built_in', 'file', 'api', 'rollback')),
    applied_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE plugin_generation_member (
    generation BIGINT NOT NULL REFERENCES plugin_generation (number) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (generation, position)
);
CREATE INDEX plugin_generation_member_component ON plugin_generation_member (sha256);

-- Components that came from files, by digest.
CREATE TABLE plugin_component (
    sha256 TEXT PRIMARY KEY,
    bytes BYTEA NOT NULL
);
