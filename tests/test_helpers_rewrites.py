import pytest
import torch

from helpers.topics.rewrites import T5_TOKENS, LeanText, PartGuidance

NEGATIVE = "Low quality, average quality."


def test_lean_text_gives_the_same_vectors_and_comes_off_again(pocket):
    prompts = ("Rain", "Church bells ringing slowly in the distance, high quality", "Rain")
    with torch.no_grad():
        usual = [pocket.encode_prompt(prompt, "cpu", 1, True, negative_prompt=NEGATIVE) for prompt in prompts]
    encode, head, calls = pocket.encode_prompt, pocket.language_model.lm_head, []
    lean = pocket.encode_prompt = LeanText(pocket)
    lean.encode = lambda *args: calls.append(args[3]) or encode(*args)
    try:
        for prompt, (t5, mask, gpt2) in zip(prompts, usual, strict=True):
            lean_t5, lean_mask, lean_gpt2 = pocket.encode_prompt(prompt, "cpu", 1, True, negative_prompt=NEGATIVE)
            count = t5.shape[1]
            assert torch.allclose(lean_t5[:, :count], t5, atol=1e-4) and torch.allclose(lean_gpt2, gpt2, atol=1e-4)
            assert torch.equal(lean_mask[:, :count], mask) and not lean_mask[:, count:].any()
            assert lean_t5.shape[1] % T5_TOKENS == 0
        assert calls == [False, True, False, True, False]  # the last prompt is as long as the first
    finally:
        lean.remove()
    assert pocket.encode_prompt == encode and pocket.language_model.lm_head is head


def guided_step(unet, timestep=500):
    generator = torch.Generator().manual_seed(0)
    sample, gpt2, t5 = (torch.randn(shape, generator=generator) for shape in ((2, 8, 16, 16), (2, 8, 128), (2, 5, 128)))
    texts = {"encoder_hidden_states_1": t5, "encoder_attention_mask_1": torch.ones(2, 5)}
    with torch.no_grad():
        return unet(sample, timestep, encoder_hidden_states=gpt2, return_dict=False, **texts)[0].chunk(2)


@pytest.mark.parametrize("keep", [False, True])
def test_without_guidance_only_the_half_with_the_prompt_is_computed(pocket, keep):
    unet = PartGuidance(pocket.unet, guided=lambda timestep: timestep >= 500, keep=keep)
    unprompted, prompted = guided_step(unet)
    rows = []
    hook = pocket.unet.conv_in.register_forward_pre_hook(lambda layer, inputs: rows.append(len(inputs[0])))
    first, second = guided_step(unet, 499)
    hook.remove()
    assert rows == [1]
    assert torch.allclose(second, guided_step(pocket.unet, 499)[1], atol=1e-5)
    assert torch.allclose(second - first, prompted - unprompted if keep else torch.zeros(1), atol=1e-5)
