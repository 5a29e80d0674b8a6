-- Apps that people connected, by their accounts at the service that holds them.

CREATE TABLE user_composio_connection (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL,
    toolkit_slug TEXT NOT NULL,
    auth_config_id TEXT NOT NULL,
    connected_account_id TEXT NOT NULL,
    composio_user_id TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    connected_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_used_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (user_id, connected_account_id)
);
