-- What a purge looks for.
CREATE INDEX task_token_expiry ON task_token (expires_at);
CREATE INDEX daemon_token_expiry ON daemon_token (expires_at);
CREATE INDEX webhook_delivery_age ON webhook_delivery (received_at);

-- What goes along with a runtime, and what lets go of an autopilot's run: without these, the
-- end of one reads every task there ever was.
CREATE INDEX agent_task_queue_runtime ON agent_task_queue (runtime_id);
CREATE INDEX agent_task_queue_autopilot ON agent_task_queue (autopilot_run_id) WHERE autopilot_run_id IS NOT NULL;

-- In the queue's whole order: what was queued at one moment is not sorted at every claim.
DROP INDEX agent_task_queue_next;
CREATE INDEX agent_task_queue_next ON agent_task_queue (runtime_id, priority DESC, created_at, id)
    WHERE status = 'queued';
DROP INDEX agent_task_queue_by_agent;
CREATE INDEX agent_task_queue_by_agent ON agent_task_queue (runtime_id, agent_id, priority DESC, created_at, id)
    WHERE status = 'queued';

-- Whether an agent left a session behind on an issue, and which: every claim asks. Without this
-- PostgreSQL reads all that the agent ever ended, for each issue it is new to.
CREATE INDEX agent_task_queue_session ON agent_task_queue (issue_id, agent_id)
    WHERE status IN ('completed', 'failed') AND session_id IS NOT NULL;
