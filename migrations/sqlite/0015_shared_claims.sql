-- Which agents have something queued on a runtime, and what each would do next: a claim that
-- finds the head of the queue blocked asks agent by agent, instead of reading everything that
-- waits behind a full one.
CREATE INDEX agent_task_queue_by_agent ON agent_task_queue (runtime_id, agent_id, priority DESC, created_at)
    WHERE status = 'queued';

-- What was handed out and never started, by when: the oldest is what may be lost.
DROP INDEX agent_task_queue_lost;
CREATE INDEX agent_task_queue_lost ON agent_task_queue (runtime_id, dispatched_at)
    WHERE status = 'dispatched' AND started_at IS NULL;
