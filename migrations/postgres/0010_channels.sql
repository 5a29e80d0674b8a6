-- Chats that are held in a channel elsewhere. Whoever deletes a chat deletes its binding.

CREATE TABLE channel_chat_session_binding (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    chat_session_id UUID NOT NULL UNIQUE,
    installation_id UUID,
    channel_type TEXT NOT NULL,
    last_message_id TEXT,
    last_thread_id TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
