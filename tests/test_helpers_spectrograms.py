import base64
import io
import re

import matplotlib.image
import numpy as np
import pytest

import helpers

RATE = 16_000
TIME = np.arange(2 * RATE) / RATE
PITCH = 5000
TONE = np.sin(2 * np.pi * PITCH * TIME)
CLIPS = {"loud": TONE, "soft": 0.01 * TONE, "tone": TONE, "silent": 0 * TONE}  # more than fit into a row


def test_clips_share_one_colour_scale_and_are_not_normalised():
    axes = helpers.plot_spectrograms(CLIPS, RATE).figure.axes
    drawn = {ax.get_title(): ax.collections[0] for ax in axes if ax.get_title()}
    assert list(drawn) == list(CLIPS)
    assert {image.get_clim() for image in drawn.values()} == {(-80, 0)}
    peaks = [image.get_array().max() for image in drawn.values()]
    assert peaks[0] - peaks[1] == pytest.approx(40, abs=0.1) and peaks[3] == -80


def test_a_tone_is_drawn_at_its_pitch_and_length_with_units():
    axes, bar = helpers.plot_spectrogram(TONE, RATE, "a tone").figure.axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a tone", "Time (s)", "Frequency (Hz)")
    assert bar.get_ylabel() == "Level (dB of full scale)"
    mesh = axes.collections[0]
    row = mesh.get_array().mean(axis=1).argmax()
    low, high = mesh.get_coordinates()[row : row + 2, 0, 1]
    assert 0.97 * low < PITCH < 1.03 * high
    assert axes.get_xlim()[1] == pytest.approx(2, abs=0.05)


def test_the_picture_is_told_in_words():
    picture = helpers.plot_spectrograms(CLIPS, RATE)
    found = re.search(r"loud: 2.0 s, mean -\d+ dB, loudest with -[0-3] dB near (\d+) Hz at", picture.alt)
    assert float(found[1]) == pytest.approx(PITCH, rel=0.03)  # half the width of a band
    assert picture.alt.endswith("silent: 2.0 s of silence.")


def test_a_notebook_gets_an_image_with_its_text():
    page = helpers.plot_spectrogram(TONE, RATE, 'a "<tone>"')._repr_html_()
    assert 'alt="Mel spectrogram, -80 to 0 dB. a &quot;&lt;tone&gt;&quot;: 2.0 s' in page
    png = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    height, width, _ = matplotlib.image.imread(io.BytesIO(base64.b64decode(png))).shape
    assert width > height > 100


def test_titles_are_plain_text():
    for title in ("a $100 bill and a $20 bill", "$a_$"):
        picture = helpers.plot_spectrogram(TONE, RATE, title)
        assert picture.figure.axes[0].get_title() == title
        assert picture._repr_html_().startswith("<img")


def test_a_sketch_is_a_picture_with_a_description():
    page = helpers.sketch("pipeline").data
    assert "data:image/svg+xml;base64," in page
    assert len(re.search('alt="([^"]+)"', page)[1]) > 40
