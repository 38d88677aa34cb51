"""Shapes to labels and labels to shapes: the burn kernel, exact coverage, and tracing. Pure: no reading or writing."""
