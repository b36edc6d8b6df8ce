"""The hybrid classifier: raw sound and a handcrafted vector of it, told apart together."""

MODEL = "hybrid"
