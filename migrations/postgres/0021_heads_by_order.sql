-- The head of a queue is looked for by its order, with the agent at hand. Before, an index without
-- an order had the agent and this one had not; PostgreSQL preferred to sort all that a runtime has
-- queued to a look into the table for each of eight rows.
DROP INDEX agent_task_queue_next;
CREATE INDEX agent_task_queue_next ON agent_task_queue (runtime_id, priority DESC, created_at, id)
    INCLUDE (agent_id) WHERE status = 'queued';
