"""neurostim: the open trial bench for neuromodulation. For research use; not a medical device."""

__version__ = "0.1.0"
