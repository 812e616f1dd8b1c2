"""Word captions for synthesised clips; some wordings are held out of training to test what was understood."""

PHRASES = {
    "samba": (
        "Brazilian samba drums",
        "samba drums",
        "a samba drum group",
        "Brazilian drumming",
        "a samba band drumming",
        "samba percussion with surdo and tamborim",
        "a batucada",
        "a carnival drum section playing samba",
    ),
    "techno": (
        "techno music",
        "a techno loop",
        "a techno beat with a strong kick drum",
        "electronic dance music",
        "a driving techno track",
        "a club beat with bass and hi-hats",
        "an upbeat techno rhythm",
    ),
    "bells": (
        "church bells",
        "bells ringing",
        "a bell tolling",
        "a church bell ringing slowly",
        "the ringing of bells",
        "large bells striking",
        "chiming bells",
    ),
    "birds": (
        "birds singing",
        "a bird chirping",
        "birdsong",
        "birds whistling in the trees",
        "songbirds calling",
        "the chirping of birds",
        "a small bird singing",
    ),
    "siren": (
        "a siren",
        "an ambulance siren",
        "a two-tone siren",
        "a police siren wailing",
        "an emergency siren",
        "the siren of a fire engine",
        "a siren passing by",
    ),
    "footsteps": (
        "footsteps",
        "footsteps on gravel",
        "a person walking",
        "someone walking on a wooden floor",
        "the steps of a person",
        "slow footsteps",
        "a man walking down the hall",
    ),
    "tone": (
        "a plain tone",
        "a sine wave",
        "a steady tone",
        "a single pure tone",
        "a constant beep",
        "a test tone",
        "a continuous pure sine tone",
    ),
    "clock": (
        "a clock ticking",
        "a ticking clock",
        "the tick tock of a clock",
        "a wall clock ticking",
        "a watch ticking",
        "the ticking of an old clock",
        "an alarm clock ticking quietly",
    ),
    "train": (
        "a steam train",
        "a steam locomotive",
        "an old train puffing",
        "a train with a whistle",
        "a chugging steam engine",
        "a steam train passing by",
        "the whistle of a train",
    ),
    "frogs": (
        "frogs croaking",
        "a frog",
        "croaking frogs",
        "a frog calling",
        "frogs in a pond",
        "the croaking of a frog",
        "a bullfrog croaking",
    ),
    "waves": (
        "waves",
        "ocean waves",
        "waves gently crashing",
        "the sea",
        "waves breaking on a beach",
        "the surf of the ocean",
        "sea waves rolling in",
    ),
    "rain": (
        "rain",
        "rain falling",
        "heavy rain",
        "a rain shower",
        "rain on leaves",
        "steady rain",
        "the sound of falling rain",
    ),
    "wind": (
        "wind",
        "wind blowing",
        "strong wind",
        "howling wind",
        "a windy storm",
        "gusts of wind",
        "the wind howling",
    ),
    "crickets": (
        "crickets",
        "crickets chirping",
        "crickets at night",
        "a cricket chirping",
        "insects chirping at night",
        "the chirping of crickets",
        "crickets on a summer night",
    ),
}
SINGLE = (
    "{a}",
    "the sound of {a}",
    "a recording of {a}",
    "{a} can be heard",
    "a clip of {a}",
    "I hear {a}",
    "this is {a}",
    "sound of {a}",
    "an audio recording of {a}",
    "{a}, nothing else",
)
PAIR = (
    "{a} with {b} in the background",
    "the sound of {a} with {b} in the background",
    "{a} and {b}",
    "{a}, with {b} behind",
    "a recording of {a} with {b} in the background",
    "{a} while {b} can be heard",
    "{a} over {b}",
    "{b} and {a}",
    "{a} in front of {b}",
    "{b} in the background, {a} in the foreground",
)
QUALITY = {
    "high": ("high quality", "high quality recording", "good quality", "clean, high quality"),
    "average": ("average quality", "average quality recording", "medium quality"),
    "low": ("low quality", "low quality recording", "bad quality", "noisy, low quality"),
}

# Never seen in training: new sentences, and new wordings of each kind from words that training knows from elsewhere.
HELD_OUT_PHRASES = {
    "samba": ("a Brazilian drum band", "drumming from a samba carnival"),
    "techno": ("a strong electronic club rhythm", "techno dance beat"),
    "bells": ("the bells of a church", "a large church bell striking"),
    "birds": ("whistling songbirds", "the singing of a small bird"),
    "siren": ("the siren of an ambulance", "a wailing emergency siren"),
    "footsteps": ("slow steps on gravel", "a person's footsteps"),
    "tone": ("a pure steady sine", "one constant tone"),
    "clock": ("an old ticking wall clock", "the tick of a watch"),
    "train": ("an old steam engine puffing", "a locomotive and its whistle"),
    "frogs": ("a croaking bullfrog", "the calling of frogs"),
    "waves": ("the waves of the sea", "surf breaking on the beach"),
    "rain": ("the falling of heavy rain", "a steady shower of rain"),
    "wind": ("a howling storm wind", "the blowing of strong gusts"),
    "crickets": ("the chirping of insects on a summer night", "a night of chirping crickets"),
}  # fmt: skip
HELD_OUT_SINGLE = ("in this clip {a} can be heard", "the recording is of {a}", "a sound: {a}")
HELD_OUT_PAIR = ("the sound of {b} behind {a}", "{a} in the foreground and {b} in the background")


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]


def _dress(rng, sentence, quality):
    """Vary capital, full stop and place of the quality words, as people do."""
    if quality:
        words = _pick(rng, QUALITY[quality])
        sentence = _pick(rng, (f"{sentence}, {words}", f"{sentence}. {words.capitalize()}", f"{words}, {sentence}"))
    if rng.random() < 0.7:
        sentence = sentence[0].upper() + sentence[1:]
    return sentence + ("." if rng.random() < 0.4 else "")


def caption(rng, clip, held_out=False, quality_words=True):
    """Word a caption for a clip.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides the wording.
    clip : Clip
        What the clip holds.
    held_out : bool
        Use the sentences and phrases that training never saw.
    quality_words : bool
        Name the quality, and never anything else.

    Returns
    -------
    str
        For example "The sound of samba drums with rain falling in the background. High quality".
    """
    phrases = HELD_OUT_PHRASES if held_out else PHRASES
    single, pair = (HELD_OUT_SINGLE, HELD_OUT_PAIR) if held_out else (SINGLE, PAIR)
    names = {"a": _pick(rng, phrases[clip.foreground])}
    if clip.background:
        names["b"] = _pick(rng, phrases[clip.background])
    sentence = _pick(rng, pair if clip.background else single).format(**names)
    return _dress(rng, sentence, clip.quality if quality_words else None)


def training_caption(rng, clip):
    """Word a caption as training sees it.

    The worst clips' quality is seldom named, an average one's nearly always, a good one's more often than not: without
    a quality word about half of the clips are spoiled, most of them badly, and a negative prompt has something to
    remove. The caption of a spoiled clip often names nothing but its quality, because a negative prompt does that too.
    """
    shares = {"high": (0, 0, 0.65), "average": (0.3, 0.15, 0.95), "low": (0.4, 0.8, 0.1)}
    only_quality, both_words, named = shares[clip.quality]
    if rng.random() < only_quality:
        qualities = ["low", "average"] if rng.random() < both_words else [clip.quality]
        rng.shuffle(qualities)
        words = [QUALITY[q][0] if rng.random() < 0.5 else _pick(rng, QUALITY[q]) for q in qualities]
        return _dress(rng, ", ".join(words), None)
    return caption(rng, clip, quality_words=rng.random() < named)
