"""Scenes in which a barrier is needed, so that its loss shows."""
