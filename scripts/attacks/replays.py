"""The same again: requests with other content under an old key, ended sessions, guessing."""

from scripts.attacks.caller import calling
from scripts.attacks.report import Report
from scripts.attacks.world import KEY, LEAD, OFFICER, PASSWORD, World, user_of


async def attack(world: World, report: Report) -> None:
    """Replay a registered visit, its key, and passwords."""
    async with world.signed_in(OFFICER) as officer:
        again = await officer.ask("POST", "/api/v1/visits", world.form, {"Idempotency-Key": KEY})
        same = again.status == 200 and again.body["case_ids"] == [world.ids["case"]]
        report.tried("a visit sent twice", "the first answer comes again", refused=same)
        other = world.form | {"kind": "ad_hoc", "statement": "Khác"}
        for said, body in {
            "other": other,
            "hardly other": world.form | {"readback": "fingerprint"},
        }.items():
            reply = await officer.ask("POST", "/api/v1/visits", body, {"Idempotency-Key": KEY})
            report.answered(f"{said} content under a used key", reply, {"request_id_reused"})
        for said, key in {"too long": "k" * 81, "not ASCII": "chìa"}.items():
            named = {"Idempotency-Key": key}
            reply = await officer.ask("POST", "/api/v1/visits", world.form, named)
            report.answered(f"a key that is {said}", reply)
        taken = {**world.form, "visit_id": world.ids["visit"], "statement": "Khác"}
        reply = await officer.ask("POST", "/api/v1/visits", taken)
        same = reply.status == 200 and reply.body["case_ids"] == [world.ids["case"]]
        report.tried("another visit under an id that stands", "what stands", refused=same)
    await _guess(world, report)


async def _guess(world: World, report: Report) -> None:
    """Guess passwords from an unknown browser; the person at a known one is not kept out."""
    async with world.signed_in(LEAD) as known, calling(world.commune.url) as stranger:
        seen = set()
        for number in range(12):
            reply = await stranger.sign_in(user_of(LEAD), f"đoán mò lần {number}")
            seen.add(reply.status)
            report.answered(f"guess {number + 1}", reply)
        report.tried("guessing without a pause", f"{sorted(seen)}", refused=429 in seen)
        kept = await known.sign_in(user_of(LEAD), PASSWORD)
        report.tried(
            "keeping a person out by guessing", f"{kept.status} for her", refused=kept.status == 200
        )
