"""What benchmarks draw has no row twice, and what they count is right."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.features import operations
from benchmarks.gate_against_point import DIFFERENCES, case_name, got
from benchmarks.labelled_rows import of_each_class, parts, read_rows
from benchmarks.measured import in_turn
from benchmarks.ray_scaling import ALL_THREADS, ONE_PROCESS, ONE_WORKER, TWO_WORKERS, family, memory_gb, summary


def test_near_duplicates_count_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\nGood one.,yes\n"good, one",yes\nbad,no\n')
    read = read_rows(path)
    assert read.labels == ("no", "yes")
    assert sorted(read.classes.tolist()) == [0, 1]


def test_parts_share_no_row() -> None:
    drawn = parts(20, [5, 7, 8], 3)
    assert [len(part) for part in drawn] == [5, 7, 8]
    assert sorted(np.concatenate(drawn).tolist()) == list(range(20))


def test_too_few_rows_are_told() -> None:
    with pytest.raises(SystemExit, match="30 rows"):
        parts(20, [10, 20], 0)


def test_each_class_gives_as_many_and_smaller_draws_are_nested() -> None:
    labels = np.arange(60, dtype=np.int64) % 2
    among = np.arange(10, 60, dtype=np.int64)
    train, validation = of_each_class(labels, among, [4, 6], 1)
    assert np.bincount(labels[train]).tolist() == [4, 4]
    assert np.bincount(labels[validation]).tolist() == [6, 6]
    assert not set(train) & set(validation)
    assert set(train) | set(validation) <= set(among)
    assert set(train) <= set(of_each_class(labels, among, [9, 9], 1)[0])


def test_operations_of_the_forward_pass_are_those_torch_counts() -> None:
    import torch
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.BertConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=40
    )
    config._attn_implementation = "eager"
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=torch.ones(2, 7, dtype=torch.int64))
    sizes = SimpleNamespace(hidden_size=16, num_hidden_layers=3, intermediate_size=40)
    assert operations(sizes, [7, 7]) == counter.get_total_flops()


def test_each_is_first_in_turn() -> None:
    assert [in_turn("abc", turn)[0] for turn in range(3)] == ["a", "b", "c"]
    assert sorted(in_turn("abc", 1)) == ["a", "b", "c"]


def test_scaling_is_the_median_of_the_rounds_ratios() -> None:
    speeds = {ONE_PROCESS: [10, 10, 10], ALL_THREADS: [20, 16, 10], ONE_WORKER: [10, 8, 5], TWO_WORKERS: [15, 16, 8]}
    points = {mode: [{"rows_per_second": float(speed)} for speed in own] for mode, own in speeds.items()}
    found = summary(points)
    assert found["scaling"] == {"median": 1.6, "lowest": 1.5}
    assert found["efficiency"] == {"median": 0.8, "lowest": 0.75}
    assert found["one_worker_to_one_process"] == {"median": 0.8, "lowest": 0.5}
    assert found["two_workers_to_all_threads"] == {"median": 0.8, "lowest": 0.75}


def test_the_memory_of_a_process_counts_its_descendants() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo; wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        members = family(shell.pid)
        assert len(members) == 2
        assert members < family(os.getpid())
        assert memory_gb(members) > 0
        for pid in members:
            os.kill(pid, signal.SIGKILL)
    # the kernel takes a moment to free what a killed process held
    for _ in range(100):
        if memory_gb(members) == 0:
            break
        time.sleep(0.05)
    assert memory_gb(members) == 0


def test_what_missed_an_expectation_of_the_gate_is_named_beside_it() -> None:
    shares = {"gate_promotes": 0.01, "point_promotes": 0.3}
    cases = {case_name(difference, 200): shares for difference in DIFFERENCES}
    cases |= {case_name(difference, 2000): shares for difference in DIFFERENCES}
    worse = {**cases, case_name(-0.02, 200): {"gate_promotes": 0.016, "point_promotes": 0.3}}
    found = got({"reviews": cases, "movies": worse}, [200, 2000])
    gate = found["2 points worse, gate promotes"]
    assert (gate["expected"], gate["lowest"], gate["highest"]) == ("0 to 0.01", 0.01, 0.016)
    assert gate["missed"] == ["movies 200 rows: 0.016"]
    better = found["2 points better, 2000 rows, gate promotes"]
    assert better["missed"] == ["reviews 2000 rows: 0.01", "movies 2000 rows: 0.01"]
    assert found["2 points better, gate less point"]["missed"] == []
