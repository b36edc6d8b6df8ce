"""The noise classifier: `python -m training.classifier --help`. It learns through Keras' fit."""
