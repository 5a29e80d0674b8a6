

class Enrichment(exports.Enrichment):
    def enrich(self, call, input):
        config, claim = json.loads(call.config), json.loads(input.claim)
        argument = enrichment.denied_argument(config, claim)
        if argument is not None:
            log.write(log.Level.WARN, f"refused the argument {argument}")
            reason = f"the agent's argument {argument} is forbidden here; remove it"
            return Decision_Deny(Denial("argument-denied", reason))
        text = enrichment.notice(config)
        return Decision_Patch([Operation_AppendInstructions(text)] if text else [])
