"""How training reads shards: the index, whole shards, shuffled batches, mixtures made on the fly."""
