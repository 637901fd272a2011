from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from tests.losses.examples import FEATURES, SMALL, Encoder, two_views
from tests.reference import losses as reference
from transferkit.core.errors import ShapeError, UsageError
from transferkit.losses.collectives import Collectives
from transferkit.losses.loss import LOSSES, BatchTerm
from transferkit.losses.pretext import Pretext, PretextSettings
from transferkit.losses.weighted import parse_loss

B = 16
VIEWS, LABELS = two_views(B, seed=0)
EVERY_LOSS = ["ce", "selfsupcon", "supcon", "supcon-batch", "joint", "joint-supcon", "ce + supcon-batch"]


def pretext(loss, *, settings=SMALL, batch_norm=False, n_classes=3, **options):
    torch.manual_seed(0)  # of the heads; nothing else draws
    encoder = Encoder(batch_norm=batch_norm)
    return Pretext(
        encoder,
        parse_loss(loss),
        feature_dim=FEATURES,
        n_classes=n_classes,
        settings=settings,
        **options,
    )


def primed(loss, **options):
    """Train for two steps, so that the queue has older keys and the momentum encoder lags behind."""
    model = pretext(loss, **options)
    for seed in (50, 51):  # against an empty queue the first step of selfsupcon moves nothing
        step(model, *two_views(B, seed=seed))
    return model


def step(model, views, labels):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
    optimizer.zero_grad()
    losses = model(views, labels)
    losses["total"].backward()
    optimizer.step()
    return {name: value.item() for name, value in losses.items()}


def by_hand(model, name, images):
    """Query or key projections, ``[b, p]``, without the module's own path."""
    encoder, heads = (model.key_encoder, model.key_heads) if name[1] == "key" else (model.encoder, model.heads)
    with torch.no_grad():
        return heads[name[0]](encoder(images))


def test_ce_is_the_classifier_on_the_first_view():
    model = pretext("ce")
    logits = model.heads["ce"](model.encoder(VIEWS[0]))
    expected = cross_entropy(logits, LABELS)
    for views in (VIEWS, VIEWS[:1]):
        losses = model(views, LABELS)
        assert list(losses) == ["total", "ce"]
        assert_close(losses["total"], expected)


@pytest.mark.parametrize("loss", ["joint-supcon", "0.5*selfsupcon + supcon"])
def test_joint_supcon_term_by_term_against_the_reference(loss):
    model = primed(loss)
    before = model.queue.bank()
    model.update_momentum()
    queries = {name: by_hand(model, (name, "query"), VIEWS[0]) for name in model.heads}
    keys = {name: by_hand(model, (name, "key"), VIEWS[1]) for name in model.heads}
    model.settings = replace(model.settings, ema_momentum=1.0)  # it has just been moved
    losses = model(VIEWS, LABELS)
    halves = slice(0, 5), slice(5, 10)
    supcon_columns, selfsupcon_columns = halves if loss == "joint-supcon" else halves[::-1]
    info_nce = reference.info_nce(
        queries["selfsupcon"], keys["selfsupcon"], before.keys[before.filled][:, selfsupcon_columns], 0.2
    )
    bank = torch.cat([before.keys[before.filled][:, supcon_columns], keys["supcon"]])
    labels = torch.cat([before.labels[before.filled], LABELS])
    supcon = reference.supcon_queue(queries["supcon"], LABELS, bank, labels, 0.2)
    assert losses["selfsupcon"].item() == pytest.approx(info_nce, rel=1e-5)
    assert losses["supcon"].item() == pytest.approx(supcon, rel=1e-5)
    assert losses["total"].item() == pytest.approx(supcon + 0.5 * info_nce, rel=1e-5)


def test_supcon_batch_uses_both_views_with_gradient():
    model = pretext("supcon-batch")
    embeddings = model.heads["supcon-batch"](model.encoder(torch.cat(VIEWS)))
    losses = model(VIEWS, LABELS)
    expected = reference.supcon(embeddings.detach(), LABELS.repeat(2), 0.2)
    assert losses["supcon-batch"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_training_lowers_every_loss(loss):
    model = pretext(loss, settings=replace(SMALL, queue_size=64))
    for seed in range(5):  # fill the queue: more keys, higher loss
        step(model, *two_views(B, seed=100 + seed))
    first = step(model, VIEWS, LABELS)
    for seed in range(80):
        step(model, *two_views(B, seed=200 + seed))
    last = step(model, VIEWS, LABELS)
    assert all(last[name] < first[name] for name in first), (first, last)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_every_trained_weight_gets_a_gradient_and_no_other(loss):
    model = primed(loss)
    model.zero_grad()
    model(VIEWS, LABELS)["total"].backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("key_encoder", "key_heads")):
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_a_loss_without_queue_keeps_no_second_network():
    for loss in ("ce", "supcon-batch"):
        assert {name.split(".")[0] for name in pretext(loss).state_dict()} == {"encoder", "heads"}


def test_the_momentum_encoder_is_updated_before_the_keys_are_computed():
    model = primed("selfsupcon")
    follow = [
        (model.key_encoder.first.weight, model.encoder.first.weight),
        (model.key_heads["selfsupcon"].layers[0].weight, model.heads["selfsupcon"].layers[0].weight),
    ]
    lagging = [slow.clone() for slow, _ in follow]
    model(VIEWS)
    for was, (slow, fast) in zip(lagging, follow, strict=True):
        assert not torch.allclose(was, fast, atol=1e-3)
        assert_close(slow, 0.9 * was + 0.1 * fast)
    assert_close(model.queue.keys[2 * B : 3 * B], by_hand(model, ("selfsupcon", "key"), VIEWS[1]))


def test_keys_have_no_gradient():
    views = [view.clone().requires_grad_() for view in VIEWS]
    primed("joint-supcon")(views, LABELS)["total"].backward()
    assert views[0].grad.abs().max() > 0
    assert views[1].grad is None


@pytest.mark.parametrize("n", [8, 16, 20, 23])
def test_keys_enter_in_order_with_their_labels(n):
    views, labels = two_views(n, seed=n)
    model = pretext("supcon")
    model(views, labels)
    assert_close(model.queue.labels[:n], labels)
    assert_close(model.queue.keys[:n], by_hand(model, ("supcon", "key"), views[1]))


def test_keys_are_normalised_with_other_images_than_their_queries():
    seen = {"query": [], "key": []}
    model = pretext("selfsupcon", batch_norm=True)
    model.encoder.register_forward_pre_hook(lambda _, args: seen["query"].append(args[0]))
    model.key_encoder.register_forward_pre_hook(lambda _, args: seen["key"].append(args[0]))
    model([VIEWS[0], VIEWS[0]])
    assert_close(torch.cat(seen["query"]), VIEWS[0])
    (query,), (key,) = seen.values()  # one pass each, normalised by stretches
    for queries in query.split(4):
        for keys in key.split(4):
            shared = (queries[:, None] == keys).flatten(2).all(2).sum()
            assert shared.item() == 1


def test_a_key_depends_only_on_the_images_of_its_shard():
    model = pretext("selfsupcon", batch_norm=True)
    model([VIEWS[0], VIEWS[1]])
    plain = Encoder(batch_norm=True)
    plain.load_state_dict(model.key_encoder.state_dict())
    for place in range(4):
        expected = model.key_heads["selfsupcon"](plain(VIEWS[1][place::4]))
        assert_close(model.queue.keys[place:B:4], expected)


def test_the_shards_are_divided_among_the_processes():
    def alike(x):
        return torch.cat([x, x])

    two = Collectives(rank=1, world_size=2, gather=alike)
    assert pretext("selfsupcon", collectives=two).bn_splits == 2
    assert pretext("selfsupcon", collectives=replace(two, world_size=3)).bn_splits == 2
    assert pretext("selfsupcon", collectives=replace(two, world_size=24)).bn_splits == 1
    assert pretext("ce", collectives=two).bn_splits == 1


def test_training_continues_from_the_saved_state(tmp_path):
    whole, half, rest = (pretext("joint-supcon", batch_norm=True) for _ in range(3))
    for model in (whole, half):
        step(model, *two_views(B, seed=1))
    torch.save(half.state_dict(), tmp_path / "state.pt")
    rest.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for model in (whole, rest):
        step(model, *two_views(B, seed=2))
    assert_close(rest.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_the_losses_of_two_steps_can_be_summed_before_backward():
    model = primed("joint-supcon")
    total = sum(model(*two_views(B, seed=seed))["total"] for seed in (1, 2))
    total.backward()


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_bfloat16_stays_near_float32(loss):
    exact = primed(loss)(VIEWS, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        model = primed(loss)
        low = model(VIEWS, LABELS)
    low["total"].backward()
    assert all(value.dtype == torch.float32 for value in low.values())
    assert_close(low, exact, rtol=0.1, atol=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_a_new_objective_is_a_function_and_a_term(monkeypatch):
    def spread(inputs):
        first, second = inputs.outputs
        return (first - second).pow(2).sum(1).mean()

    term = BatchTerm(spread, head="projection", views=2, labels=False)
    monkeypatch.setitem(LOSSES._entries, "spread", term)
    losses = pretext("selfsupcon + 0.1*spread")(VIEWS)
    assert_close(losses["total"], losses["selfsupcon"] + 0.1 * losses["spread"])
    assert losses["spread"].item() > 0


@pytest.mark.parametrize("loss", ["selfsupcon", "supcon-batch", "joint", "joint-supcon"])
def test_one_view_is_refused_where_two_are_needed(loss):
    with pytest.raises(
        ShapeError, match=r"needs 2 views of each image, of one shape; the views have the shapes \[\[16, 3"
    ):
        pretext(loss)(VIEWS[:1], LABELS)


def test_views_of_different_shape_are_refused():
    with pytest.raises(
        ShapeError, match=r"of one shape; the views have the shapes \[\[16, 3, 4, 4\], \[8, 3, 4, 4\]\]"
    ):
        pretext("selfsupcon")([VIEWS[0], VIEWS[1][:8]])


@pytest.mark.parametrize(("loss", "shards", "least"), [("ce", 4, 2), ("selfsupcon", 1, 2), ("supcon", 4, 8)])
def test_a_batch_with_one_image_per_shard_is_refused(loss, shards, least):
    model = pretext(loss, settings=replace(SMALL, bn_splits=shards))
    views = [view[: least - 1] for view in VIEWS]
    with pytest.raises(ShapeError, match=rf"batch of {least - 1} images.* needs {least} or more"):
        model(views, LABELS[: least - 1])
    model([view[:least] for view in VIEWS], LABELS[:least])


@pytest.mark.parametrize("loss", ["ce", "supcon", "supcon-batch", "joint", "joint-supcon"])
@pytest.mark.parametrize(
    ("labels", "found"),
    [(None, "-1"), (torch.full((B,), -1), "-1"), (torch.arange(B), "15"), (LABELS.clone().fill_(3), "3")],
)
def test_images_without_a_class_are_refused_by_losses_that_need_one(loss, labels, found):
    with pytest.raises(ShapeError, match=rf"needs a class in 0 … 2 for every image, but the batch has {found}\."):
        pretext(loss)(VIEWS, labels)


def test_selfsupcon_accepts_images_without_a_class():
    model = pretext("selfsupcon")
    losses = model(VIEWS)
    assert losses["total"].isfinite()
    assert model.queue.labels.tolist() == [-1] * SMALL.queue_size


def test_another_number_of_labels_than_images_is_refused():
    with pytest.raises(ShapeError, match=r"16 images need labels \[16\], not \[15\]"):
        pretext("ce")(VIEWS, LABELS[:-1])


@pytest.mark.parametrize("n_classes", [0, 1])
def test_fewer_than_two_classes_are_refused(n_classes):
    with pytest.raises(UsageError, match=f"ce needs at least 2 classes, but the data set has {n_classes}"):
        pretext("joint", n_classes=n_classes)
    pretext("selfsupcon", n_classes=n_classes)


def test_a_queue_not_larger_than_the_batch_is_refused():
    with pytest.raises(UsageError, match="queue of 16 keys cannot take batches of 16"):
        pretext("selfsupcon", settings=replace(SMALL, queue_size=16))(VIEWS)


def test_an_encoder_of_another_width_is_refused():
    model = Pretext(nn.Flatten(), parse_loss("ce"), feature_dim=7, n_classes=3)
    with pytest.raises(ShapeError, match=r"returned features \[16, 48\] for 16 images, not \[16, 7\]"):
        model(VIEWS, LABELS)


def test_the_defaults_are_the_values_of_the_study():
    assert PretextSettings().to_json() == {
        "temperature": 0.07,
        "projection_dim": 128,
        "queue_size": 64_000,
        "ema_momentum": 0.999,
        "bn_splits": 4,
    }


def test_a_step_draws_no_random_numbers():
    model, state = primed("joint-supcon", batch_norm=True), torch.random.get_rng_state()
    model(VIEWS, LABELS)
    assert torch.equal(torch.random.get_rng_state(), state)
