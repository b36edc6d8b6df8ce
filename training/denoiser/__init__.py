"""The denoiser: `python -m training.denoiser --help`. It learns through training.engine."""
