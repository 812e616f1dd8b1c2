"""What only the ladder needs; what notebooks use too is in `helpers.topics`."""

import torch
from diffusers.models.attention_processor import AttnProcessor2_0, FusedAttnProcessor2_0


@torch.library.custom_op("audioldm2::matmul_attention", mutates_args=())
def matmul_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention as it is written down: scores, softmax, weighted sum.

    An operation of its own, so that `torch.compile` leaves it as it is: the softmax that inductor makes for half
    precision on a CPU is slower than torch's.

    Parameters
    ----------
    query, key, value : torch.Tensor, shape (batch times heads, tokens, channels of a head)

    Returns
    -------
    torch.Tensor, the shape of `query`
    """
    scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
    return torch.bmm(scores.softmax(-1), value)


@matmul_attention.register_fake
def _(query, key, value):
    return query.new_empty(query.shape)


class MatmulAttnProcessor:
    """A processor for the layers of a UNet that computes self-attention by `matmul_attention`.

    Torch's fused kernel saves memory, which is why it was made; on a CPU without matrix units it reaches only a part of
    the speed of plain half-precision matrix products. Cross-attention, with its few keys and its mask, stays fused.
    """

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        """Compute what diffusers' `AttnProcessor2_0` and `FusedAttnProcessor2_0` compute."""
        if encoder_hidden_states is not None:
            usual = FusedAttnProcessor2_0() if attn.fused_projections else AttnProcessor2_0()
            return usual(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        if attn.fused_projections:
            projected = attn.to_qkv(hidden_states).chunk(3, -1)
        else:
            projected = [layer(hidden_states) for layer in (attn.to_q, attn.to_k, attn.to_v)]
        heads = [x.unflatten(2, (attn.heads, -1)).transpose(1, 2).flatten(0, 1) for x in projected]
        out = matmul_attention(*heads).unflatten(0, (-1, attn.heads)).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))
