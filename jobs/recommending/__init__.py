"""Recommending photos from a visitor's history, for the stage `evaluate_recommenders`."""
