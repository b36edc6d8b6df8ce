"""What every run does while it trains: steps, scores, checkpoints, curves, budget, resume."""
