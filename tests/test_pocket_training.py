"""Every stage of training, for a few steps, on a few clips."""

import pytest
import torch
from safetensors.torch import load_file

from pocket import architecture, dataset, judge, stage, train_clap, train_diffusion, train_vae, train_vocoder


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Point every stage to an empty folder, and give it twelve clips."""
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "CACHE", folder / "cache")
        patch.setattr(stage, "CACHE", folder / "cache")
        patch.setattr(architecture, "CHECKPOINT", folder / "checkpoint")
        patch.setattr(judge, "WEIGHTS", folder / "judge.safetensors")
        for module in (judge, train_clap, train_diffusion, train_vae, train_vocoder):
            patch.setattr(module, "CLIPS", 12)
            patch.setattr(module, "BATCH", 2)
        patch.setattr(train_vocoder, "DECODED", 4)
        patch.setattr(train_clap, "RECONSTRUCTED", 4)
        yield folder


def weights(folder, part):
    return load_file(next((folder / "checkpoint" / part).glob("*.safetensors")))


STAGES = {
    "vae": (lambda: train_vae.train("autoencoder", 2), "vae"),
    "texture": (lambda: train_vae.train("texture", 2), "vae"),
    "clap": (lambda: train_clap.train(2, audio_only=False), "text_encoder"),
    "diffusion": (lambda: train_diffusion.train(2), "unet"),
    "vocoder": (lambda: train_vocoder.train("real", 2), "vocoder"),
    "vocoder after the VAE": (lambda: train_vocoder.train("after-vae", 2), "vocoder"),
    "vocoder, chirps": (lambda: train_vocoder.train("chirps", 2), "vocoder"),
    "clap, audio only": (lambda: train_clap.train(2, audio_only=True), "text_encoder"),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_changes_its_part_of_the_checkpoint_and_no_other(small, name):
    architecture.load_or_build()
    run, part = STAGES[name]
    parts = ("vae", "text_encoder", "text_encoder_2", "unet", "vocoder")
    before = {p: weights(small, p) for p in parts}
    run()
    changed = {p for p in parts if any(not torch.equal(w, before[p][key]) for key, w in weights(small, p).items())}
    assert changed == ({"unet", "text_encoder_2"} if part == "unet" else {part})


def test_the_judge_is_trained_and_heard(small):
    judge.train(2)
    judge.load_judge.cache_clear()
    waveforms, _, _ = dataset.load(dataset.TRAINING, 12)
    kinds, qualities = judge.listen(waveforms[:3] / 32767)
    judge.load_judge.cache_clear()
    assert kinds.shape == (3, 14) and qualities.shape == (3, 3)


def test_a_stopped_stage_goes_on_where_it_was():
    def train(stop_at=None, name="resumed"):
        model = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(model.weight)

        def step(i):
            if i == stop_at:
                raise KeyboardInterrupt
            model.weight.data = 2 * model.weight.data + i  # which depends on all steps before
            return {"loss": 0.0}

        stage.run(name, 8, step, {"model": model}, save_every=2)
        return model.weight

    with pytest.raises(KeyboardInterrupt):
        train(stop_at=5)
    assert torch.equal(train(), train(name="in one go"))


def test_what_is_saved_in_half_precision_loads_as_float32(small):
    pipe = architecture.load_or_build()
    assert {module.dtype for module in (pipe.unet, pipe.vae, pipe.vocoder, pipe.language_model)} == {torch.float32}
    assert {w.dtype for w in weights(small, "unet").values()} == {torch.float16}
