// Stage `finished`: a line in the gateway's log for each task that ended.

/** Called once for each task that completed, failed or was cancelled. */
export function finished(call, input, write) {
  write("info", `task ${call.taskId} is ${JSON.parse(input.task).status}`);
}
