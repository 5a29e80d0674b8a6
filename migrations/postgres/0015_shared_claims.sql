-- Which agents have something queued on a runtime, and what each would do next: a claim that
-- finds the head of the queue blocked asks agent by agent, instead of reading everything that
-- waits behind a full one.
CREATE INDEX agent_task_queue_by_agent ON agent_task_queue (runtime_id, agent_id, priority DESC, created_at)
    WHERE status = 'queued';

-- What was handed out and never started, by when: the oldest is what may be lost.
DROP INDEX agent_task_queue_lost;
CREATE INDEX agent_task_queue_lost ON agent_task_queue (runtime_id, dispatched_at)
    WHERE status = 'dispatched' AND started_at IS NULL;

-- Gives each of several runtimes the head of its queue and mints its token, in one round trip
-- and one commit. A function, because agents must be locked by one statement and counted by a
-- later one. A runtime gets nothing when its head needs a closer look: something is due or
-- lost on it, its agent is held by somebody else or was taken for an earlier runtime, its
-- source names another workspace. Such a runtime claims alone.
CREATE FUNCTION claim_heads(asked UUID[], hashes TEXT[], depth INTEGER, lost_before TIMESTAMPTZ,
    moment TIMESTAMPTZ, lease TIMESTAMPTZ, expires TIMESTAMPTZ)
RETURNS TABLE (id UUID, agent_id UUID, runtime_id UUID, issue_id UUID, chat_session_id UUID, autopilot_run_id UUID,
    status TEXT, priority INTEGER, claim_epoch INTEGER, dispatched_at TIMESTAMPTZ, started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ, prepare_lease_expires_at TIMESTAMPTZ, wait_reason TEXT, result JSONB, error TEXT,
    failure_reason TEXT, context JSONB, session_id TEXT, work_dir TEXT, trigger_comment_id UUID,
    trigger_summary TEXT, attempt INTEGER, max_attempts INTEGER, parent_task_id UUID, force_fresh_session BOOLEAN,
    is_leader_task BOOLEAN, squad_id UUID, handoff_note TEXT, initiator_user_id UUID, originator_user_id UUID,
    escalation_for_task_id UUID, fire_at TIMESTAMPTZ, created_at TIMESTAMPTZ, workspace_id UUID, owner_id UUID)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held UUID[];
BEGIN
    SELECT array_agg(l.id) INTO held FROM (
        SELECT a.id FROM agent a WHERE a.id IN (
            SELECT h.agent_id FROM unnest(asked) AS r (runtime_id) CROSS JOIN LATERAL (
                SELECT q.agent_id FROM agent_task_queue q WHERE q.runtime_id = r.runtime_id AND q.status = 'queued'
                ORDER BY q.priority DESC, q.created_at, q.id LIMIT depth) h)
        ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED) l;
    IF held IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH heads AS (
        SELECT r.place, h.id, h.agent_id, rt.workspace_id, rt.owner_id
        FROM unnest(asked) WITH ORDINALITY AS r (runtime_id, place)
        JOIN agent_runtime rt ON rt.id = r.runtime_id AND rt.owner_id IS NOT NULL
        CROSS JOIN LATERAL (
            SELECT t.* FROM (
                SELECT q.id, q.agent_id, q.issue_id, q.chat_session_id, q.autopilot_run_id, q.priority, q.created_at
                FROM agent_task_queue q WHERE q.runtime_id = r.runtime_id AND q.status = 'queued'
                ORDER BY q.priority DESC, q.created_at, q.id LIMIT depth) t
            WHERE (SELECT count(*) FROM agent_task_queue f WHERE f.agent_id = t.agent_id
                    AND f.status IN ('dispatched', 'running', 'waiting_local_directory'))
                < (SELECT a.max_concurrent_tasks FROM agent a WHERE a.id = t.agent_id)
                AND NOT EXISTS (SELECT 1 FROM agent_task_queue f WHERE f.agent_id = t.agent_id
                    AND f.issue_id = t.issue_id
                    AND f.status IN ('dispatched', 'running', 'waiting_local_directory') OFFSET 0)
                AND NOT EXISTS (SELECT 1 FROM agent_task_queue f WHERE f.agent_id = t.agent_id
                    AND f.chat_session_id = t.chat_session_id
                    AND f.status IN ('dispatched', 'running', 'waiting_local_directory') OFFSET 0)
                AND (t.issue_id IS NOT NULL OR t.chat_session_id IS NOT NULL OR t.autopilot_run_id IS NOT NULL
                    OR NOT EXISTS (SELECT 1 FROM agent_task_queue f WHERE f.agent_id = t.agent_id
                        AND f.issue_id IS NULL AND f.chat_session_id IS NULL AND f.autopilot_run_id IS NULL
                        AND f.status IN ('dispatched', 'running', 'waiting_local_directory') OFFSET 0))
            ORDER BY t.priority DESC, t.created_at, t.id LIMIT 1) h
        WHERE h.agent_id = ANY (held)
            AND rt.workspace_id = COALESCE(
                (SELECT i.workspace_id FROM issue i WHERE i.id = h.issue_id),
                (SELECT c.workspace_id FROM chat_session c WHERE c.id = h.chat_session_id),
                (SELECT p.workspace_id FROM autopilot_run x JOIN autopilot p ON p.id = x.autopilot_id
                    WHERE x.id = h.autopilot_run_id))
            AND NOT EXISTS (SELECT 1 FROM agent_task_queue d
                WHERE d.runtime_id = r.runtime_id AND d.status = 'deferred' AND d.fire_at <= moment)
            AND NOT EXISTS (SELECT 1 FROM agent_task_queue l
                WHERE l.runtime_id = r.runtime_id AND l.status = 'dispatched' AND l.started_at IS NULL
                    AND l.dispatched_at < lost_before
                    AND (l.prepare_lease_expires_at IS NULL OR l.prepare_lease_expires_at < moment))
    ),
    chosen AS (
        SELECT h.*, row_number() OVER (PARTITION BY h.agent_id ORDER BY h.place) AS nth FROM heads h
    ),
    -- Whoever cancelled one meanwhile did so after it was chosen, so it is looked at again.
    claimed AS (
        UPDATE agent_task_queue q SET status = 'dispatched', dispatched_at = moment,
            prepare_lease_expires_at = lease, claim_epoch = q.claim_epoch + 1, error = NULL
        FROM chosen c WHERE c.nth = 1 AND q.id = c.id AND q.status = 'queued'
        RETURNING q.*, c.workspace_id, c.owner_id
    ),
    minted AS (
        INSERT INTO task_token (token_hash, task_id, agent_id, workspace_id, user_id, expires_at, created_at)
        SELECT hashes[array_position(asked, c.runtime_id)], c.id, c.agent_id, c.workspace_id, c.owner_id,
            expires, moment
        FROM claimed c
    ),
    working AS (
        UPDATE agent a SET status = 'working', updated_at = moment
        WHERE a.id IN (SELECT c.agent_id FROM claimed c)
    )
    SELECT c.id, c.agent_id, c.runtime_id, c.issue_id, c.chat_session_id, c.autopilot_run_id, c.status, c.priority,
        c.claim_epoch, c.dispatched_at, c.started_at, c.completed_at, c.prepare_lease_expires_at, c.wait_reason,
        c.result, c.error, c.failure_reason, c.context, c.session_id, c.work_dir, c.trigger_comment_id,
        c.trigger_summary, c.attempt, c.max_attempts, c.parent_task_id, c.force_fresh_session, c.is_leader_task,
        c.squad_id, c.handoff_note, c.initiator_user_id, c.originator_user_id, c.escalation_for_task_id, c.fire_at,
        c.created_at, c.workspace_id, c.owner_id
    FROM claimed c;
END
$$;
