-- How people come in: by a code sent to their address, and by an invitation.

CREATE TABLE verification_code (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email TEXT NOT NULL,
    code TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used BOOLEAN NOT NULL DEFAULT FALSE,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX verification_code_email ON verification_code (email, created_at);
CREATE INDEX verification_code_expiry ON verification_code (expires_at);

CREATE TABLE workspace_invitation (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id UUID NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    inviter_id UUID NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    invitee_email TEXT NOT NULL,
    invitee_user_id UUID REFERENCES "user" (id) ON DELETE CASCADE,
    role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('admin', 'member')),
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'declined', 'expired')),
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
-- Nobody is invited twice at once.
CREATE UNIQUE INDEX workspace_invitation_pending ON workspace_invitation (workspace_id, invitee_email)
    WHERE status = 'pending';
CREATE INDEX workspace_invitation_email ON workspace_invitation (invitee_email);
CREATE INDEX workspace_invitation_user ON workspace_invitation (invitee_user_id) WHERE invitee_user_id IS NOT NULL;

-- Secrets that the gateway made for itself, where every node finds them.
CREATE TABLE server_secret (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
