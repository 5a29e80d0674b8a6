-- The head of a queue is looked for by its order, with the agent at hand. Before, an index without
-- an order had the agent and this one had not; PostgreSQL preferred to sort all that a runtime has
-- queued to a look into the table for each of eight rows.
DROP INDEX agent_task_queue_next;
CREATE INDEX agent_task_queue_next ON agent_task_queue (runtime_id, priority DESC, created_at, id)
    INCLUDE (agent_id) WHERE status = 'queued';

-- The first of each agent is looked for by the index that begins with the agent. Which is meant is
-- said by an order that no other has: with an equality the agent would be no part of the order, and
-- where one agent has most of what waits PostgreSQL would read all of it to find another's.
DO $$
DECLARE
    function REGPROCEDURE := 'claim_heads_or_nothing(UUID[], TEXT[], INTEGER, TIMESTAMPTZ, TIMESTAMPTZ, TIMESTAMPTZ,
        TIMESTAMPTZ)';
    before TEXT := pg_get_functiondef(function);
    after TEXT := replace(replace(before,
        't.agent_id = w.agent_id AND t.status', 't.agent_id BETWEEN w.agent_id AND w.agent_id AND t.status'),
        'ORDER BY t.priority DESC, t.created_at, t.id LIMIT 1) n',
        'ORDER BY t.agent_id, t.priority DESC, t.created_at, t.id LIMIT 1) n');
BEGIN
    EXECUTE after;
END
$$;
