"""Stage `finished`: a line in the gateway's log for each task that ended."""


def line(task_id: str, task: dict) -> str:
    return f"task {task_id} is {task['status']}"
