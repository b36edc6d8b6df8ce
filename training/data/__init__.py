"""How training reads shards: index, whole shards, shuffled batches, mixtures made on the fly."""
