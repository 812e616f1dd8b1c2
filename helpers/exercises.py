"""Check an exercise: say that it is right, or give a hint."""


def check(passed, hint):
    """Tell a learner whether an answer is right; a wrong one stops nothing.

    Parameters
    ----------
    passed : bool
        What the exercise asks for holds.
    hint : str
        Shown while it does not.
    """
    print("Right." if passed else f"Not yet. Hint: {hint}.")
