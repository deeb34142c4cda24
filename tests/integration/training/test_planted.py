"""What was planted is there, and is found: the facts that `bench.planted` prints, on small data and with generous margins."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tqdm import tqdm

from bench.planted import by_chance, main, of_truth, quality, same_category, trained
from training.made_up.planted_factors import FIRST_AT, SPAN_S, PlantedFactors, plant_factors, without_categories

tqdm.set_lock(threading.RLock())


@pytest.fixture(scope="module")
def warm() -> PlantedFactors:
    return plant_factors(users=1_200, items=600, likes_per_user=25, seed=11)


@pytest.fixture(scope="module")
def cold() -> PlantedFactors:
    return plant_factors(users=1_200, items=1_000, likes_per_user=30, cold_share=0.1, seed=12)


def test_als_finds_the_factors_behind_the_interactions(warm: PlantedFactors) -> None:
    als, best, popular = (
        quality(scorer, warm, warm.held)
        for scorer in (trained("als", warm.dataset, factors=32), of_truth(warm), trained("popular", warm.dataset))
    )
    assert als > 0.85 * best and als > 1.3 * popular


QUICK = {"regularization": 30.0, "factors": 32, "sweeps": 8}


def test_features_rank_what_nobody_has_yet(cold: PlantedFactors) -> None:
    features, popular = trained("features", cold.dataset, **QUICK), trained("popular", cold.dataset)
    found = quality(features, cold, cold.of_cold_items, only=cold.cold_items)
    assert found > 3 * by_chance(cold, cold.of_cold_items, cold.cold_items)
    assert found > 1.5 * quality(popular, cold, cold.of_cold_items, only=cold.cold_items)
    assert quality(features, cold, cold.of_cold_items) > quality(popular, cold, cold.of_cold_items)


def test_features_know_users_who_have_nothing_yet(cold: PlantedFactors) -> None:
    scorers = (trained("features", cold.dataset, **QUICK), trained("popular", cold.dataset), of_truth(cold))
    warm_items = np.setdiff1d(np.arange(len(cold.dataset.item_ids)), cold.cold_items)
    features, popular, best = (quality(scorer, cold, cold.of_cold_users, only=warm_items) for scorer in scorers)
    assert 1.15 * popular < features < best


def test_content_finds_the_categories_behind_the_texts(cold: PlantedFactors) -> None:
    assert same_category(trained("content", without_categories(cold.dataset)), cold) > 0.75
    assert same_category(trained("content", cold.dataset), cold) > 0.99


def test_what_is_held_out_is_held_out(cold: PlantedFactors) -> None:
    count = len(cold.dataset.item_ids)
    parts = (cold.dataset.interactions, cold.held, cold.of_cold_items, cold.of_cold_users)
    keys = np.concatenate([part.users.astype(np.int64) * count + part.items for part in parts])
    assert len(np.unique(keys)) == len(keys)
    for part, has_cold_users, has_cold_items in ((parts[0], 0, 0), (parts[1], 0, 0), (parts[2], 0, 1), (parts[3], 1, 0)):
        assert len(part)
        assert np.isin(part.users, cold.cold_users).all() == has_cold_users == np.isin(part.users, cold.cold_users).any()
        assert np.isin(part.items, cold.cold_items).all() == has_cold_items == np.isin(part.items, cold.cold_items).any()
    assert len(cold.cold_items) == 100 and len(cold.cold_users) == 120
    assert parts[0].times is not None and parts[0].times.min() >= FIRST_AT and parts[0].times.max() < FIRST_AT + SPAN_S


def test_the_same_arguments_plant_the_same(cold: PlantedFactors) -> None:
    again, other = (plant_factors(users=1_200, items=1_000, likes_per_user=30, cold_share=0.1, seed=seed) for seed in (12, 13))
    assert np.array_equal(again.dataset.interactions.items, cold.dataset.interactions.items)
    assert again.dataset.items == cold.dataset.items and np.array_equal(again.item_factors, cold.item_factors)
    assert not np.array_equal(other.categories, cold.categories)


def test_the_bench_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--users", "200", "--items", "120"]) == 0
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert [len(table.splitlines()) for table in tables] == [3, 3, 3, 3]
    assert all(line.count("|") == table.splitlines()[0].count("|") for table in tables for line in table.splitlines())
