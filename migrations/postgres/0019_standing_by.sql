-- What stands by on an issue and does not run yet: nearly always nothing, however much the issue
-- has seen.
CREATE INDEX agent_task_queue_standing_by ON agent_task_queue (issue_id)
    WHERE escalation_for_task_id IS NOT NULL
        AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory');

-- The last step of a shared claim reaches its tasks by their ids. It said `status = 'queued'` beside
-- them, for which an index of what is queued looks as good as the key while little is, and is read
-- from end to end when much is. In an expression no such index is taken for it. The rest of the
-- function stays as it is.
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('claim_heads'::regproc),
        'q.id = p.id AND q.status = ''queued''', 'q.id = p.id AND q.status || '''' = ''queued''');
END
$$;
