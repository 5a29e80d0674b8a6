-- What an agent finished last, and when; read by lists and charts.
CREATE INDEX agent_task_queue_ended ON agent_task_queue (agent_id, completed_at) WHERE status IN ('completed', 'failed');
