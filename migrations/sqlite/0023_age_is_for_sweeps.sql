-- Nothing is looked for by it, and every write of a task wrote to it.
DROP INDEX agent_task_queue_originator;
