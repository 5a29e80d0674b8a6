-- An index that only a sweep is to use says so: its condition is none that a claim has. Where the
-- rows of `agent_task_queue` were counted while nothing was queued, as they mostly are, PostgreSQL
-- expected nothing in any index of what is queued, and took the one of the fewest bytes: each
-- claim then read the whole queue, until the next count.
DROP INDEX agent_task_queue_age;
CREATE INDEX agent_task_queue_age ON agent_task_queue (created_at) WHERE lower(status) = 'queued';

-- Nothing is looked for by it, and every write of a task wrote to it.
DROP INDEX agent_task_queue_originator;

-- As before, but behind blocked heads the tasks that an agent has in flight are counted once instead
-- of twice.
CREATE OR REPLACE FUNCTION claim_heads_or_nothing(asked UUID[], hashes TEXT[], depth INTEGER, lost_before TIMESTAMPTZ,
    moment TIMESTAMPTZ, lease TIMESTAMPTZ, expires TIMESTAMPTZ)
RETURNS TABLE (id UUID, agent_id UUID, runtime_id UUID, issue_id UUID, chat_session_id UUID, autopilot_run_id UUID,
    status TEXT, priority INTEGER, claim_epoch INTEGER, dispatched_at TIMESTAMPTZ, started_at TIMESTAMPTZ,
    completed_at TIMESTAMPTZ, prepare_lease_expires_at TIMESTAMPTZ, wait_reason TEXT, result JSONB, error TEXT,
    failure_reason TEXT, context JSONB, session_id TEXT, work_dir TEXT, trigger_comment_id UUID,
    trigger_summary TEXT, attempt INTEGER, max_attempts INTEGER, parent_task_id UUID, force_fresh_session BOOLEAN,
    is_leader_task BOOLEAN, squad_id UUID, handoff_note TEXT, initiator_user_id UUID, originator_user_id UUID,
    escalation_for_task_id UUID, fire_at TIMESTAMPTZ, created_at TIMESTAMPTZ, workspace_id UUID, owner_id UUID)
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
    held UUID[];
    more UUID[];
    -- Those that have something queued on the runtimes at the same places.
    waiting UUID[];
    waiting_on UUID[];
    chosen UUID[];
    further UUID[];
    deeper UUID[];
    blocked UUID[];
BEGIN
    -- Locked by one statement and counted by a later one: one that did both would count on what
    -- it saw before it had the lock.
    SELECT array_agg(l.id) INTO held FROM (
        SELECT a.id FROM agent a WHERE a.id IN (
            SELECT h.agent_id FROM unnest(asked) AS r (id) CROSS JOIN LATERAL (
                SELECT q.agent_id FROM agent_task_queue q WHERE q.runtime_id = r.id AND q.status = 'queued'
                ORDER BY q.priority DESC, q.created_at, q.id LIMIT depth) h)
        ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED) l;
    IF held IS NULL THEN
        RETURN;
    END IF;
    -- Materialized, so that each of its columns is found once.
    WITH heads AS MATERIALIZED (
        SELECT r.id AS runtime_id, r.place, h.id, h.agent_id,
            h.agent_id = ANY (held) AND rt.workspace_id = COALESCE(
                (SELECT i.workspace_id FROM issue i WHERE i.id = h.issue_id),
                (SELECT c.workspace_id FROM chat_session c WHERE c.id = h.chat_session_id),
                (SELECT p.workspace_id FROM autopilot_run x JOIN autopilot p ON p.id = x.autopilot_id
                    WHERE x.id = h.autopilot_run_id)) AS is_free,
            CASE WHEN h.id IS NULL THEN (SELECT count(*) FROM (SELECT 1 FROM agent_task_queue q
                WHERE q.runtime_id = r.id AND q.status = 'queued' LIMIT depth + 1) q) > depth END AS is_long
        FROM unnest(asked) WITH ORDINALITY AS r (id, place)
        JOIN agent_runtime rt ON rt.id = r.id AND rt.owner_id IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT t.* FROM (
                SELECT q.id, q.agent_id, q.issue_id, q.chat_session_id, q.autopilot_run_id, q.priority, q.created_at
                FROM agent_task_queue q WHERE q.runtime_id = r.id AND q.status = 'queued'
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
            ORDER BY t.priority DESC, t.created_at, t.id LIMIT 1) h ON true
        WHERE NOT EXISTS (SELECT 1 FROM agent_task_queue d
                WHERE d.runtime_id = r.id AND d.status = 'deferred' AND d.fire_at <= moment OFFSET 0)
            AND NOT EXISTS (SELECT 1 FROM agent_task_queue l
                WHERE l.runtime_id = r.id AND l.status = 'dispatched' AND l.started_at IS NULL
                    AND l.dispatched_at < lost_before
                    AND (l.prepare_lease_expires_at IS NULL OR l.prepare_lease_expires_at < moment)
                ORDER BY l.dispatched_at OFFSET 0)
    )
    SELECT array_agg(h.id ORDER BY h.place) FILTER (WHERE h.is_free),
        array_agg(h.runtime_id) FILTER (WHERE h.id IS NULL AND h.is_long),
        array_agg(h.runtime_id) FILTER (WHERE h.id IS NULL AND NOT h.is_long)
    INTO chosen, deeper, blocked FROM heads h;
    IF deeper IS NOT NULL THEN
        WITH RECURSIVE queued (runtime_id, agent_id) AS (
            SELECT r.id, (SELECT q.agent_id FROM agent_task_queue q WHERE q.runtime_id = r.id
                AND q.status = 'queued' ORDER BY q.agent_id LIMIT 1)
            FROM unnest(deeper) r (id)
            UNION ALL
            SELECT w.runtime_id, (SELECT q.agent_id FROM agent_task_queue q WHERE q.runtime_id = w.runtime_id
                AND q.status = 'queued' AND q.agent_id > w.agent_id ORDER BY q.agent_id LIMIT 1)
            FROM queued w WHERE w.agent_id IS NOT NULL
        )
        SELECT array_agg(w.agent_id), array_agg(w.runtime_id) INTO waiting, waiting_on FROM queued w
        WHERE w.agent_id IS NOT NULL;
        -- Whether they have room is counted once, when they are locked. Nobody is waited for, so two
        -- groups cannot wait for each other.
        SELECT array_agg(l.id) INTO more FROM (
            SELECT a.id FROM agent a WHERE a.id = ANY (waiting) AND a.id <> ALL (held)
            ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED) l;
        held := held || more;
        SELECT array_agg(h.id) FILTER (WHERE h.agent_id = ANY (held) AND rt.workspace_id = COALESCE(
                (SELECT i.workspace_id FROM issue i WHERE i.id = h.issue_id),
                (SELECT c.workspace_id FROM chat_session c WHERE c.id = h.chat_session_id),
                (SELECT p.workspace_id FROM autopilot_run x JOIN autopilot p ON p.id = x.autopilot_id
                    WHERE x.id = h.autopilot_run_id))),
            array_agg(r.id) FILTER (WHERE h.id IS NULL)
        INTO further, deeper
        FROM unnest(deeper) r (id) JOIN agent_runtime rt ON rt.id = r.id
        LEFT JOIN LATERAL (
            SELECT n.* FROM unnest(waiting, waiting_on) AS w (agent_id, runtime_id) CROSS JOIN LATERAL (
                -- By the index that begins with the agent: which is meant is said by an order that no
                -- other has.
                SELECT t.id, t.agent_id, t.issue_id, t.chat_session_id, t.autopilot_run_id, t.priority, t.created_at
                FROM agent_task_queue t
                WHERE t.runtime_id = r.id AND t.agent_id BETWEEN w.agent_id AND w.agent_id AND t.status = 'queued'
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
                ORDER BY t.agent_id, t.priority DESC, t.created_at, t.id LIMIT 1) n
            WHERE w.runtime_id = r.id
                AND (SELECT count(*) FROM agent_task_queue f WHERE f.agent_id = w.agent_id
                    AND f.status IN ('dispatched', 'running', 'waiting_local_directory'))
                < (SELECT a.max_concurrent_tasks FROM agent a WHERE a.id = w.agent_id)
            ORDER BY n.priority DESC, n.created_at, n.id LIMIT 1) h ON true;
        chosen := chosen || further;
        blocked := blocked || deeper;
    END IF;
    IF blocked IS NOT NULL THEN
        FOREACH runtime_id IN ARRAY blocked LOOP
            RETURN NEXT;
        END LOOP;
    END IF;
    IF chosen IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH picked AS (
        SELECT t.id, rt.workspace_id, rt.owner_id, row_number() OVER (PARTITION BY t.agent_id ORDER BY u.place) AS nth
        FROM unnest(chosen) WITH ORDINALITY AS u (id, place)
        JOIN agent_task_queue t ON t.id = u.id JOIN agent_runtime rt ON rt.id = t.runtime_id
    ),
    -- Whoever cancelled one meanwhile did so after it was chosen, so it is looked at again.
    claimed AS (
        UPDATE agent_task_queue q SET status = 'dispatched', dispatched_at = moment,
            prepare_lease_expires_at = lease, claim_epoch = q.claim_epoch + 1, error = NULL
        FROM picked p WHERE p.nth = 1 AND q.id = p.id AND q.status || '' = 'queued'
        RETURNING q.*, p.workspace_id, p.owner_id
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
