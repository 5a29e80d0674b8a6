-- How people come in: by a code sent to their address, and by an invitation.

CREATE TABLE verification_code (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    email TEXT NOT NULL,
    code TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used BOOLEAN NOT NULL DEFAULT FALSE,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
CREATE INDEX verification_code_email ON verification_code (email, created_at);
CREATE INDEX verification_code_expiry ON verification_code (expires_at);

CREATE TABLE workspace_invitation (
    id BLOB NOT NULL PRIMARY KEY DEFAULT (randomblob(16)) CHECK (length(id) = 16),
    workspace_id BLOB NOT NULL REFERENCES workspace (id) ON DELETE CASCADE,
    inviter_id BLOB NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    invitee_email TEXT NOT NULL,
    invitee_user_id BLOB REFERENCES "user" (id) ON DELETE CASCADE,
    role TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('admin', 'member')),
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'declined', 'expired')),
    expires_at TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
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
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
);
