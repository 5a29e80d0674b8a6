"""Stops a workspace that has had its share: it counts the tasks of each workspace and day, and
denies what is over the operator's budget. Here is what the gateway calls; what is decided stands
in budget.py, which Python can test. `wit_world` is made of wit/ by the build."""

import json

from wit_world import exports
from wit_world.exports.enrichment import Decision_Deny, Decision_Patch, Denial, Operation_AppendInstructions
from wit_world.exports.manifest import Description
from wit_world.imports import clock, kv, log

import budget


class Manifest(exports.Manifest):
    def describe(self) -> Description:
        summary = "Denies tasks of a workspace that are over its budget of the day."
        return Description("cost-guard", "1.0.0", summary, json.dumps(budget.SCHEMA), [])


class Enrichment(exports.Enrichment):
    def enrich(self, call, input):
        config = json.loads(call.config)
        day = budget.day(clock.now())
        # Two claims at the same time are both counted, on whichever node.
        spent = kv.increment(budget.key(call.workspace_id, day), 1, budget.TWO_DAYS)
        verdict = budget.verdict(config["tasks_a_day"], spent, day)
        if verdict.denied:
            log.write(log.Level.WARN, f"workspace {call.workspace_id}: {verdict.reason}")
            return Decision_Deny(Denial("over-budget", verdict.reason))
        return Decision_Patch([Operation_AppendInstructions(verdict.reason)] if verdict.reason else [])
