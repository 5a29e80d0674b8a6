-- Small values that plugins keep between their calls, each under the plugin's name.

CREATE TABLE plugin_value (
    plugin TEXT NOT NULL,
    -- Ordered by its bytes, whatever the database's language is.
    key TEXT COLLATE "C" NOT NULL,
    value BYTEA NOT NULL,
    -- Bytes of key and value, to add up without reading them.
    size INTEGER NOT NULL,
    -- When it is forgotten; NULL is never.
    expires_at TIMESTAMPTZ,
    PRIMARY KEY (plugin, key)
);
CREATE INDEX plugin_value_size ON plugin_value (plugin, size);
CREATE INDEX plugin_value_expiry ON plugin_value (plugin, expires_at) WHERE expires_at IS NOT NULL;
