"""TensorFlow pieces that models share: layers, what is done to a batch on the device, exports."""
