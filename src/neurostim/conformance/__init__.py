"""The independent judge: a delivered trace against a program, written from the format alone."""
