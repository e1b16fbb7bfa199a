"""Which volleys the crash matrix fires."""

from tests.crash_matrix.cases import AFTER, REQUEST, TRIAL, TRIALS, VICTIMS, Cell, cells, offloaded_at_once
from tests.crash_matrix.cloud import DESTINATION, SOURCE
from tests.crash_matrix.planning import TRIES, Plan
from tests.crash_matrix.verdicts import DONE, Verdict
from tests.crash_matrix.volley import Case, Result, Volley

SOME = cells([TRIAL["resize"], TRIAL["stop"]], ["api", DESTINATION])


def met(volley: Volley, *cells_met: Cell) -> Result:
    return Result(volley, [Case(cell, cell == volley.leader, Verdict("s", DONE), 1.0, ()) for cell in cells_met], ())


def test_the_points_of_an_action_are_its_way_through_the_state_table() -> None:
    way = ("resize_prep", "resize_migrating", "resize_migrated", "resize_finish")
    assert TRIAL["resize"].points == (REQUEST, *way, AFTER)
    assert TRIAL["stop"].points == (REQUEST, "powering-off", AFTER)
    assert "block_device_mapping" in TRIAL["boot with volumes"].points
    assert "block_device_mapping" not in TRIAL["boot"].points


def test_the_matrix_has_every_action_with_every_victim_that_has_a_part_in_it() -> None:
    found = {(cell.trial.name, cell.victim) for cell in cells(TRIALS, VICTIMS)}
    assert {("resize", victim) for victim in VICTIMS} < found
    assert {victim for name, victim in found if name == "stop"} == {*VICTIMS} - {DESTINATION}
    assert {victim for name, victim in found if name == "attach volume"} == {
        "api",
        "conductor",
        SOURCE,
        "broker",
        "database",
    }
    assert {name for name, _ in found} == {trial.name for trial in TRIALS}


def test_the_points_of_what_is_done_with_a_volume_are_its_statuses() -> None:
    assert TRIAL["attach volume of a stopped"].points == (REQUEST, "attaching", AFTER)
    assert TRIAL["create volume"].points == (REQUEST, AFTER)


def test_every_cell_leads_once_or_is_met_on_the_way() -> None:
    plan = Plan(SOME, "seed", riders=3)
    seen: set[Cell] = set()
    for volley in plan.volleys():
        assert all(cell.victim == volley.leader.victim for cell in volley.riders)
        assert len(volley.riders) <= 3
        assert not seen & {volley.leader, *volley.riders}
        seen |= {volley.leader, *volley.riders}
        plan.met(met(volley, volley.leader, *volley.riders))

    assert seen == set(SOME)
    assert plan.unmet == []


def test_a_point_that_cannot_be_met_is_given_up_and_said() -> None:
    plan, led = Plan(SOME[:2], "seed", riders=0), []
    for volley in plan.volleys():
        led.append(volley.leader)
        plan.met(met(volley))

    assert sorted(map(str, led)) == sorted(map(str, SOME[:2] * TRIES))
    assert set(plan.unmet) == set(SOME[:2])


def test_a_seed_repeats_a_plan_and_another_one_does_not() -> None:
    first, same, other = (next(Plan(SOME, seed, riders=2).volleys()) for seed in ("a", "a", "b"))
    assert first == same
    assert (first.leader, first.riders) != (other.leader, other.riders)


def test_a_sample_has_as_many_cells_as_asked_for() -> None:
    assert len(Plan(SOME, "seed", riders=0, sample=4).open) == 4


def test_where_shelved_servers_leave_at_once_no_trial_begins_on_the_shelf() -> None:
    trials = {trial.name: trial for trial in offloaded_at_once(TRIALS)}

    assert "unshelve" not in trials
    assert "offload" not in trials
    assert [step.name for step in trials["unshelve of an offloaded"].path] == ["shelve"]
    assert trials["shelve"].points[-2:] == ("shelving_offloading", AFTER)
