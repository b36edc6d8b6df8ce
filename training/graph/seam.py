"""Where a net is cut in two, so that its first layers can be kept in more digits than the rest.

Reads and writes nothing. Does: finds the tensors that everything passes through, and makes nets of
what lies before one of them and behind it, on the same weights.

The first layers hold few weights but the finest picture, and what they round off goes through all
that follow: in 8 bits they cost more accuracy than all others together.
"""

import keras
from keras import tree


def halves(net: keras.Model, part: float) -> tuple[keras.Model, keras.Model] | None:
    """The net in two, the first with at most `part` of the weights; none where it has no seam.

    It is cut as late as that allows. For functional nets whose layers are each called once.
    """
    waiting: dict[int, int] = {}  # tensor -> layers that are yet to read it
    for layer in net.layers[1:]:
        for tensor in tree.flatten(layer.input):
            waiting[id(tensor)] = waiting.get(id(tensor), 0) + 1
    spent, seam, alive = 0, None, {id(net.input)}
    for layer in net.layers[1:-1]:
        spent += layer.count_params()
        if spent > part * net.count_params():
            break
        for tensor in tree.flatten(layer.input):
            waiting[id(tensor)] -= 1
            if not waiting[id(tensor)]:
                alive.discard(id(tensor))
        alive.add(id(layer.output))
        seam = layer.output if len(alive) == 1 else seam
    return None if seam is None else (keras.Model(net.input, seam), keras.Model(seam, net.output))
