

class Finished(exports.Finished):
    def finished(self, call, input):
        log.write(log.Level.INFO, finished.line(call.task_id, json.loads(input.task)))
