"""A prediction of how long writes will be blocked says what it is made from."""

from nmdc_release_ops.planning.blocked_time import predict_rehearsed


def test_what_was_rehearsed_is_predicted_from_the_rehearsal() -> None:
    predicted = predict_rehearsed(30.0, 40_000)
    assert predicted.seconds == 30 + 2 + 1
    assert str(predicted) == (
        "about 33.0 s (its rehearsal took 30.0 s to dump, migrate and validate, and 40,000 documents are staged)"
    )
