"""What classifiers of any kind share: folds, scores, baselines, commands, what is shown."""
