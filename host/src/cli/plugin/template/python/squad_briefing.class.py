

class SquadBriefing(exports.SquadBriefing):
    def brief(self, call, input):
        others = [
            (member.name, member.skills)
            for member in input.members
            if member.id != input.leader_id and not member.archived
        ]
        return squad_briefing.briefing(input.squad_name, others)
