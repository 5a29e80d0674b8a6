-- What stands by on an issue and does not run yet: nearly always nothing, however much the issue
-- has seen.
CREATE INDEX agent_task_queue_standing_by ON agent_task_queue (issue_id)
    WHERE escalation_for_task_id IS NOT NULL
        AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory');
