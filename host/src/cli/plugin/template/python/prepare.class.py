

class Prepare(exports.Prepare):
    def prepare(self, call, input):
        toolkits = prepare.toolkits(input.allowlist, [account.toolkit for account in input.accounts])
        if not toolkits:
            return Output(None, [], [])
        apps = [ConnectedApp("example", toolkit, toolkit, None) for toolkit in toolkits]
        return Output(json.dumps(prepare.overlay(toolkits)), apps, [])
