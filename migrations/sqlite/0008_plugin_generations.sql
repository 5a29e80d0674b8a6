-- Sets of plugins that were applied: the newest is the one that runs. What they are made
-- of is kept with them, so that a set survives a restart whatever became of its files.

CREATE TABLE plugin_generation (
    number INTEGER NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    -- The document as JSON.
    document TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('built_in', 'file', 'api', 'rollback')),
    applied_at TEXT NOT NULL
);

CREATE TABLE plugin_generation_member (
    generation INTEGER NOT NULL REFERENCES plugin_generation (number) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (generation, position)
);
CREATE INDEX plugin_generation_member_component ON plugin_generation_member (sha256);

-- Components that came from files, by digest.
CREATE TABLE plugin_component (
    sha256 TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
);
