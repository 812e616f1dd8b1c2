import torch

from helpers.topics.distilling import follow, one_row_step

PROMPTS = ["Rain", "Church bells ringing"]


def test_a_path_begins_with_the_noise_and_ends_where_the_pipeline_does(pocket, seeded):
    settings = {"num_inference_steps": 4, "audio_length_in_s": 1.28, "negative_prompt": ["Low quality"] * 2}
    points = follow(pocket, PROMPTS, 2, generator=seeded(), **settings)
    end = pocket(PROMPTS, output_type="latent", generator=seeded(), **settings).audios
    assert len(points) == 2 and not pocket.unet._forward_pre_hooks
    assert torch.equal(points[0][0], torch.randn(end.shape, generator=seeded()))
    assert points[0][1] > points[1][1] and not torch.equal(points[0][0], points[1][0])
    with torch.no_grad():
        t5, mask, gpt2 = pocket.encode_prompt(PROMPTS, "cpu", 1, False)
    for _, _, texts, led_to in points:
        assert torch.equal(led_to, end)
        assert torch.allclose(texts["encoder_hidden_states"], gpt2, atol=1e-5)
        assert torch.allclose(texts["encoder_hidden_states_1"], t5, atol=1e-5)
        assert torch.equal(texts["encoder_attention_mask_1"], mask)


def test_a_step_without_guidance_computes_one_row(pocket):
    rows = []
    hook = pocket.unet.conv_in.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    one_row_step(pocket.unet, seconds=1.28)()
    hook.remove()
    assert rows == [1]
