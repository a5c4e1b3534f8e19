"""Language models: what is read, packed, scored, trained and written; every strategy that works on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.errors import ConfigError, DataError, ModelError
from acclimate.nn.causal.learner import WritingLearner
from acclimate.nn.causal.model import CausalModel, build, finish, load_lm
from acclimate.nn.causal.packing import Pack, packed
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.scoring import AnswerScores, answer_scores
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.job import Pairs, WritingJob
from acclimate.nn.source_card import source_card
from acclimate.nn.step import Workers
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import train
from acclimate.nn.training_model import trainable
from acclimate.records import SourceCard
from tests.small_jobs import Killed, assert_same, break_off, kill_after
from tests.small_jobs import result_of as trained
from tests.tiny_lm import toy_pairs, write_tiny_lm
from tests.written_data import answer_labels, as_batch

MakeJob = Callable[..., WritingJob]
WORKING = [name for name, strategy in STRATEGIES.items() if strategy.works_on("causal")]
CARD = SourceCard(
    name="tiny", revision="1", digest="d" * 64, licence="MIT", model_type="llama", parameters=1, labels=None
)
ASKED = Prompting(has_prompts=True, shots=(), max_length=128, max_new_tokens=8)


def writer_of(folder: Path, lm: object = None, prompting: Prompting = ASKED, precision: str = "fp32") -> Writer:
    lm = load_lm(folder) if lm is None else lm
    tokenizer = AnswerReader.load(folder, load_lm(folder).config, prompting.max_length).tokenizer
    return Writer(lm, tokenizer, prompting, precision=precision, strategy="full", source=CARD)


# --- reading ------------------------------------------------------------------------------------


def test_a_prompt_is_put_through_the_chat_template(tiny_lm: Path) -> None:
    reader = AnswerReader.load(tiny_lm, load_lm(tiny_lm).config, 128)
    rows = reader.rows(Pairs(("hi",), ("yo",)), shots=[("a", "b")])
    text = reader.tokenizer.decode(rows.ids[0])
    assert text == "<user>a<assistant>b<end><user>hi<assistant>yo<end>"
    assert reader.tokenizer.decode(rows.ids[0][rows.starts[0] :]) == "yo<end>"


def test_without_a_template_prompts_are_lines(tmp_path: Path) -> None:
    folder = write_tiny_lm(tmp_path / "lm", template=False)
    reader = AnswerReader.load(folder, load_lm(folder).config, 128)
    rows = reader.rows(Pairs(("hi",), ("yo",)), shots=[("a", "b")])
    assert reader.tokenizer.decode(rows.ids[0]) == "a\nb\n\nhi\nyo<end>"


def test_of_a_plain_text_everything_is_to_be_written(tiny_lm: Path) -> None:
    reader = AnswerReader.load(tiny_lm, load_lm(tiny_lm).config, 128)
    rows = reader.rows(Pairs(None, ("hello",)))
    assert reader.tokenizer.decode(rows.ids[0][rows.starts[0] :]) == "hello<end>"
    assert rows.starts == [1]


def test_a_row_that_is_too_long_is_refused_and_named(tiny_lm: Path) -> None:
    reader = AnswerReader.load(tiny_lm, load_lm(tiny_lm).config, 16)
    with pytest.raises(DataError, match="1 of 2 rows have over 16 tokens") as raised:
        reader.rows(Pairs(("hi", "x" * 30), ("yo", "yo")))
    assert raised.value.code == "E-DATA-070"
    assert "row 1" in str(raised.value.where)


def test_a_limit_beyond_the_models_positions_is_refused(tiny_lm: Path) -> None:
    with pytest.raises(ModelError, match="257 is more than the 256 tokens"):
        AnswerReader.load(tiny_lm, load_lm(tiny_lm).config, 257)


def test_an_encoder_is_no_language_model(tiny_source: Path) -> None:
    with pytest.raises(ModelError, match="bert model can't write") as raised:
        load_lm(tiny_source)
    assert raised.value.code == "E-MODEL-026"


# --- packing and scoring ------------------------------------------------------------------------


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_packs_hold_every_row_once_and_are_bounded(sizes: list[int], room: int) -> None:
    packs = packed(sizes, range(len(sizes)), tokens=room)
    assert sorted(row for pack in packs for row in pack) == list(range(len(sizes)))
    assert all(sum(sizes[row] for row in pack) <= room or len(pack) == 1 for pack in packs)
    if max(sizes) <= room:
        # at most 11/9 of the fewest and one more; the fewest hold all tokens
        assert len(packs) <= 2 * -(-sum(sizes) // room)


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_packed_rows_do_not_see_each_other(model_type: str, tied: bool, tmp_path: Path) -> None:
    folder = write_tiny_lm(tmp_path / model_type, model_type=model_type, tied=tied)
    lm = load_lm(folder)
    rows = AnswerReader.load(folder, lm.config, 128).rows(toy_pairs(6, 0))
    with torch.no_grad():
        found = CausalModel(lm)(Pack.of(rows, range(6)))
        alone = [lm(input_ids=as_batch(ids)).logits[0] for ids in rows.ids]
    wanted = [one[start - 1 : len(one) - 1] for one, start in zip(alone, rows.starts, strict=True)]
    torch.testing.assert_close(found, torch.cat(wanted), atol=1e-5, rtol=1e-5)


def test_scores_are_transformers_own_loss(tiny_lm: Path) -> None:
    lm = load_lm(tiny_lm)
    rows = AnswerReader.load(tiny_lm, lm.config, 128).rows(toy_pairs(5, 3))
    scores = AnswerScores(answer_scores(CausalModel(lm), rows))
    for row, (ids, start) in enumerate(zip(rows.ids, rows.starts, strict=True)):
        labels = answer_labels(ids, start)
        with torch.no_grad():
            loss = lm(input_ids=as_batch(ids), labels=labels).loss
        assert scores.row_loss[row] == pytest.approx(float(loss), rel=1e-5)
    assert scores.table[:, 1].tolist() == rows.written
    assert scores.perplexity == pytest.approx(np.exp(scores.table[:, 0].sum() / scores.table[:, 1].sum()), rel=1e-6)


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", WORKING)
@pytest.mark.parametrize("world", [2, 3])
def test_shares_add_up_to_the_gradient_of_the_batch(strategy: str, world: int, make_job: MakeJob) -> None:
    def gradient_of(world: int) -> tuple[float, dict[str, torch.Tensor]]:
        learner = WritingLearner(make_job(strategy))
        learner.compute.model.eval()
        loss = sum(learner.gradients([4, 40, 17, 3, 28], Workers(rank, world)) for rank in range(world))
        return loss, {n: p.grad for n, p in trainable(learner.model).items() if p.grad is not None}

    loss, whole = gradient_of(1)
    summed, parts = gradient_of(world)
    assert summed == pytest.approx(loss, rel=1e-5)
    assert whole.keys() == parts.keys() == trainable(build(make_job(strategy)).model).keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-4)


def test_the_gradient_is_that_of_transformers_loss(make_job: MakeJob) -> None:
    learner, lm = WritingLearner(make_job("full")), load_lm(make_job("full").source)
    learner.compute.model.eval()
    learner.gradients([0, 1, 2], Workers())
    rows = AnswerReader.load(make_job("full").source, lm.config, 128).rows(make_job("full").train)
    of_all = sum(rows.written[:3])
    for row in range(3):
        labels = answer_labels(rows.ids[row], rows.starts[row])
        (lm(input_ids=as_batch(rows.ids[row]), labels=labels).loss * rows.written[row] / of_all).backward()
    wanted = dict(CausalModel(lm).named_parameters())
    for name, parameter in trainable(learner.model).items():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("strategy", WORKING)
def test_what_is_not_trained_stays_as_it_is(strategy: str, make_job: MakeJob) -> None:
    job = make_job(strategy, epochs=1)
    # tied to the embeddings, the head has no weights of its own
    before = {name: value.clone() for name, value in build(job).model.named_parameters()}
    result = trained(job)
    stored = finish(job, result.weights[0])
    moved = trainable(build(job).model)
    assert result.trained_parameters == sum(p.numel() for p in moved.values())
    plain = dict(CausalModel(stored).named_parameters())
    for name in plain.keys() & before.keys() - moved.keys():
        if STRATEGIES[strategy].trains_source_weights:
            assert torch.equal(plain[name], before[name]), name


@pytest.mark.parametrize("strategy", WORKING)
def test_the_merged_model_scores_as_the_one_in_training(strategy: str, make_job: MakeJob) -> None:
    job = make_job(strategy, epochs=2)
    result = trained(job)
    merged = writer_of(job.source, finish(job, result.weights[0]))
    np.testing.assert_allclose(merged.score(job.validation).table, result.validation_outputs, atol=1e-4)
    source = writer_of(job.source).score(job.validation).table
    assert np.abs(source - result.validation_outputs).max() > 1e-4, "training must not be a no-op"


@pytest.mark.parametrize("strategy", [name for name in WORKING if STRATEGIES[name].starts_from_probe])
def test_training_starts_at_the_source(strategy: str, make_job: MakeJob) -> None:
    job = make_job(strategy)
    learner = WritingLearner(job)
    outputs = learner.validate(Workers()).outputs
    np.testing.assert_allclose(outputs, writer_of(job.source).score(job.validation).table, atol=1e-4)


def test_lora_adapts_the_layers_that_are_named(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("lora", epochs=1)
    job = replace(job, settings={**job.settings, "targets": ["q_proj", "mlp.down_proj"]})
    start, result = load_lm(job.source), trained(job)
    lm = finish(job, result.weights[0])
    after = lm.state_dict()
    moved = {name for name, value in start.state_dict().items() if not torch.equal(value, after[name])}
    layers = [f"model.layers.{i}.{name}.weight" for i in range(2) for name in ("self_attn.q_proj", "mlp.down_proj")]
    assert moved == set(layers)
    writer = writer_of(job.source, lm)
    np.testing.assert_allclose(writer.score(job.validation).table, result.validation_outputs, atol=1e-4)
    with pytest.raises(ConfigError) as caught:
        build(replace(job, settings={**job.settings, "targets": ["query"]}))
    assert caught.value.code == "E-TRAIN-038"
    assert "q_proj" in caught.value.hint


def test_full_may_start_from_random_top_layers(make_job: MakeJob) -> None:
    """The head that writes is the source's own: it stays."""
    job = make_job("full")
    source = build(job).model.state_dict()
    start = build(replace(job, seed=5, settings={**job.settings, "reinitialise": 1})).model.state_dict()
    changed = {name for name, value in start.items() if not torch.equal(value, source[name])}
    assert changed == {name for name in start if name.startswith("encoder.layers.1.") and "norm" not in name}


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in WORKING])
def test_what_does_not_work_on_language_models_says_so(strategy: str, make_job: MakeJob) -> None:
    with pytest.raises(ModelError, match="does not work on causal language models"):
        build(make_job(strategy))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_and_writes_what_it_learned(precision: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("full", epochs=6, patience=6, train=toy_pairs(64, 1), precision=precision)
    result = trained(job)
    assert result.best_score == 1.0
    writer = writer_of(job.source, finish(job, result.weights[0]), precision=precision)
    assert writer.predict(list(job.validation.prompts or ())) == list(job.validation.answers)
    assert writer.score(job.validation).would_write.all()
    # what is stored is what was evaluated
    writer.save(tmp_path / "model")
    loaded = Writer.load(tmp_path / "model")
    assert loaded.digest == writer.digest
    np.testing.assert_array_equal(loaded.score(job.validation).table, writer.score(job.validation).table)
    assert loaded.predict(["free cash now"]) == ["spam"]


@pytest.mark.parametrize("strategy", WORKING)
def test_a_training_that_is_taken_up_ends_with_the_same_bits(strategy: str, make_job: MakeJob) -> None:
    job = make_job(strategy, epochs=2)
    with pytest.raises(Killed):
        train(job, progress=kill_after(1))
    # amid an epoch too
    break_off(job, (2, 1))
    assert_same(trained(job), trained(make_job(strategy, epochs=2)))


@pytest.mark.parametrize("strategy", WORKING)
def test_the_merged_model_is_a_plain_one_and_a_source_itself(strategy: str, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(strategy, epochs=1)
    writer, source = writer_of(job.source, finish(job, trained(job).weights[0])), load_lm(job.source)
    writer.save(tmp_path / "model")
    again = load_lm(tmp_path / "model")
    assert type(again) is type(source)
    assert again.state_dict().keys() == source.state_dict().keys()
    assert all(torch.equal(value, writer.lm.state_dict()[name]) for name, value in again.state_dict().items())
    assert source_card(tmp_path / "model", name="x", revision=None, licence=None).model_type == "llama"


def test_l2_sp_holds_the_weights_near_the_source(make_job: MakeJob) -> None:
    def distance(weight: float) -> float:
        job = make_job("full", epochs=1, weight_decay=0.0)
        job = replace(job, settings={**job.settings, "l2_sp": weight})
        end = CausalModel(finish(job, trained(job).weights[0])).state_dict()
        start = build(job).model.state_dict()
        return sum(float(((end[name] - start[name]) ** 2).sum()) for name in start)

    assert distance(10.0) < distance(0.0)


# --- writing ------------------------------------------------------------------------------------


def test_an_answer_would_be_written_exactly_where_it_is_written(make_job: MakeJob) -> None:
    job = make_job("full", epochs=2)
    writer = writer_of(job.source, finish(job, trained(job).weights[0]))
    written = writer.predict(list(job.validation.prompts or ()))
    wanted = [float(text == answer) for text, answer in zip(written, job.validation.answers, strict=True)]
    assert writer.score(job.validation).would_write.tolist() == wanted


def test_what_is_written_does_not_depend_on_the_neighbours(tiny_lm: Path) -> None:
    writer = writer_of(tiny_lm)
    prompts = ["a", "bb bb bb", "free cash now and then", "x"]
    assert writer.predict(prompts) == [writer.predict([one])[0] for one in prompts]


def test_a_prompt_that_leaves_no_room_is_refused(tiny_lm: Path) -> None:
    writer = writer_of(tiny_lm, prompting=replace(ASKED, max_length=16))
    with pytest.raises(DataError, match="the prompt has 32 tokens") as raised:
        writer.predict(["ok", "x" * 30])
    assert raised.value.code == "E-PREDICT-004"
