-- Claims that go together wait for a task that somebody holds, and with them everybody in the
-- group. Not for long: then each goes alone, and only the one whose task is held comes away
-- with nothing.
ALTER FUNCTION claim_heads(UUID[], TEXT[], INTEGER, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ)
    SET lock_timeout = '1s';
