"""The progress of a part is a share of the whole's."""

from contract.progress import STEPS, counted, part_of


def test_a_part_of_a_part_takes_its_share_of_the_whole():
    seen = []
    second_half = part_of(lambda done, total: seen.append(done / total), 0.5, 1)
    for done in (0, 1, 2):
        part_of(second_half, 0, 0.5)(done, 2)
    assert seen == [0.5, 0.625, 0.75]
    second_half(7, 7)
    assert seen[-1] == 1


def test_shares_are_whole_steps():
    seen = []
    part_of(lambda done, total: seen.append((done, total)), 0, 1)(1, 3)
    assert seen == [(333, STEPS)]


def test_a_step_more_than_were_expected_does_not_go_past_the_end():
    seen = []
    step = counted(lambda done, total: seen.append((done, total)), 2)
    for _ in range(3):
        step()
    assert seen == [(1, 2), (2, 2), (2, 2)]
