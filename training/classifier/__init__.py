"""The noise classifier: `python -m training.classifier --help`. It learns through Keras."""

MODEL = "classifier"  # the folder of its runs
