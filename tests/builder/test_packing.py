"""Packs of prompts: nothing is lost, common beginnings stand once, and no prompt sees another."""

from builder.evaluation.packing import pack_prompts

PROMPTS = [[1, 2], [1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 5], [7]]


def test_each_prompt_can_be_read_off_its_places():
    packs = list(pack_prompts(PROMPTS, 100))
    assert len(packs) == 1
    (pack,) = packs
    assert [[pack.ids[i] for i in places] for places in pack.places] == PROMPTS
    assert [[pack.positions[i] for i in places] for places in pack.places] == [list(range(len(p))) for p in PROMPTS]
    assert pack.ids == [1, 2, 3, 4, 5, 7]


def test_a_token_sees_its_own_prompt_up_to_itself():
    (pack,) = pack_prompts(PROMPTS, 100)
    mask = pack.mask()
    for index, place in enumerate(pack.places[2]):
        assert mask[place].nonzero()[:, 0].tolist() == pack.places[2][: index + 1]
    assert mask[5].nonzero()[:, 0].tolist() == [5]


def test_a_full_pack_is_closed():
    packs = list(pack_prompts(PROMPTS, 5))
    assert [len(pack.places) for pack in packs] == [3, 2]
    assert packs[1].ids == [1, 2, 3, 5, 7]
